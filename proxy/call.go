package proxy

import (
	"context"
	"net"
	"sync"
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
	// Response is the upstream's answer to a unary call, once there is one.
	Response pool.Response

	// lease is the connection of the attempt under way or of the last one.
	lease *pool.Lease
	// timeout is the caller's, from Started on, if it is timed.
	timeout time.Duration
	timed   bool
	// refused is why the call goes no further than to be counted: it did not
	// arrive whole, or is too much.
	refused error
	// caller is where the answer goes.
	caller *h2.Stream
	// sending is set once part of the request is given away that cannot be given
	// a second time; answering once a header of the answer has been sent.
	sending, answering bool
}

// heading is what there is to know of a request's header. Calls that have the
// same share it.
type heading struct {
	path, verb, authority string
	method                *method.Method
	header                h2.Fields
	timeout               time.Duration
	timed                 bool
}

func readHeading(header h2.Fields) any {
	h := &heading{
		path:      header.Get(":path"),
		verb:      header.Get(":method"),
		authority: header.Get(":authority"),
		header:    header.Regular(),
	}
	h.method = method.Lookup(h.path)
	// Like Qdrant, we take a malformed timeout for none.
	h.timeout, h.timed = h2.DecodeTimeout(h.header.Get("grpc-timeout"))
	return h
}

// calls are the records of calls that have ended, to be used again.
var calls = sync.Pool{New: func() any { return new(Call) }}

// newCall makes the record of a call that has arrived.
func newCall(caller *h2.Stream) *Call {
	h, ok := caller.Recognized().(*heading)
	if !ok { // few have the same
		header, _, _ := caller.Header(context.Background())
		h = readHeading(header).(*heading)
	}
	c := calls.Get().(*Call)
	*c = Call{
		FullMethod: h.path, Verb: h.verb, Authority: h.authority, Method: h.method, Header: h.header,
		timeout: h.timeout, timed: h.timed,
		Peer: caller.RemoteAddr(), Started: caller.Arrived(), caller: caller,
	}
	return c
}

// release ends the record's use.
func (c *Call) release() {
	c.Response.Close()
	c.Body.Free()
	*c = Call{}
	calls.Put(c)
}

// context returns the context that ends with the call's deadline, its caller, or
// the sidecar.
func (c *Call) context() (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c.caller.OnEnd(cancel)
	if !c.timed {
		return ctx, cancel
	}
	ctx, stop := context.WithDeadline(ctx, c.Started.Add(c.timeout))
	return ctx, func(cause error) { stop(); cancel(cause) }
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
