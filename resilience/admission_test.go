package resilience_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"qdrant-sidecar/resilience"
)

func admission(limit, queue int, maxWait time.Duration) *resilience.Admission {
	return resilience.NewAdmission(resilience.AdmissionConfig{Limit: limit, Queue: queue, MaxWait: maxWait})
}

func mustAcquire(t *testing.T, a *resilience.Admission, times int) {
	t.Helper()
	for range times {
		if err := a.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// turnedAway checks that err is an OverloadError for the reason.
func turnedAway(t *testing.T, err error, reason resilience.OverloadReason) *resilience.OverloadError {
	t.Helper()
	overload, ok := errors.AsType[*resilience.OverloadError](err)
	if !ok || overload.Reason != reason {
		t.Fatalf("got %v, want %s", err, reason)
	}
	return overload
}

func TestAdmissionWithoutLimit(t *testing.T) {
	a := admission(0, 0, 0)
	mustAcquire(t, a, 10_000)
	if got := a.State(); got != (resilience.AdmissionState{InFlight: 10_000}) {
		t.Errorf("state %+v", got)
	}
}

func TestAdmissionQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 1, time.Second)
		mustAcquire(t, a, 1)
		var wg sync.WaitGroup
		wg.Go(func() { mustAcquire(t, a, 1) })
		synctest.Wait()
		turnedAway(t, a.Acquire(t.Context()), resilience.QueueFull)
		if got, want := a.State(), (resilience.AdmissionState{InFlight: 1, Waiting: 1, Limit: 1}); got != want {
			t.Errorf("state %+v, want %+v", got, want)
		}
		a.Release()
		wg.Wait()
		a.Release()
		if got := a.State(); got.InFlight != 0 || got.Waiting != 0 {
			t.Errorf("left over: %+v", got)
		}
	})
}

func TestAdmissionAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 10, time.Second)
		mustAcquire(t, a, 1)
		start := time.Now()
		if overload := turnedAway(t, a.Acquire(t.Context()), resilience.QueuedTooLong); overload.Waited != time.Second {
			t.Errorf("%+v", overload)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("turned away after %v, want 1s", took)
		}
		a.Release()
		mustAcquire(t, a, 1) // who left has taken no place
	})
}

func TestAdmissionCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 10, time.Second)
		mustAcquire(t, a, 1)
		why := errors.New("hung up")
		ctx, cancel := context.WithCancelCause(t.Context())
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { err = a.Acquire(ctx) })
		synctest.Wait()
		cancel(why)
		wg.Wait()
		if !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		if err := a.Acquire(ctx); !errors.Is(err, why) {
			t.Errorf("who has left may not wait: %v", err)
		}
		if got := a.State(); got.Waiting != 0 || got.InFlight != 1 {
			t.Errorf("state %+v", got)
		}
	})
}

func TestAdmissionFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 10, time.Second)
		mustAcquire(t, a, 1)
		var served []int
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				if a.Acquire(t.Context()) == nil {
					served = append(served, i)
					a.Release()
				}
			})
			synctest.Wait()
		}
		a.Release()
		wg.Wait()
		if !slices.Equal(served, []int{0, 1, 2, 3, 4}) {
			t.Errorf("served %v", served)
		}
	})
}

// slowQueue returns an Admission of one place, whose queue moves once in interval
// for as long as somebody waits; depth goroutines do until the returned function is
// called, or the test ends.
func slowQueue(t *testing.T, a *resilience.Admission, depth int, interval time.Duration) (stop func()) {
	mustAcquire(t, a, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range depth {
		wg.Go(func() {
			for ctx.Err() == nil && a.Acquire(ctx) == nil {
				time.Sleep(interval)
				a.Release()
			}
		})
	}
	synctest.Wait()
	a.Release()
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func TestAdmissionRejectsWhatCannotBeServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 100, 5*time.Second)
		slowQueue(t, a, 11, 100*time.Millisecond) // one served, ten waiting
		soon, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		// Nothing is known yet: it may wait, and waits in vain.
		if err := a.Acquire(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		time.Sleep(2*time.Second + 50*time.Millisecond)
		start := time.Now()
		soon, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		overload := turnedAway(t, a.Acquire(soon), resilience.QueuedPastDeadline)
		if !elevenTenths(overload.Expected) || overload.Ahead != 10 || time.Since(start) != 0 {
			t.Errorf("after %v: %+v", time.Since(start), overload)
		}
		later, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		if err := a.Acquire(later); err != nil {
			t.Errorf("who can be served is not: %v", err)
		} else if took := time.Since(start); took != 1050*time.Millisecond {
			t.Errorf("served after %v, want 1.05s", took)
		}
		a.Release()
	})
}

