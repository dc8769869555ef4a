package proxy_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/proxy"
	"qdrant-sidecar/resilience"
)

// TestApply: a call is under the rules that held when it came, the next one under
// others.
func TestApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		r := newRig(t, standard(), func(a arrival) error {
			if a.n == 1 {
				<-hold
			}
			return unavailable
		})
		var first answer
		var calls sync.WaitGroup
		calls.Go(func() { first = r.call(read) })
		synctest.Wait()
		other := standard()
		other.Retry.Max, other.Retry.Base = 1, 0
		r.server.Apply(proxy.Rules{Resilience: other})
		second := r.call(read)
		r.want("a call that came later", second, codes.Unavailable, 1+2)
		close(hold)
		calls.Wait()
		r.want("the call that was under way", first, codes.Unavailable, 4+2)
	})
}

// TestApplyBounds changes what may be in flight and wait, and the breakers.
func TestApplyBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		r := newRig(t, standard(), func(a arrival) error {
			if a.method == write {
				return unavailable
			}
			<-hold
			return nil
		})
		narrow := standard()
		narrow.Admission = resilience.AdmissionConfig{Limit: 1, Queue: 1, MaxWait: 2 * time.Second}
		narrow.BreakerThreshold, narrow.Retry.Max = 2, 0
		r.server.Apply(proxy.Rules{Resilience: narrow})
		var calls sync.WaitGroup
		calls.Go(func() { r.call(read) })
		synctest.Wait()
		calls.Go(func() {
			if a := r.call(read); a.code != codes.ResourceExhausted || a.took != 2*time.Second {
				t.Errorf("the one that waits: %+v", a)
			}
		})
		synctest.Wait()
		if a := r.call(read); a.code != codes.ResourceExhausted || a.took != 0 {
			t.Errorf("one too many: %+v", a)
		}
		time.Sleep(time.Minute)
		close(hold)
		calls.Wait()
		for range 2 {
			r.call(write)
		}
		if a := r.call(write); !strings.Contains(a.message, "failed too often") {
			t.Errorf("after two failures: %+v", a)
		}
		wide := standard()
		wide.BreakerThreshold, wide.Retry.Max = 0, 0
		r.server.Apply(proxy.Rules{Resilience: wide})
		if a := r.call(write); a.message != "Service unavailable: shard 0" {
			t.Errorf("without breakers: %+v", a)
		}
	})
}

// TestApplyKeepsPolicy: there is one, or none, for as long as the server runs.
func TestApplyKeepsPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		start, then *proxy.Resilience
		attempts    int
	}{"none and then one": {nil, standard(), 1}, "one and then none": {standard(), nil, 4}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, test.start, func(arrival) error { return unavailable })
			r.server.Apply(proxy.Rules{Resilience: test.then})
			r.want(name, r.call(read), codes.Unavailable, test.attempts)
		})
	}
}

// TestApplyUnderLoad is for the race detector.
func TestApplyUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(arrival) error { return nil })
		ctx, stop := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for i := range 8 {
			calls.Go(func() {
				for ctx.Err() == nil {
					if a := r.call([]string{read, write, other, health}[i%4]); a.code != codes.OK {
						t.Errorf("%+v", a)
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		for i := range 50 {
			rules := standard()
			rules.Retry.Max, rules.BreakerThreshold, rules.Admission.Limit = i%4, i%3*5, 100+i
			r.server.Apply(proxy.Rules{APIKey: strings.Repeat("k", i), Resilience: rules, MinReady: i % 2})
			time.Sleep(3 * time.Millisecond)
		}
		stop()
		calls.Wait()
	})
}

// TestDeadlineWhilePaused tells the caller what the call waited for.
func TestDeadlineWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(arrival) error { return nil })
		if _, err := r.server.Pauser().Pause(0); err != nil {
			t.Fatal(err)
		}
		got := r.call(read) // no deadline but ours
		r.want("a read", got, codes.DeadlineExceeded, 0)
		if !strings.Contains(got.message, "paused") || !strings.Contains(got.message, "qdrant-sidecar resume") || got.took != 5*time.Second {
			t.Errorf("after %v: %q", got.took, got.message)
		}
		if a := r.call(health); a.code != codes.OK {
			t.Errorf("HealthCheck: %+v", a)
		}
		if s := r.server.Paused(); s.Began.IsZero() || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		r.server.Pauser().Resume()
		if a := r.call(read); a.code != codes.OK {
			t.Errorf("%+v", a)
		}
	})
}

// TestReadyWithDrained: what an operator took out is not waited for, but something has
// to be there.
func TestReadyWithDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, standard(), func(int, string) error { return nil })
		c.server.Apply(proxy.Rules{Resilience: standard(), MinReady: 3})
		for i, e := range c.pool.State().Endpoints {
			if err := c.server.Ready(); err != nil {
				t.Errorf("with %d drained: %v", i, err)
			}
			if _, err := c.pool.Drain(e.Address, true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if err := c.server.Ready(); err == nil || !strings.Contains(err.Error(), "drained") {
			t.Errorf("with all of them drained: %v", err)
		}
	})
}

// TestReadinessDoesNotFlap: a node that is lost is missed after 3 s, and not when it comes
// back before.
func TestReadinessDoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, standard(), func(int, string) error { return nil })
		c.server.Apply(proxy.Rules{Resilience: standard(), MinReady: 3})
		ready := func(span time.Duration) (all, any bool) {
			all = true
			for start := time.Now(); time.Since(start) < span; time.Sleep(10 * time.Millisecond) {
				if c.server.Ready() == nil {
					any = true
				} else {
					all = false
				}
			}
			return all, any
		}
		for restart := range 5 {
			c.reach(restart%3, false)
			if all, _ := ready(time.Second); !all {
				t.Fatalf("it is not ready in restart %d", restart)
			}
			c.reach(restart%3, true)
			if all, _ := ready(3 * time.Second); !all {
				t.Fatalf("it is not ready after restart %d", restart)
			}
		}
		c.reach(1, false)
		if all, _ := ready(2900 * time.Millisecond); !all {
			t.Error("it has stopped to be ready within 3 s")
		}
		time.Sleep(200 * time.Millisecond)
		if _, any := ready(10 * time.Second); any {
			t.Error("it is ready while a node is gone that has to be there")
		}
		c.reach(1, true)
		time.Sleep(1600 * time.Millisecond)
		if all, _ := ready(10 * time.Second); !all {
			t.Error("it is not ready again")
		}
	})
}
