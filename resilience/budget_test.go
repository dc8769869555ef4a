package resilience_test

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"qdrant-sidecar/resilience"
)

var epoch = time.Unix(1_000_000, 0)

func TestBudgetOfTheQuiet(t *testing.T) {
	b := resilience.NewBudget(epoch)
	b.Begin(epoch)
	for i := range 3 {
		if !b.Take(epoch) {
			t.Fatalf("retry %d of one call was refused", i)
		}
	}
	if b.Take(epoch) {
		t.Error("a fourth retry at once was allowed")
	}
	for range 3 {
		b.Return()
	}
	// Two a second are twenty in the window, however they lie in it.
	taken := 3
	for b.Take(epoch) {
		b.Return()
		taken++
	}
	if taken != 20 {
		t.Errorf("%d retries in the window, want 20", taken)
	}
	if now := epoch.Add(9999 * time.Millisecond); b.Take(now) {
		t.Error("the window is shorter than 10 s")
	}
	if now := epoch.Add(10 * time.Second); !b.Take(now) {
		t.Error("the window is longer than 10 s")
	}
}

func TestBudgetOfTheBusy(t *testing.T) {
	b := resilience.NewBudget(epoch)
	for range 1000 {
		b.Begin(epoch)
	}
	taken := 0
	for b.Take(epoch) {
		taken++
	}
	if taken != 200 {
		t.Errorf("%d retries at once of 1000 calls, want 200", taken)
	}
	want := resilience.BudgetState{Calls: 1000, Retrying: 200, RecentCalls: 1000, RecentRetries: 200, Reserve: 500}
	if got := b.State(epoch); got != want {
		t.Errorf("state %+v, want %+v", got, want)
	}
	for range taken {
		b.Return()
	}
	if b.Take(epoch.Add(5 * time.Second)) {
		t.Error("more than 200 retries in the window of 1000 calls")
	}
	for range 1000 {
		b.End(true)
	}
}

// TestBudgetInAStorm is an upstream that fails everything for 10 s under 500 calls
// a second, each of which would be repeated three times.
func TestBudgetInAStorm(t *testing.T) {
	b := resilience.NewBudget(epoch)
	calls, retries := 0, 0
	for tick := range 10_000 {
		now := epoch.Add(time.Duration(tick) * time.Millisecond)
		if tick%2 == 0 {
			b.Begin(now)
			calls++
		}
		for b.Take(now) {
			b.Return()
			retries++
		}
	}
	if got := float64(calls+retries) / float64(calls); got > 1.25 || got < 1.15 {
		t.Errorf("amplification %.3f, want about 1.2", got)
	}
}

// TestBudgetOfLostConnections: whatever is lost at once may be made again, and then no
// more than of others until the upstream has answered.
func TestBudgetOfLostConnections(t *testing.T) {
	b := resilience.NewBudget(epoch)
	const lost = 500
	for range lost {
		b.Begin(epoch)
	}
	for i := range lost {
		if !b.TakeTogether(epoch) {
			t.Fatalf("retry %d of %d calls that were lost together is refused", i+1, lost)
		}
	}
	if soon := epoch.Add(9 * time.Second); b.TakeTogether(soon) || b.Take(soon) {
		t.Error("those that are lost next have a reserve of their own")
	}
	for i := range lost {
		b.Return()
		b.End(i%2 == 0) // the other half failed
	}
	later := epoch.Add(time.Minute)
	if got := b.State(later).Reserve; got != lost/2/5 {
		t.Errorf("a reserve of %d after %d answers, want a fifth", got, lost/2)
	}
	taken := 0
	for b.TakeTogether(later) {
		b.Return()
		taken++
	}
	// Beside the reserve there is what other failures have, too: two a second are
	// twenty, and these are among the fifty.
	if taken != lost/2/5 {
		t.Errorf("%d retries a minute later, want %d", taken, lost/2/5)
	}
}

// TestBudgetOfDroppedConnections is an upstream that takes connections and drops them
// with all that is on them for a minute, under 500 calls a second that are each
// repeated three times.
func TestBudgetOfDroppedConnections(t *testing.T) {
	b := resilience.NewBudget(epoch)
	calls, retries := 0, 0
	for tick := range 60_000 {
		now := epoch.Add(time.Duration(tick) * time.Millisecond)
		if tick%2 == 0 {
			b.Begin(now)
			calls++
		}
		for b.TakeTogether(now) {
			b.Return()
			retries++
		}
		if tick%2 == 0 {
			b.End(false)
		}
		if most := 500 + max(20, calls/5); retries > most {
			t.Fatalf("%d retries of %d calls after %d ms, want the reserve and a fifth, %d", retries, calls, tick, most)
		}
	}
	if retries < 500+calls/10 {
		t.Errorf("%d retries of %d calls: the test is about less than it says", retries, calls)
	}
}