// elevenTenths: ten ahead and oneself, 0.1 s each. The very first was served at once,
// which the mean has not quite forgotten.
func elevenTenths(d time.Duration) bool {
	return d > 1060*time.Millisecond && d <= 1100*time.Millisecond
}

func TestAdmissionRejectsWhatWouldBeTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 100, 1050*time.Millisecond)
		slowQueue(t, a, 11, 100*time.Millisecond)
		time.Sleep(2*time.Second + 50*time.Millisecond)
		if overload := turnedAway(t, a.Acquire(t.Context()), resilience.QueuedTooLong); !elevenTenths(overload.Expected) {
			t.Errorf("%+v", overload)
		}
	})
}

// TestAdmissionForgetsASlowQueue: a queue that was slow must not turn away the first
// who comes to it when it is empty, or it could never be found to be fast again.
func TestAdmissionForgetsASlowQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 100, time.Second)
		stop := slowQueue(t, a, 2, 900*time.Millisecond)
		time.Sleep(10 * time.Second)
		stop()
		mustAcquire(t, a, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		time.AfterFunc(50*time.Millisecond, a.Release)
		if err := a.Acquire(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestAdmissionMisuse(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a place that nobody held was released without a panic")
		}
	}()
	admission(1, 1, time.Second).Release()
}

// TestAdmissionConcurrently is for lost wake-ups: whoever waits is served as soon as
// there is a place, or the test ends with OverloadErrors.
func TestAdmissionConcurrently(t *testing.T) {
	const limit, callers, calls = 3, 12, 3000
	a := admission(limit, callers, time.Minute)
	places := make(chan struct{}, limit)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range calls {
				if err := a.Acquire(t.Context()); err != nil {
					t.Error(err)
					return
				}
				select {
				case places <- struct{}{}:
				default:
					t.Error("more calls in flight than the limit")
				}
				if i%64 == 0 {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Microsecond, cancel)
					if a.Acquire(ctx) == nil {
						a.Release()
					}
					cancel()
				}
				<-places
				a.Release()
			}
		})
	}
	wg.Wait()
	if got := a.State(); got.InFlight != 0 || got.Waiting != 0 {
		t.Errorf("left over: %+v", got)
	}
}

