package proxy

import (
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
	// Method is its entry in the table, [method.Other] when it has none.
	Method *method.Method
	// Collection is the one the request names; "" when it names none, and for
	// streams.
	Collection string
	// Peer is the caller's address, for logs.
	Peer string
	// Header is the caller's metadata, to which layers may add.
	Header h2.Fields
	// Message is the request of a unary call, borrowed from the listener for
	// the time of the call; nil for streams.
	Message mem.BufferSlice
	// Started is when the call arrived.
	Started time.Time

	// Reason says why the sidecar itself failed the call; "" when it did not,
	// also when the upstream did.
	Reason Reason
	// Response is the upstream's answer to a unary call; nil until there is one.
	Response *pool.Response

	// lease is the connection of the attempt under way or of the last one.
	lease *pool.Lease
}

// request returns what is sent upstream.
func (c *Call) request() *pool.Request {
	return &pool.Request{
		Method:  c.FullMethod,
		Header:  c.Header,
		Message: c.Message,
	}
}
