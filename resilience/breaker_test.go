package resilience_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/resilience"
)

// These tests run in bubbles, because gobreaker reads the time by itself.

func open1(cfg resilience.BreakerConfig) *resilience.Breakers {
	if cfg.Rand == nil {
		cfg.Rand = func() float64 { return 1 } // open for 1, 2, 4 … s
	}
	return resilience.NewBreakers(cfg, "db:6334", []string{"/qdrant.Points/Query", "/qdrant.Points/Upsert"})
}

// attempt makes attempts of method 0 that end at once, until one is refused.
func attempt(t *testing.T, s *resilience.Breakers, fault resilience.Fault, times int) (made int) {
	t.Helper()
	for range times {
		p, err := s.Allow(0)
		if err != nil {
			return made
		}
		p.Done(fault)
		made++
	}
	return made
}

func state(s *resilience.Breakers) resilience.State { return s.Status()[0].State }

func expectState(t *testing.T, s *resilience.Breakers, want resilience.State) {
	t.Helper()
	if got := s.Status()[0]; got.State != want {
		t.Fatalf("%v, want %v; %+v", got.State, want, got)
	}
}

// tick lets the least time pass: open times end after their last nanosecond.
func tick() { time.Sleep(2 * time.Nanosecond) }

func TestBreakerOpensAtThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 10})
		attempt(t, s, resilience.Upstream, 9)
		expectState(t, s, resilience.Closed)
		attempt(t, s, resilience.Upstream, 1)
		expectState(t, s, resilience.Open)

		_, err := s.Allow(0)
		refused, ok := errors.AsType[*resilience.OpenError](err)
		if !ok || refused.Remaining != time.Second || refused.Probing {
			t.Fatalf("got %#v", err)
		}
		for _, part := range []string{"/qdrant.Points/Query", "db:6334", "1s"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %s", err, part)
			}
		}
		if _, err := s.Allow(1); err != nil {
			t.Errorf("another method is refused, too: %v", err)
		}
	})
}

func TestBreakerCountsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 3})
		// Caller's faults are successes; nothing learned and faults of others are not.
		for _, between := range []struct {
			fault resilience.Fault
			opens bool
		}{{resilience.NoFault, false}, {resilience.Caller, false}, {resilience.Unproven, true}, {resilience.Aside, true}} {
			attempt(t, s, resilience.Upstream, 2)
			attempt(t, s, between.fault, 1)
			attempt(t, s, resilience.Upstream, 1)
			if got := state(s) == resilience.Open; got != between.opens {
				t.Errorf("two failures, %v, failure: open %t, want %t", between.fault, got, between.opens)
			}
			time.Sleep(time.Minute)
			attempt(t, s, resilience.NoFault, 1)
		}
	})
}

func TestBreakerOpensBySuccessRate(t *testing.T) {
	for _, test := range []struct {
		name                string
		successes, failures int
		opens               bool
	}{
		{"four of nineteen fail", 15, 4, false},
		{"four of twenty fail", 16, 4, false},
		{"five of twenty fail", 15, 5, true},
		{"21 of hundred fail", 79, 21, true},
		{"20 of hundred fail", 80, 20, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open1(resilience.BreakerConfig{Threshold: 1000})
				attempt(t, s, resilience.NoFault, test.successes)
				attempt(t, s, resilience.Upstream, test.failures)
				if got := state(s) == resilience.Open; got != test.opens {
					t.Errorf("open %t, want %t", got, test.opens)
				}
			})
		})
	}
	t.Run("outside the window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := open1(resilience.BreakerConfig{Threshold: 1000})
			attempt(t, s, resilience.NoFault, 15)
			time.Sleep(10 * time.Second)
			attempt(t, s, resilience.Upstream, 19)
			expectState(t, s, resilience.Closed)
		})
	})
}

func TestBreakerMistakesOfCallersNeverOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		for _, fault := range []resilience.Fault{resilience.Caller, resilience.Unproven, resilience.Aside} {
			if attempt(t, s, fault, 1000) != 1000 {
				t.Errorf("%v opened it", fault)
			}
		}
	})
}

func TestBreakerGrowsAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		attempt(t, s, resilience.Upstream, 1)
		for _, openFor := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			if got := s.Status()[0].Remaining; got != openFor*time.Second {
				t.Fatalf("open for %v, want %v", got, openFor*time.Second)
			}
			time.Sleep(openFor * time.Second)
			expectState(t, s, resilience.Open)
			tick()
			expectState(t, s, resilience.HalfOpen)
			attempt(t, s, resilience.Upstream, 1)
			expectState(t, s, resilience.Open)
		}
		time.Sleep(time.Minute + 1)
		attempt(t, s, resilience.NoFault, 1)
		expectState(t, s, resilience.Closed)
		attempt(t, s, resilience.Upstream, 1)
		if got := s.Status()[0].Remaining; got != time.Second {
			t.Errorf("open for %v after it had closed, want 1s", got)
		}
	})
}

func TestBreakerJitter(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 500 * time.Millisecond, 0.5: 750 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := open1(resilience.BreakerConfig{Threshold: 1, Rand: func() float64 { return random }})
			attempt(t, s, resilience.Upstream, 1)
			if got := s.Status()[0].Remaining; got != want {
				t.Errorf("open for %v, want %v", got, want)
			}
		})
	}
}

func TestBreakerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		attempt(t, s, resilience.Upstream, 1)
		for range 6 {
			time.Sleep(s.Status()[0].Remaining + 1)
			attempt(t, s, resilience.Upstream, 1)
		}
		if got := s.Status()[0].Remaining; got != time.Minute {
			t.Fatalf("open for %v, want 1m", got)
		}
		s.SetAlone(true)
		if got := s.Status()[0].Remaining; got != 5*time.Second {
			t.Errorf("alone and open for %v, want 5s", got)
		}
		s.SetAlone(false)
		if got := s.Status()[0].Remaining; got != time.Minute {
			t.Errorf("no longer alone and open for %v, want 1m", got)
		}
	})
}

func TestBreakerRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		attempt(t, s, resilience.Upstream, 1)
		s.Recovered()
		tick()
		if attempt(t, s, resilience.Upstream, 1) != 1 {
			t.Fatal("no probe after recovery")
		}
		if got := s.Status()[0].Remaining; got != 2*time.Second {
			t.Errorf("open for %v after a recovery that was none, want 2s", got)
		}
		// A probe that hangs since before the recovery keeps nobody out.
		time.Sleep(2*time.Second + 1)
		hanging, err := s.Allow(0)
		if err != nil {
			t.Fatal(err)
		}
		s.Recovered()
		if attempt(t, s, resilience.NoFault, 1) != 1 {
			t.Fatal("no probe after recovery")
		}
		expectState(t, s, resilience.Closed)
		hanging.Done(resilience.Upstream)
		expectState(t, s, resilience.Closed)
	})
}

func TestBreakerOff(t *testing.T) {
	s := open1(resilience.BreakerConfig{})
	if attempt(t, s, resilience.Upstream, 1000) != 1000 || s.Status() != nil {
		t.Error("it is not off")
	}
	s.Recovered()
}

func TestBreakerProbe(t *testing.T) {
	// halfOpen returns breakers with a probe under way.
	halfOpen := func(t *testing.T) (*resilience.Breakers, resilience.Permit) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		attempt(t, s, resilience.Upstream, 1)
		time.Sleep(time.Second + 1)
		p, err := s.Allow(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Allow(0); err == nil {
			t.Fatal("a second probe beside the first")
		} else if refused, _ := errors.AsType[*resilience.OpenError](err); !refused.Probing || refused.Remaining != 5*time.Second {
			t.Fatalf("got %#v", refused)
		}
		return s, p
	}
	for fault, want := range map[resilience.Fault]resilience.State{
		resilience.NoFault: resilience.Closed, resilience.Caller: resilience.Closed, resilience.Aside: resilience.Closed,
		resilience.Upstream: resilience.Open, resilience.Unproven: resilience.HalfOpen,
	} {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := halfOpen(t)
				p.Done(fault)
				expectState(t, s, want)
				if _, err := s.Allow(0); (err != nil) != (want == resilience.Open) {
					t.Errorf("the next attempt: %v", err)
				}
			})
		})
	}
	t.Run("late success of a slow method", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := halfOpen(t)
			time.Sleep(5*time.Second + 1)
			if _, err := s.Allow(0); err != nil {
				t.Fatalf("no second probe after the first has taken too long: %v", err)
			}
			time.Sleep(time.Minute)
			p.Done(resilience.NoFault)
			expectState(t, s, resilience.Closed)
		})
	})
	t.Run("a late neutral result does not make room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := halfOpen(t)
			time.Sleep(5*time.Second + 1)
			if _, err := s.Allow(0); err != nil {
				t.Fatal(err)
			}
			p.Done(resilience.Unproven)
			if _, err := s.Allow(0); err == nil {
				t.Error("two probes at once")
			}
		})
	})
}

func TestBreakerChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []resilience.Change
		s := open1(resilience.BreakerConfig{Threshold: 2, OnChange: func(c resilience.Change) { changes = append(changes, c) }})
		attempt(t, s, resilience.Upstream, 2)
		time.Sleep(time.Second + 1)
		attempt(t, s, resilience.NoFault, 1)
		const endpoint, method = "db:6334", "/qdrant.Points/Query"
		want := []resilience.Change{
			{Endpoint: endpoint, Method: method, From: resilience.Closed, To: resilience.Open, Failures: 2, OpenFor: time.Second},
			{Endpoint: endpoint, Method: method, From: resilience.Open, To: resilience.HalfOpen, Failures: 2},
			{Endpoint: endpoint, Method: method, From: resilience.HalfOpen, To: resilience.Closed},
		}
		if !slices.Equal(changes, want) {
			t.Errorf("got %+v\nwant %+v", changes, want)
		}
	})
}

// TestBreakerConcurrently is for the race detector, and for the one probe.
func TestBreakerConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 5})
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				for i := range 200 {
					if p, err := s.Allow(0); err == nil {
						time.Sleep(time.Duration(g) * time.Millisecond)
						p.Done([...]resilience.Fault{resilience.Upstream, resilience.NoFault}[i/20%2])
					} else {
						time.Sleep(50 * time.Millisecond)
					}
					if g == 0 && i%50 == 0 {
						s.Recovered()
						s.Status()
					}
				}
			})
		}
		wg.Wait()
		time.Sleep(2 * time.Minute)
		attempt(t, s, resilience.NoFault, 1)
		expectState(t, s, resilience.Closed)

		attempt(t, s, resilience.Upstream, 5)
		time.Sleep(time.Second + 1)
		passed := make(chan resilience.Permit, 16)
		for range 16 {
			wg.Go(func() {
				if p, err := s.Allow(0); err == nil {
					passed <- p
				}
			})
		}
		wg.Wait()
		if len(passed) != 1 {
			t.Errorf("%d probes at once", len(passed))
		}
	})
}

// TestThresholdChanges for breakers that are in use.
func TestThresholdChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []resilience.Change
		s := open1(resilience.BreakerConfig{Threshold: 10, OnChange: func(c resilience.Change) { changes = append(changes, c) }})
		attempt(t, s, resilience.Upstream, 4)
		s.SetThreshold(5) // what was counted counts
		if n := attempt(t, s, resilience.Upstream, 9); n != 1 {
			t.Errorf("%d more attempts until it opened, want 1", n)
		}
		expectState(t, s, resilience.Open)
		late, err := s.Allow(1)
		if err != nil {
			t.Fatal(err)
		}
		s.SetThreshold(0)
		if n := attempt(t, s, resilience.Upstream, 100); n != 100 || s.Status() != nil {
			t.Errorf("%d attempts and status %v without breakers", n, s.Status())
		}
		late.Done(resilience.Upstream)
		if len(changes) != 2 || changes[1].From != resilience.Open || changes[1].To != resilience.Closed {
			t.Errorf("changes %+v", changes)
		}
		// On again, and nothing is remembered of before.
		s.SetThreshold(3)
		expectState(t, s, resilience.Closed)
		if n := attempt(t, s, resilience.Upstream, 9); n != 3 {
			t.Errorf("it opened after %d attempts, want 3", n)
		}
	})
}
