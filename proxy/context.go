package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"qdrant-sidecar/resilience"
)

// callContext is the context of a call. It ends with the call's caller, the sidecar
// or the call's deadline, and, for a first attempt that has less time than the
// call, with that. All of it takes one timer, where a context of the standard
// library within another would take one each, and twice the memory.
type callContext struct {
	context.Context // ends when cancel is called
	cancel          context.CancelCauseFunc
	deadline        time.Time // zero: none
	late            error     // the cause when the deadline has passed

	mu    sync.Mutex
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
	x.Context, x.cancel = context.WithCancelCause(context.Background())
	if deadline.IsZero() {
		return x
	}
	left := time.Until(deadline)
	if left <= 0 {
		x.cancel(resilience.ErrExpired)
		return x
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.timer = time.AfterFunc(left, x.ring)
	return x
}

// Deadline implements context.Context.
func (x *callContext) Deadline() (time.Time, bool) { return x.deadline, !x.deadline.IsZero() }

// Err implements context.Context.
func (x *callContext) Err() error {
	err := x.Context.Err()
	if err != nil && errors.Is(context.Cause(x.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// ring is called by the timer, maybe late: when it had been set anew already.
func (x *callContext) ring() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.budget != nil {
		// To give up the attempt without being allowed another would be to take time
		// from the caller.
		x.cut = x.budget.Take(time.Now())
		if x.cut {
			x.cancel(errTryTimeout)
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
	x.cancel(x.late)
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

// stop ends the context.
func (x *callContext) stop() {
	x.cancel(nil)
	if x.timer != nil {
		x.timer.Stop()
	}
}
