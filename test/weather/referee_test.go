package weather_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// busy is how late a timer, or a node that nothing is wrong with, may be on a machine on
// which it can be told what the sidecar is late with. Promises leave a second or more to
// what they are kept with; and while calls take long anyway, so many are under way that
// what breaks them breaks more than the sidecar may make again.
const busy = 500 * time.Millisecond

// referee is a test that knows how late the machine is. When it was too busy, failures
// are excused, and the test is skipped in the end: it would have proved nothing.
type referee struct {
	*testing.T
	timer, node lateness
	excused     atomic.Bool
}

// lateness is the worst there was, as a [time.Duration].
type lateness struct{ atomic.Int64 }

func (l *lateness) note(late time.Duration) {
	for {
		worst := l.Load()
		if int64(late) <= worst || l.CompareAndSwap(worst, int64(late)) {
			return
		}
	}
}

// newReferee begins to look at the clock.
func newReferee(t *testing.T) *referee {
	r := &referee{T: t}
	r.every(glance, func(_ context.Context, due time.Time) { r.timer.note(time.Since(due)) })
	return r
}

// watchNodes begins to make calls to nodes that nothing is done to, past the sidecar and
// all weather. What takes long there is no fault of the sidecar.
func (r *referee) watchNodes(call func(ctx context.Context)) {
	r.every(busy/2, func(ctx context.Context, _ time.Time) {
		ctx, cancel := context.WithTimeout(ctx, 2*busy)
		defer cancel()
		began := time.Now()
		call(ctx)
		r.node.note(time.Since(began))
	})
}

// every does something now and again until the test ends. It is told when it was due.
func (r *referee) every(pause time.Duration, do func(ctx context.Context, due time.Time)) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		for {
			due := time.Now().Add(pause)
			timer.Reset(pause)
			select {
			case <-timer.C:
				do(ctx, due)
			case <-ctx.Done():
				return
			}
		}
	})
	r.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// excuse says why failures prove nothing; "" if they do.
func (r *referee) excuse() string {
	switch timer, node := time.Duration(r.timer.Load()), time.Duration(r.node.Load()); {
	case timer > busy:
		return fmt.Sprintf("a timer was late by %v", timer)
	case node > busy:
		return fmt.Sprintf("a node took %v for a call that did not come from the sidecar", node)
	default:
		return ""
	}
}

// Errorf implements [testing.TB].
func (r *referee) Errorf(format string, args ...any) {
	r.Helper()
	if why := r.excuse(); why != "" {
		r.excused.Store(true)
		r.Logf("excused, for %s: %s", why, fmt.Sprintf(format, args...))
		return
	}
	r.T.Errorf(format, args...)
}

// Error implements [testing.TB].
func (r *referee) Error(args ...any) {
	r.Helper()
	r.Errorf("%s", fmt.Sprint(args...))
}

// Fatalf implements [testing.TB].
func (r *referee) Fatalf(format string, args ...any) {
	r.Helper()
	r.Errorf(format, args...)
	r.settle()
	r.FailNow()
}

// Fatal implements [testing.TB].
func (r *referee) Fatal(args ...any) {
	r.Helper()
	r.Fatalf("%s", fmt.Sprint(args...))
}

// settle is the end of a test, which is skipped if something was excused.
func (r *referee) settle() {
	r.Helper()
	if r.excused.Load() && !r.Failed() {
		r.Skipf("NOT TESTED: the machine was too busy, for %s.", r.excuse())
	}
}
