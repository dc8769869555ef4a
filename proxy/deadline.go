package proxy

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// deadlineError says that the deadline passed which a call got from us. It is a
// [context.DeadlineExceeded].
type deadlineError struct {
	span time.Duration
	kind method.Deadline
}

func (e *deadlineError) Error() string {
	var name, what string
	switch e.kind {
	case method.ReadDeadline:
		name, what = "timeout", "reads"
	case method.WriteDeadline:
		name, what = "write-timeout", "writes"
	case method.LongDeadline:
		name, what = "long-timeout", "long operations"
	case method.NoDeadline: // has none that could pass
	}
	return fmt.Sprintf("no answer from Qdrant within %v, the time of %s whose callers set none (--%s)", e.span, what, name)
}

func (e *deadlineError) Is(target error) bool { return target == context.DeadlineExceeded }

// kindOf says how long a method takes as the policy puts it.
func kindOf(d method.Deadline) resilience.Kind {
	if d == method.LongDeadline {
		return resilience.Long
	}
	return resilience.Ordinary
}

// newLate makes what ends calls without a deadline of their own, by [method.Deadline].
func newLate(d resilience.Deadlines) [method.LongDeadline + 1]error {
	return [...]error{
		method.ReadDeadline:  &deadlineError{d.Read, method.ReadDeadline},
		method.WriteDeadline: &deadlineError{d.Write, method.WriteDeadline},
		method.LongDeadline:  &deadlineError{d.Long, method.LongDeadline},
	}
}

// deadline is when a call ends, zero for never, and the cause then. It is the
// caller's word, however long or short, else ours, but for methods of which nobody
// knows how long they take.
func (c *Call) deadline() (at time.Time, late error) {
	var given time.Time
	switch late = c.rules.late[c.Method.Deadline]; {
	case c.timed:
		given, late = c.Started.Add(c.timeout), context.DeadlineExceeded
	case late == nil:
		return time.Time{}, nil
	}
	at, expired := c.rules.deadlines.For(c.Method.Class, kindOf(c.Method.Deadline), c.Started, given)
	return at, cmp.Or(expired, late)
}

// answerTime is how long a caller who set no deadline may take for an answer that is
// there, or for the next piece of one that has begun. What Qdrant has done in time
// must not fail because somebody reads slowly, nor be kept for ever if he does not
// read at all.
const answerTime = time.Minute

// answerComes gives the call more time, if that is ours to give.
func (c *Call) answerComes() {
	if !c.timed {
		c.ctx.renew(answerTime)
	}
}

// checkDeadline ends calls whose time is over, or whose caller is gone, before
// anything is done for them.
func checkDeadline(ctx context.Context, _ *Call) error {
	if ctx.Err() != nil {
		return h2.Cause(ctx)
	}
	return nil
}
