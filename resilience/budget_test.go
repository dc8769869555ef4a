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
	want := resilience.BudgetState{Calls: 1000, Retrying: 200, RecentCalls: 1000, RecentRetries: 200}
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
		b.End()
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

// TestBudgetLateCaller: one whose idea of now is long past neither counts nor wipes
// out what has come since.
// What ends with its connection is one failure: with a hundred calls in flight and
// none before, all of them may be made again, and then no more than of others.
func TestBudgetOfALostConnection(t *testing.T) {
	b := resilience.NewBudget(epoch)
	const lost = 100
	for range lost {
		b.Begin(epoch)
	}
	for i := range lost {
		if !b.TakeTogether(epoch) {
			t.Fatalf("retry %d of %d calls that were lost together is refused", i+1, lost)
		}
	}
	if b.TakeTogether(epoch.Add(9*time.Second)) || b.Take(epoch.Add(9*time.Second)) {
		t.Error("a second lost connection has a budget of its own within 10 s")
	}
	for range lost {
		b.Return()
	}
	if !b.TakeTogether(epoch.Add(10 * time.Second)) {
		t.Error("the budget does not come back")
	}
}

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
		"return": (*resilience.Budget).Return, "end": (*resilience.Budget).End,
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
				b.End()
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
				for range rapid.IntRange(0, inFlight).Draw(t, "calls") {
					b.End()
					inFlight--
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
				want := resilience.BudgetState{Calls: inFlight, Retrying: retrying, RecentCalls: recent(begun), RecentRetries: recent(taken)}
				want.Left = max(0, min(max(3, inFlight/5)-retrying, max(20, recent(begun)/5)-recent(taken)))
				if got := b.State(now); got != want {
					t.Fatalf("state %+v, want %+v", got, want)
				}
			},
		})
	})
}
