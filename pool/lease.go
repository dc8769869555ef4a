package pool

import (
	"context"
	"sync/atomic"
	"time"
)

// Lease is one call's right to use a connection. It is released exactly once.
type Lease struct {
	conn      *connection
	transport *transport
	released  atomic.Bool
	waited    time.Duration
}

// Waited returns how long the call has waited for the connection.
func (l *Lease) Waited() time.Duration { return l.waited }

// Unary makes one attempt of a unary call. Whatever the upstream answered, OK or
// not, is put into r, which is empty before and which the caller closes; an error is
// a [*LostError], or the cause of ctx's end.
func (l *Lease) Unary(ctx context.Context, req *Request, r *Response) error {
	return l.transport.unary(ctx, req, r)
}

// Stream opens a call of any shape; req.Body is ignored. ctx bounds all that is
// done with the Stream, which the caller closes. Errors are as of [Lease.Unary].
func (l *Lease) Stream(ctx context.Context, req *Request) (*Stream, error) {
	return l.transport.open(ctx, req)
}

// Connection returns the number of the connection, from 0, for logs.
func (l *Lease) Connection() int { return l.conn.id }

// Node returns the node that the connection leads to.
func (l *Lease) Node() *Node { return l.conn.node }

// Address returns the endpoint's address.
func (l *Lease) Address() string { return l.transport.address }

// Release gives the connection back. A second Release would free a place that
// another call holds, so it panics.
func (l *Lease) Release() {
	if l.released.Swap(true) {
		panic("pool: a lease was released twice")
	}
	l.conn.release()
}
