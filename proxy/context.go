package proxy

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

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
	// budget is set while an attempt has a time of its own, and is asked for the
	// retry that would follow when that is over.
	budget *resilience.Budget
	// cut says that the retry was granted and the attempt given up.
	cut bool
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

// ring is called by the timer, maybe late: when it had been set anew already.
func (x *callContext) ring() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause != nil {
		return
	}
	if x.budget != nil {
		// To give up the attempt without being allowed another would be to take time
		// from the caller.
		x.cut = x.budget.Take(time.Now())
		if x.cut {
			x.endLocked(errTryTimeout)
			return
		}
		x.budget = nil
	}
	x.awaitDeadlineLocked()
}

func (x *callContext) awaitDeadlineLocked() {
	if x.deadline.IsZero() {
		return
	}
	if left := time.Until(x.deadline); left > 0 {
		x.timer.Reset(left)
		return
	}
	x.endLocked(x.late)
}

// try gives the attempt that begins less time than the call has, if the budget has
// a retry for it when that is over.
func (x *callContext) try(d time.Duration, budget *resilience.Budget) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.budget = budget
	if x.timer == nil {
		x.timer = time.AfterFunc(d, x.ring)
		return
	}
	x.timer.Reset(d)
}

// endTry gives back the call's time to what is left of it. It reports whether the
// attempt was cut: then the context has ended, and the retry that was taken from
// the budget belongs to the one who asked.
func (x *callContext) endTry() (cut bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cut {
		x.cut = false
		return true
	}
	if x.budget != nil {
		x.budget = nil
		x.awaitDeadlineLocked()
	}
	return false
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
