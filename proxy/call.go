package proxy

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/shape"
	"qdrant-sidecar/resilience"
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
	// Response is the upstream's answer to a unary call, once there is one. That of
	// an attempt that failed stays until the next one is certain.
	Response pool.Response
	// Attempts is how many were begun.
	Attempts int
	// NotRetried says why the last attempt, which failed, was the last; "" after one
	// that did not, and for calls that got no further than to be refused.
	NotRetried resilience.NotRetried

	// rules are those in force when it came.
	rules *rules
	// ctx is the context of the call, or of what is left of it.
	ctx *callContext
	// sent is what goes upstream.
	sent pool.Request
	// home is where the calls of the same caller go.
	home *pool.Home
	// node is the endpoint of the attempt under way or of the last one.
	node *pool.Node
	// lease is the connection of the attempt under way or of the last one.
	lease *pool.Lease
	// timeout is the caller's, from Started on, if it is timed.
	timeout time.Duration
	timed   bool
	attempt
	times
	// shape is that of a request which was given away.
	shape *shape.Shape
	// counted are the metrics of its method.
	counted *boundMetrics
	// passed is how many bytes of an answer that was not stored went to the caller.
	passed int64
	tries  resilience.Tries
	// spans are nil unless the call is recorded.
	spans *spans
	// elsewhere asks for another connection than that of lease.
	elsewhere bool
	// repeatable says that the request is kept, so that it can be sent again.
	repeatable bool
	// retrying says that a retry of the budget is taken for the call.
	retrying bool
	// keyed says that the sidecar's API key is in Header.
	keyed bool
	// admitted says that the call holds a place among those in flight.
	admitted bool
	// advice goes with an error of ours: fields that say when to come again.
	advice h2.Fields
	// refused is why the call goes no further than to be counted: it did not
	// arrive whole, or is too much.
	refused error
	// caller is where the answer goes.
	caller *h2.Stream
	// sending is set once part of the request is given away that cannot be given
	// a second time; answering once a header of the answer has been sent.
	sending, answering bool
	// answer counts the messages of one that passes.
	answer messages
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
func newCall(caller *h2.Stream, under *rules) *Call {
	h, ok := caller.Recognized().(*heading)
	if !ok { // few have the same
		header, _, _ := caller.Header(context.Background())
		h = readHeading(header).(*heading)
	}
	home, _ := caller.Session().(*pool.Home)
	c := calls.Get().(*Call)
	*c = Call{
		rules:      under,
		home:       home,
		FullMethod: h.path, Verb: h.verb, Authority: h.authority, Method: h.method, Header: h.header,
		timeout: h.timeout, timed: h.timed,
		Peer: caller.RemoteAddr(), Started: caller.Arrived(), caller: caller,
	}
	return c
}

// release ends the record's use.
func (c *Call) release() {
	c.ctx.stop()
	c.Response.Close()
	c.Body.Free()
	*c = Call{}
	calls.Put(c)
}

// begin makes the context of the call, or of what is left of it.
func (c *Call) begin(deadline time.Time, late error) {
	c.ctx = newCallContext(deadline, late)
	c.caller.OnEnd(c.ctx.end)
}

// left is the time until the call's deadline.
func (c *Call) left(now time.Time) time.Duration {
	if c.ctx.deadline.IsZero() {
		return resilience.NoDeadline
	}
	return c.ctx.deadline.Sub(now)
}

// endTry ends the time that the attempt has for itself. When that was over the
// attempt was cut, and the call goes on with a new context and a retry taken for it.
func (c *Call) endTry() (cut bool) {
	if !c.trying || !c.ctx.endTry() {
		return false
	}
	c.retrying, c.forsaken = true, c.ctx.forsaken
	c.ctx.stop()
	c.begin(c.ctx.deadline, c.ctx.late)
	return true
}

// request returns what is sent upstream.
func (c *Call) request() *pool.Request {
	r := &c.sent
	*r = pool.Request{
		Method:    c.FullMethod,
		Verb:      c.Verb,
		Authority: c.Authority,
		Header:    c.Header,
		Body:      c.Body,
	}
	// A deadline of ours is not told: the upstream hears when the call is over, as
	// from any caller who set none and stops to wait.
	if c.timed {
		r.Deadline = c.Started.Add(c.timeout)
	}
	if n := c.tries.Retries(); n > 0 {
		r.Header = repeated(c.Header, n)
	}
	if c.spans != nil {
		r.Header = c.spans.propagate(r.Header)
	}
	return r
}

// attemptsField is where gRPC says how often a call was tried before.
const attemptsField = "grpc-previous-rpc-attempts"

// repeated returns the header of an attempt before which there were others that
// the upstream may have seen. A caller who repeats the call too has said how often
// he did; the upstream is told the sum, for that is what it may have seen.
func repeated(header h2.Fields, retries int) h2.Fields {
	const most = 1 << 20 // a value that is no attempt at nonsense
	if before, err := strconv.ParseUint(header.Get(attemptsField), 10, 32); err == nil && before < most {
		retries += int(before)
	}
	out := make(h2.Fields, 0, len(header)+1)
	for _, f := range header {
		if f.Name != attemptsField {
			out = append(out, f)
		}
	}
	return append(out, h2.Field(attemptsField, strconv.Itoa(retries)))
}
