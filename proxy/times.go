package proxy

import (
	"context"
	"time"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/resilience"
)

// Stages say where the time of a call went. All but FirstByte add up to Total.
type Stages struct {
	// Total is from the arrival of the call's header until the outcome is known. A
	// whole answer is yet to be written then; a larger one, or a stream, is.
	Total time.Duration
	// Receive is until the caller had sent the request whole, or, of one that is passed
	// on as it comes, as much as was waited for.
	Receive time.Duration
	// Queue was spent waiting for a place among the calls in flight, for an endpoint,
	// or for a connection.
	Queue time.Duration
	// Backoff was spent between attempts.
	Backoff time.Duration
	// Upstream is the attempts: each from the time when it had its connection until the
	// last byte of the answer arrived, or it was clear that none comes. Of what is
	// passed on as it comes, the caller's own slowness is in it.
	Upstream time.Duration
	// FirstByte is the part of the last attempt until the header of its answer arrived;
	// 0 if none did.
	FirstByte time.Duration
	// Own is the rest: the sidecar's own work, and its wait for a processor.
	Own time.Duration
}

// times are what the stages of a call are made of. All looks at the clock that they
// take are those of whoever waits; on its straight way a call is looked at when its
// header, its end, and the two ends of its answer are read, by the connections, and
// when its attempt begins and the call ends.
type times struct {
	receive, queue, backoff, upstream, first time.Duration
	// lending is how long the attempt has waited for its connection.
	lending time.Duration
	// total is 0 until somebody asks.
	total time.Duration
}

// Stages returns where the time of a call went that has ended: the first one to ask
// decides when that was.
func (c *Call) Stages() Stages {
	t := &c.times
	return Stages{
		Total: c.Took(), Receive: t.receive, Queue: t.queue, Backoff: t.backoff, Upstream: t.upstream, FirstByte: t.first,
		Own: max(0, c.Took()-t.receive-t.queue-t.backoff-t.upstream),
	}
}

// Took returns [Stages].Total.
func (c *Call) Took() time.Duration {
	if c.total == 0 {
		c.total = max(1, time.Since(c.Started))
	}
	return c.total
}

// RequestBytes returns how many bytes of the request have arrived, length prefix
// included, as they were sent: compressed, if they were.
func (c *Call) RequestBytes() int64 {
	// A body that was given away is counted by the stream.
	if stored := c.Body.Len(); stored > 0 || c.caller == nil {
		return int64(stored)
	}
	return c.caller.Received()
}

// AnswerBytes returns how many bytes of Qdrant's answer the caller gets, or has got so
// far, in the same measure. An error of the sidecar's own has none.
func (c *Call) AnswerBytes() int64 {
	if c.answering || c.Reason != "" {
		return c.passed
	}
	return int64(c.Response.Body.Len())
}

// received notes that no more of the request is waited for.
func (c *Call) received(whole bool) {
	if whole {
		c.receive = c.caller.Complete().Sub(c.Started)
	} else {
		c.receive = time.Since(c.Started)
	}
}

// queuedSince notes a wait that is over.
func (c *Call) queuedSince(from time.Time) time.Duration {
	waited := time.Since(from)
	c.queue += waited
	return waited
}

// lent notes how long the attempt has waited for its connection.
func (c *Call) lent(waited time.Duration) {
	c.lending = waited
	c.queue += waited
}

// answered notes when the header of the attempt's answer arrived.
func (c *Call) answered(at time.Time) { c.first = at.Sub(c.begun) - c.lending }

// attempted notes the end of an attempt, and returns how long it took altogether.
func (c *Call) attempted() time.Duration {
	// A whole answer has ended when its last byte was read. What else ends an attempt
	// has just happened.
	at := c.Response.Last
	if at.IsZero() {
		at = time.Now()
	}
	took := at.Sub(c.begun)
	c.upstream += max(0, took-c.lending)
	return took
}

// backOff waits before the next attempt, holding nothing that others need. The error
// is the cause of ctx's end, also if that came with the end of the wait.
func (c *Call) backOff(ctx context.Context, d time.Duration) error {
	if d > 0 {
		from := time.Now()
		resilience.Wait(ctx, d)
		c.backoff += time.Since(from)
	}
	return h2.Cause(ctx)
}
