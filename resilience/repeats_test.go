package resilience_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"

	"qdrant-sidecar/resilience"
)

// TestRepeatsAgainstAModel compares it with a list of everything that was ever noted.
func TestRepeatsAgainstAModel(t *testing.T) {
	t.Parallel()
	const window = 250 * time.Millisecond
	type note struct {
		key  uint64
		call resilience.GivenUp
		at   time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1, 0)
		r := resilience.NewRepeats(window)
		var notes []note
		for range rapid.IntRange(1, 2000).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, window - 1, window}).Draw(t, "wait"))
			key := rapid.Uint64Range(0, 20).Draw(t, "key")
			if rapid.Bool().Draw(t, "note") {
				call := resilience.GivenUp{Attempts: len(notes) + 1, Code: codes.Unavailable}
				r.Note(key, call, now)
				notes = append(notes, note{key, call, now})
				continue
			}
			var want *resilience.GivenUp
			var any bool
			for i := len(notes) - 1; i >= max(0, len(notes)-512) && now.Sub(notes[i].at) < window; i-- {
				any = true
				if notes[i].key == key && want == nil {
					want = &notes[i].call
				}
			}
			got, ok := r.Recall(key, now)
			if ok != (want != nil) || ok && got != *want {
				t.Fatalf("%+v, %v, want %+v", got, ok, want)
			}
			if r.Any(now) != any {
				t.Fatalf("anything remembered: %v, want %v", !any, any)
			}
		}
	})
}

// TestNoRepeats is a memory that is switched off.
func TestNoRepeats(t *testing.T) {
	t.Parallel()
	r := resilience.NewRepeats(0)
	r.Note(1, resilience.GivenUp{Attempts: 4}, time.Now())
	if _, ok := r.Recall(1, time.Now()); ok || r.Any(time.Now()) {
		t.Error("it remembers")
	}
}

// TestCarriedAttempts are counted like a call's own.
func TestCarriedAttempts(t *testing.T) {
	t.Parallel()
	for carried, want := range map[int]int{0: 3, 1: 2, 2: 1, 3: 0, 1000: 0} {
		var tries resilience.Tries
		tries.Carry(carried)
		retries := 0
		for {
			d := policy().Decide(&tries, verdict(resilience.Unavailable), waiting(resilience.Read))
			if !d.Again {
				break
			}
			tries.Start(d)
			retries++
		}
		if retries != want {
			t.Errorf("after %d attempts before, %d retries, want %d", carried, retries, want)
		}
	}
}

// BenchmarkRepeatsGood is what a call pays while none fails.
func BenchmarkRepeatsGood(b *testing.B) {
	r := resilience.NewRepeats(time.Second)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if r.Any(now) {
			b.Fatal("it remembers something")
		}
	}
}
