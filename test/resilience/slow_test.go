package resilience_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// Reads that take 6 s, from callers who give them 20 s, are slow and no failures: the
// attempt that is given up after 5 s opens no breaker, and all are served.
func TestSlowReadsAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, defaults(5), 5, func(ctx context.Context, _ string) error { time.Sleep(6 * time.Second); return nil })
		var calls sync.WaitGroup
		var mu sync.Mutex
		seen := map[codes.Code]int{}
		texts := map[string]int{}
		for range 600 {
			calls.Go(func() {
				code, msg := r.call(t.Context(), readPath, "grpc-timeout", "20S")
				mu.Lock()
				defer mu.Unlock()
				seen[code]++
				if code != codes.OK {
					texts[msg[:min(len(msg), 80)]]++
				}
			})
			time.Sleep(50 * time.Millisecond)
		}
		calls.Wait()
		t.Log(seen, texts, "opened", r.counted(moved, `"open"`))
		if seen[codes.OK] != 600 {
			t.Error("not all were served")
		}
	})
}
