package proxy

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
)

// Call is the record of one call on its way through the layers. It travels as
// the request value of the interceptors (for a stream as their srv value), so
// that no layer needs a context key. One goroutine at a time uses it.
type Call struct {
	// FullMethod is the path as the caller sent it, "/qdrant.Points/Query".
	FullMethod string
	// Verb is the HTTP method, POST for every gRPC call.
	Verb string
	// Authority is what the caller took us for, ":authority".
	Authority string
	// Method is its entry in the table, [method.Other] when it has none.
	Method *method.Method
	// Collection is the one the request names; "" when it names none, and for
	// methods that are not in the table.
	Collection string
	// Peer is the caller's address, for logs.
	Peer net.Addr
	// Header is the caller's metadata, to which layers may add.
	Header h2.Fields
	// Body is what has been read of the request, as it is on the wire, length
	// prefix included: all of it for a unary call that is no larger than what is
	// stored, the start of a larger one, nothing for a stream. Borrowed from the
	// listener for the time of the call.
	Body mem.BufferSlice
	// Started is when the call arrived.
	Started time.Time

	// Reason says why the sidecar itself failed the call; "" when it did not,
	// also when the upstream did.
	Reason Reason
	// Response is the upstream's answer to a unary call; nil until there is one.
	Response *pool.Response

	// lease is the connection of the attempt under way or of the last one.
	lease *pool.Lease
	// refused is why the call goes no further than to be counted: it did not
	// arrive whole, or is too much.
	refused error
	// caller is where the answer goes.
	caller *h2.Stream
	// sending is set once part of the request is given away that cannot be given
	// a second time; answering once a header of the answer has been sent.
	sending, answering bool
}

// newCall makes the record of a call that has arrived, and the context that
// ends with its deadline, its caller, or parent.
func newCall(parent context.Context, caller *h2.Stream, header h2.Fields) (*Call, context.Context, context.CancelFunc) {
	path := header.Get(":path")
	c := &Call{
		FullMethod: path,
		Verb:       header.Get(":method"),
		Method:     method.Lookup(path),
		Authority:  header.Get(":authority"),
		Header:     header.Regular(),
		Peer:       caller.RemoteAddr(),
		Started:    caller.Arrived(),
		caller:     caller,
	}
	var ctx context.Context
	var cancel context.CancelFunc
	// Like Qdrant, we take a malformed timeout for none.
	if timeout, ok := h2.DecodeTimeout(c.Header.Get("grpc-timeout")); ok {
		ctx, cancel = context.WithDeadline(parent, c.Started.Add(timeout))
	} else {
		ctx, cancel = context.WithCancel(parent)
	}
	caller.OnEnd(cancel)
	return c, ctx, cancel
}

// request returns what is sent upstream.
func (c *Call) request() *pool.Request {
	return &pool.Request{
		Method:    c.FullMethod,
		Verb:      c.Verb,
		Authority: c.Authority,
		Header:    c.Header,
		Body:      c.Body,
	}
}