// TestAdmissionModel compares it with a list of who waits since when.
func TestAdmissionModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, rt, func(t *rapid.T) {
			type call struct {
				id     int
				came   time.Time
				cancel context.CancelFunc
			}
			const maxWait = time.Second
			limit, queue := rapid.IntRange(1, 3).Draw(t, "limit"), rapid.IntRange(0, 5).Draw(t, "queue")
			a := admission(limit, queue, maxWait)
			var waiting []call
			inFlight, next := 0, 0
			outcomes := map[int]error{} // of the real calls, by id
			want := map[int]string{}    // of the model's
			var mu sync.Mutex
			var wg sync.WaitGroup
			var moved time.Time // when the queue did last, or began
			var pace time.Duration
			moves := 0
			expire := func() {
				for len(waiting) > 0 && time.Since(waiting[0].came) >= maxWait {
					want[waiting[0].id] = string(resilience.QueuedTooLong)
					waiting = waiting[1:]
				}
			}
			release := func() {
				a.Release()
				inFlight--
				if len(waiting) > 0 {
					want[waiting[0].id] = "served"
					waiting = waiting[1:]
					inFlight++
					moves++
					pace += (time.Since(moved) - pace) / time.Duration(min(moves, 8))
					moved = time.Now()
				}
				synctest.Wait()
			}
			t.Repeat(map[string]func(*rapid.T){
				"acquire": func(*rapid.T) {
					ctx, cancel := context.WithCancel(context.Background())
					id := next
					next++
					wg.Go(func() {
						defer cancel()
						err := a.Acquire(ctx)
						mu.Lock()
						defer mu.Unlock()
						outcomes[id] = err
					})
					switch {
					case inFlight < limit:
						inFlight++
						want[id] = "served"
					case len(waiting) >= queue:
						want[id] = string(resilience.QueueFull)
					case len(waiting) > 0 && moves >= 8 && pace*time.Duration(len(waiting)+1) > maxWait:
						want[id] = string(resilience.QueuedTooLong)
					default:
						if len(waiting) == 0 {
							moved, pace, moves = time.Now(), 0, 0
						}
						waiting = append(waiting, call{id, time.Now(), cancel})
					}
					synctest.Wait()
				},
				"release": func(t *rapid.T) {
					if inFlight == 0 {
						t.Skip("nothing in flight")
					}
					release()
				},
				"cancel": func(t *rapid.T) {
					if len(waiting) == 0 {
						t.Skip("nobody waits")
					}
					i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
					waiting[i].cancel()
					want[waiting[i].id] = "cancelled"
					waiting = slices.Delete(waiting, i, i+1)
					synctest.Wait()
				},
				"pass": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 700).Draw(t, "ms")) * time.Millisecond)
					synctest.Wait()
					expire()
				},
				"": func(t *rapid.T) {
					mu.Lock()
					defer mu.Unlock()
					if got := (resilience.AdmissionState{InFlight: inFlight, Waiting: len(waiting), Limit: limit}); a.State() != got {
						t.Fatalf("state %+v, want %+v", a.State(), got)
					}
					if len(outcomes) != len(want) {
						t.Fatalf("%d calls have ended, want %d", len(outcomes), len(want))
					}
					for id, err := range outcomes {
						got := "served"
						if overload, ok := errors.AsType[*resilience.OverloadError](err); ok {
							got = string(overload.Reason)
						} else if err != nil {
							got = "cancelled"
						}
						if got != want[id] {
							t.Fatalf("call %d: %s, want %s", id, got, want[id])
						}
					}
				},
			})
			for inFlight > 0 {
				release()
			}
			wg.Wait()
		})
	})
}

// TestBatchesAreNoSlowPace: calls that began together end together. Who comes when
// the first of them have ended must not take the time of all for the time of those.
func TestBatchesAreNoSlowPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 100
		a := resilience.NewAdmission(resilience.AdmissionConfig{Limit: places, Queue: 2 * places, MaxWait: 3 * time.Second})
		var calls sync.WaitGroup
		wait := func(n int) {
			for range n {
				calls.Go(func() {
					if err := a.Acquire(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
		}
		wait(2 * places)
		for range 5 { // batches
			time.Sleep(time.Second)
			for range places {
				a.Release()
				wait(1)
			}
		}
		for a.State().InFlight > 0 {
			a.Release()
			synctest.Wait()
		}
		calls.Wait()
	})
}

// TestMaxWaitChanges for those who come later.
func TestMaxWaitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 5, time.Second)
		mustAcquire(t, a, 1)
		start := time.Now()
		first := queueUp(t.Context(), t, a, 1)
		a.SetMaxWait(time.Minute)
		second := queueUp(t.Context(), t, a, 1)
		turnedAway(t, <-first, resilience.QueuedTooLong)
		if took := time.Since(start); took != time.Second {
			t.Errorf("the first waited %v", took)
		}
		turnedAway(t, <-second, resilience.QueuedTooLong)
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the second waited %v", took)
		}
	})
}
