package resilience_test

import (
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/resilience"
)

// Each of these is a trap that a plain gobreaker leads into.

// Its OnStateChange runs under its lock: to look at the breaker there deadlocks.
func TestTrapCallbackUnderLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *resilience.Breakers
		var seen []resilience.State
		s = open1(resilience.BreakerConfig{Threshold: 1, OnChange: func(resilience.Change) {
			seen = append(seen, s.Status()[0].State)
			_, _ = s.Allow(0)
			s.Recovered()
		}})
		attempt(t, s, resilience.Upstream, 1)
		if len(seen) != 1 || seen[0] != resilience.Open {
			t.Errorf("seen %v", seen)
		}
	})
}

// A half-open TwoStepCircuitBreaker whose done is never called refuses for ever.
func TestTrapForgottenProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		attempt(t, s, resilience.Upstream, 1)
		time.Sleep(time.Second + 1)
		for range 10 {
			if _, err := s.Allow(0); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Allow(0); err == nil {
				t.Fatal("two probes at once")
			}
			time.Sleep(5*time.Second + 1)
		}
		attempt(t, s, resilience.NoFault, 1)
		expectState(t, s, resilience.Closed)
	})
}

// So does one whose attempt panicked, unless somebody thought of it.
func TestTrapPanickingProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		attempt(t, s, resilience.Upstream, 1)
		time.Sleep(time.Second + 1)
		func() {
			defer func() { _ = recover() }()
			p, err := s.Allow(0)
			if err != nil {
				t.Fatal(err)
			}
			var v resilience.Verdict
			defer func() { p.Done(v.Fault) }()
			panic("a bug")
		}()
		if attempt(t, s, resilience.NoFault, 1) != 1 {
			t.Error("the panic has kept its permit")
		}
	})
}

// Its state is "open" until somebody makes a call.
func TestTrapStaleState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		attempt(t, s, resilience.Upstream, 1)
		time.Sleep(time.Second + 1)
		expectState(t, s, resilience.HalfOpen)
		expectState(t, s, resilience.HalfOpen) // and to look has changed nothing
		if attempt(t, s, resilience.NoFault, 1) != 1 {
			t.Error("no probe")
		}
	})
}

// Its open time is one fixed time, and 60 s for zero.
func TestTrapFixedOpenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		start := time.Now()
		attempt(t, s, resilience.Upstream, 1)
		for range 3 {
			for attempt(t, s, resilience.Upstream, 1) == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		if took := time.Since(start); took < 7*time.Second || took > 8*time.Second {
			t.Errorf("three probes after %v, want 1 + 2 + 4 s", took)
		}
	})
}

// Its failures in a row are forgotten with its window: at few calls it never opens.
func TestTrapRowEndsWithTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 10})
		for range 10 {
			attempt(t, s, resilience.Upstream, 1)
			time.Sleep(15 * time.Second)
		}
		if got := s.Status()[0].Failures; got != 10 || attempt(t, s, resilience.NoFault, 2) != 2 {
			t.Errorf("%d failures in a row", got)
		}
		// It has opened at the tenth and was half-open when looked at.
		attempt(t, s, resilience.Upstream, 9)
		expectState(t, s, resilience.Closed)
		time.Sleep(time.Hour)
		attempt(t, s, resilience.Upstream, 1)
		expectState(t, s, resilience.Open)
	})
}

// It drops results of what began before its window: a server that hangs longer than
// that is well.
func TestTrapSlowFailuresAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1000})
		var permits []resilience.Permit
		for range 20 {
			p, err := s.Allow(0)
			if err != nil {
				t.Fatal(err)
			}
			permits = append(permits, p)
		}
		time.Sleep(time.Minute)
		for _, p := range permits {
			p.Done(resilience.Upstream)
		}
		expectState(t, s, resilience.Open)
	})
}

// Its Requests include those under way: a burst of new calls is no bad rate.
func TestTrapCallsUnderWayAreNoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1000})
		for range 500 {
			if _, err := s.Allow(0); err != nil {
				t.Fatal(err)
			}
		}
		attempt(t, s, resilience.Upstream, 1)
		expectState(t, s, resilience.Closed)
	})
}

// Results of before it opened must not close it, nor those of before it closed open
// it. gobreaker ignores them by generation; so must what is built around it.
func TestTrapLateResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		var early []resilience.Permit
		for range 4 {
			p, err := s.Allow(0)
			if err != nil {
				t.Fatal(err)
			}
			early = append(early, p)
		}
		attempt(t, s, resilience.Upstream, 1)
		early[0].Done(resilience.NoFault)
		expectState(t, s, resilience.Open)

		time.Sleep(time.Second + 1)
		probe, err := s.Allow(0)
		if err != nil {
			t.Fatal(err)
		}
		early[1].Done(resilience.NoFault)
		early[2].Done(resilience.Upstream)
		expectState(t, s, resilience.HalfOpen)
		if _, err := s.Allow(0); err == nil {
			t.Error("a late result has made room for a second probe")
		}

		probe.Done(resilience.NoFault)
		early[3].Done(resilience.Upstream)
		probe.Done(resilience.Upstream)
		expectState(t, s, resilience.Closed)
	})
}

// The distributed one holds its lock during the call, so that there is only one.
func TestTrapCallsOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open1(resilience.BreakerConfig{Threshold: 1})
		for range 1000 {
			if _, err := s.Allow(0); err != nil { // would block
				t.Fatal(err)
			}
		}
	})
}
