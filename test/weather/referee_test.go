package weather_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// busy is how late a timer may be on a machine on which it can be told what the sidecar
// is late with. Promises leave a second or more to what they are kept with.
const busy = 500 * time.Millisecond

// referee is a test that knows how late the machine is. When it was too busy, failures
// are excused, and the test is skipped in the end: it would have proved nothing.
type referee struct {
	*testing.T
	late    atomic.Int64 // the worst, as a time.Duration
	excused atomic.Bool
}

// newReferee begins to look at the clock.
func newReferee(t *testing.T) *referee {
	r := &referee{T: t}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		timer := time.NewTimer(glance)
		defer timer.Stop()
		for {
			due := time.Now().Add(glance)
			timer.Reset(glance)
			select {
			case <-timer.C:
				r.late.Store(max(r.late.Load(), int64(time.Since(due))))
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		watching.Wait()
	})
	return r
}

func (r *referee) excuse() (late time.Duration, excused bool) {
	late = time.Duration(r.late.Load())
	return late, late > busy
}

// Errorf implements [testing.TB].
func (r *referee) Errorf(format string, args ...any) {
	r.Helper()
	if late, excused := r.excuse(); excused {
		r.excused.Store(true)
		r.Logf("excused, for a timer was late by %v: %s", late, fmt.Sprintf(format, args...))
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
	if late, _ := r.excuse(); r.excused.Load() && !r.Failed() {
		r.Skipf("NOT TESTED: the machine was too busy, for a timer was late by %v.", late)
	}
}