// TestBudgetInBadWeather is an upstream that works and loses connections all the time,
// with one in seven calls: each of them may be made again, for as long as it takes.
func TestBudgetInBadWeather(t *testing.T) {
	b := resilience.NewBudget(epoch)
	for i := range 10_000 {
		now := epoch.Add(time.Duration(i) * 10 * time.Second) // nobody else is there
		const together = 35
		for range together {
			b.Begin(now)
		}
		for range together / 7 {
			if !b.TakeTogether(now) {
				t.Fatalf("a call of hour %d is refused its retry", i/360)
			}
			b.Return()
		}
		for range together {
			b.End(true)
		}
	}
	if got := b.State(epoch).Reserve; got < 490 {
		t.Errorf("a reserve of %d is left, want nearly all", got)
	}
}

// TestBudgetLateCaller: one whose idea of now is long past neither counts nor wipes
// out what has come since.
func TestBudgetLateCaller(t *testing.T) {
	b := resilience.NewBudget(epoch)
	now := epoch.Add(16 * time.Second)
	for range 100 {
		b.Begin(now)
	}
	b.Begin(epoch)
	if got := b.State(now); got.Calls != 101 || got.RecentCalls != 100 {
		t.Errorf("%+v, want 101 calls, 100 of them recent", got)
	}
}

func TestBudgetMisuse(t *testing.T) {
	for name, misuse := range map[string]func(*resilience.Budget){
		"return": (*resilience.Budget).Return,
		"end":    func(b *resilience.Budget) { b.End(true) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s without its counterpart did not panic", name)
				}
			}()
			misuse(resilience.NewBudget(epoch))
		}()
	}
}

func TestBudgetConcurrently(t *testing.T) {
	b := resilience.NewBudget(epoch)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				now := epoch.Add(time.Duration(i) * 5 * time.Millisecond)
				b.Begin(now)
				if (i+g)%3 == 0 && b.Take(now) {
					if s := b.State(now); s.Retrying > 3 {
						t.Errorf("%d retries under way for %d calls", s.Retrying, s.Calls)
					}
					b.Return()
				}
				b.End(true)
			}
		})
	}
	wg.Wait()
	end := epoch.Add(9995 * time.Millisecond)
	s := b.State(end)
	if s.Calls != 0 || s.Retrying != 0 {
		t.Errorf("left over: %+v", s)
	}
	// All seconds are recent, and eight goroutines in ten of them meet on the edges.
	if s.RecentCalls < 15_950 || s.RecentCalls > 16_000 {
		t.Errorf("%d recent calls of 16000", s.RecentCalls)
	}
}

// TestBudgetModel compares it with lists of what happened when.
func TestBudgetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, now := resilience.NewBudget(epoch), epoch
		var begun, taken []int64 // in seconds since epoch
		inFlight, retrying := 0, 0
		reserve := 500 * 5 // in fifths
		second := func() int64 { return int64(now.Sub(epoch) / time.Second) }
		recent := func(all []int64) (n int) {
			for _, s := range all {
				if second()-s < 10 {
					n++
				}
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "calls") {
					b.Begin(now)
					begun = append(begun, second())
					inFlight++
				}
			},
			"end": func(t *rapid.T) {
				well := rapid.Bool().Draw(t, "well")
				for range rapid.IntRange(0, inFlight).Draw(t, "calls") {
					b.End(well)
					inFlight--
					if well {
						reserve = min(reserve+1, 500*5)
					}
				}
			},
			"take": func(t *rapid.T) {
				for range rapid.IntRange(1, 10).Draw(t, "retries") {
					want := retrying < max(3, inFlight/5) && recent(taken) < max(20, recent(begun)/5)
					if got := b.Take(now); got != want {
						t.Fatalf("take: %t, want %t with %d of %d under way, %d of %d recent", got, want, retrying, inFlight, recent(taken), recent(begun))
					}
					if want {
						retrying++
						taken = append(taken, second())
					}
				}
			},
			"take together": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "retries") {
					want := reserve >= 5 || recent(taken) < max(20, recent(begun)/5)
					if got := b.TakeTogether(now); got != want {
						t.Fatalf("take together: %t, want %t with %d fifths in reserve, %d of %d recent", got, want, reserve, recent(taken), recent(begun))
					}
					if want {
						retrying++
						taken = append(taken, second())
					}
					if reserve >= 5 {
						reserve -= 5
					}
				}
			},
			"return": func(t *rapid.T) {
				for range rapid.IntRange(0, retrying).Draw(t, "retries") {
					b.Return()
					retrying--
				}
			},
			"pass": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				want := resilience.BudgetState{Calls: inFlight, Retrying: retrying, RecentCalls: recent(begun), RecentRetries: recent(taken), Reserve: reserve / 5}
				want.Left = max(0, min(max(3, inFlight/5)-retrying, max(20, recent(begun)/5)-recent(taken)))
				if got := b.State(now); got != want {
					t.Fatalf("state %+v, want %+v", got, want)
				}
			},
		})
	})
}
