package proxy

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// callContext is the context of a call. It ends with the call's caller, the sidecar
// or the call's deadline, and, for a first attempt that has less time than the
// call, with that. All of it takes one timer, where a context of the standard
// library within another would take one each, and a third of the memory.
type callContext struct {
	deadline time.Time // zero: none
	late     error     // the cause when the deadline has passed

	mu    sync.Mutex
	cause error         // why it ended; nil while it has not
	done  chan struct{} // made when somebody asks; closed with cause
	timer *time.Timer
	// budget is set while there is an attempt that may be given up before the call's
	// time is over, and is asked for the retry that would follow.
	budget *resilience.Budget
	// tryEnds is when such an attempt has had its time; zero when it has all of the
	// call's.
	tryEnds time.Time
	// node is where such an attempt is, to be left when the node is found to hang; nil
	// when there is no other.
	node *pool.Node
	// doubts is when the attempt has taken so long that the node is to be checked; zero
	// when that was done.
	doubts time.Time
	// cut says that the retry was granted and the attempt given up, and forsaken that
	// this was for its node.
	cut, forsaken bool
}

// errTryTimeout ends an attempt that had less time than its call.
var errTryTimeout = errors.New("the attempt's own time is over")

// newCallContext returns the context of a call that ends at deadline, if that is
// not zero, because of late. It is to be stopped.
func newCallContext(deadline time.Time, late error) *callContext {
	x := &callContext{deadline: deadline, late: late}
	if deadline.IsZero() {
		return x
	}
	left := time.Until(deadline)
	if left <= 0 {
		x.cause = resilience.ErrExpired
		return x
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.timer = time.AfterFunc(left, x.ring)
	return x
}

// Deadline implements context.Context.
func (x *callContext) Deadline() (time.Time, bool) { return x.deadline, !x.deadline.IsZero() }

// Done implements context.Context.
func (x *callContext) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done == nil {
		x.done = make(chan struct{})
		if x.cause != nil {
			close(x.done)
		}
	}
	return x.done
}

// Err implements context.Context.
func (x *callContext) Err() error {
	switch cause := x.Cause(); {
	case cause == nil:
		return nil
	case errors.Is(cause, context.DeadlineExceeded):
		return context.DeadlineExceeded
	default:
		return context.Canceled
	}
}

// Cause returns why the context has ended; nil while it has not. See [h2.Cause].
func (x *callContext) Cause() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cause
}

// Value implements context.Context: the record of the call has what there is to know.
func (*callContext) Value(any) any { return nil }

// end ends the context; nil stands for [context.Canceled].
func (x *callContext) end(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.endLocked(cmp.Or(cause, context.Canceled))
}

func (x *callContext) endLocked(cause error) {
	if x.cause != nil {
		return
	}
	x.cause = cause
	if x.done != nil {
		close(x.done)
	}
}

const (
	// lookEvery is how often an attempt that takes long has a look at its node.
	lookEvery = 250 * time.Millisecond
	// doubtAfter is when it has the node checked, lest it waits for the next HealthCheck
	// to find out what it has begun to suspect: a read that has 5 s in all leaves with 2
	// of them to spare.
	doubtAfter = time.Second
)

// ring is called by the timer, maybe early: it is not set anew for what changes
// with every call.
func (x *callContext) ring() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause != nil {
		return
	}
	now := time.Now()
	late := !x.deadline.IsZero() && !now.Before(x.deadline)
	if x.budget != nil && !late && x.giveUpLocked(now) {
		return
	}
	if x.budget != nil && x.node != nil && !x.doubts.IsZero() && !now.Before(x.doubts) {
		x.node.Suspect()
		x.doubts = time.Time{}
	}
	next := x.deadline
	if x.budget != nil {
		next = earlier(next, x.nextLookLocked(now))
	}
	switch {
	case late:
		x.endLocked(x.late)
	case !next.IsZero():
		x.timer.Reset(next.Sub(now))
	}
}

// giveUpLocked gives up the attempt, and reports so, if that is hopeless and another
// one is granted: without that it would be to take time from the caller.
func (x *callContext) giveUpLocked(now time.Time) bool {
	x.forsaken = x.node != nil && x.node.Forsaken()
	switch {
	case x.forsaken:
		// Those that leave a node with many others are no more of a storm than those
		// that lose a connection together. When they are too many for now, the next look
		// comes soon.
		x.cut = x.budget.TakeTogether(now)
	case !x.tryEnds.IsZero() && !now.Before(x.tryEnds):
		if x.cut = x.budget.Take(now); !x.cut {
			x.tryEnds = time.Time{} // it is not asked twice for that
		}
	}
	if x.cut {
		x.endLocked(errTryTimeout)
	}
	return x.cut
}

// nextLookLocked is when the attempt may be hopeless.
func (x *callContext) nextLookLocked(now time.Time) (next time.Time) {
	if x.tryEnds.After(now) {
		next = x.tryEnds
	}
	if x.node != nil {
		next = earlier(next, now.Add(lookEvery))
	}
	return next
}

// earlier returns the earlier time; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// try has the attempt that begins now be given up when it has taken d, unless that is
// 0, or when its node is found to hang, unless that is nil; if the budget has a retry
// for it then.
func (x *callContext) try(now time.Time, d time.Duration, node *pool.Node, budget *resilience.Budget) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.budget, x.node, x.tryEnds, x.doubts = budget, node, time.Time{}, now.Add(doubtAfter)
	if d > 0 {
		x.tryEnds = now.Add(d)
	}
	next := earlier(x.deadline, x.nextLookLocked(now)).Sub(now)
	if x.timer == nil {
		x.timer = time.AfterFunc(next, x.ring)
		return
	}
	x.timer.Reset(next)
}

// endTry gives back the call's time to what is left of it. It reports whether the
// attempt was cut: then the context has ended, and the retry that was taken from
// the budget belongs to the one who asked.
func (x *callContext) endTry() (cut bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	cut, x.cut, x.budget = x.cut, false, nil
	return cut
}

// renew puts the deadline off, if there is one, to d from now. The timer finds out
// when it rings.
func (x *callContext) renew(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause == nil && !x.deadline.IsZero() {
		x.deadline = time.Now().Add(d)
	}
}

// stop ends the context.
func (x *callContext) stop() {
	x.end(nil)
	if x.timer != nil {
		x.timer.Stop()
	}
}
