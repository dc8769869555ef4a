package resilience_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestLongStreaksEnd has the upstream fail for ten minutes, whoever calls however
// often. When it has recovered it is used again within the 5 s for which a breaker is
// open at most while there is no other endpoint, and a caller who comes later than
// that never meets it.
func TestLongStreaksEnd(t *testing.T) {
	t.Parallel()
	const streak, longestOpen = 10 * time.Minute, 5 * time.Second
	for _, m := range []struct {
		name       string
		fail, heal func(*rig) // besides that it answers what it answers
	}{
		{"answers UNAVAILABLE", func(*rig) {}, func(*rig) {}},
		{"killed", (*rig).kill, (*rig).revive},
	} {
		for _, pause := range []time.Duration{time.Second, 30 * time.Second} {
			t.Run(fmt.Sprintf("%s, a call every %v", m.name, pause), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var well atomic.Bool
					r := newRig(t, defaults(5), 5, func(_ context.Context, method string) error {
						if well.Load() || method == healthPath {
							return nil
						}
						return status.Error(codes.Unavailable, "Service unavailable: starting")
					})
					methods := []string{readPath, writePath, unsafePath, unknownPath}
					m.fail(r)
					var calls sync.WaitGroup
					n := 0
					for start := time.Now(); time.Since(start) < streak; n++ {
						method := methods[n%len(methods)]
						calls.Go(func() {
							if code, message := r.call(t.Context(), method); code == codes.OK {
								t.Errorf("%s: %v %s", method, code, message)
							}
						})
						time.Sleep(pause)
					}
					calls.Wait()
					attempts := r.arrivals.Load()
					well.Store(true)
					m.heal(r)
					healed := time.Now()
					var slowest time.Duration
					for _, method := range methods {
						for {
							code, message := r.call(t.Context(), method)
							if code == codes.OK {
								break
							}
							if time.Since(healed) > longestOpen+100*time.Millisecond {
								t.Fatalf("%v after the end %s fails: %v %s", time.Since(healed), method, code, message)
							}
							time.Sleep(10 * time.Millisecond)
						}
						slowest = time.Since(healed)
					}
					t.Logf("of %d calls %d attempts and %d dials arrived; the last method was back after %v", n, attempts, r.dials.Load(), slowest)
					// A probe for each method and its open time, which is 2.5 s at the least in
					// the long run, and what led to the first opening.
					if most := int64(streak/(longestOpen/2))*int64(len(methods)) + 200; attempts > most {
						t.Errorf("%d attempts, want at most %d", attempts, most)
					}
				})
			})
		}
	}
}
