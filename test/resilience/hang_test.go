package resilience_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/proxy"
)

// hasty is a policy that gives attempts up after this time, of calls that have ten times
// as much, and has a breaker open at the first failure.
func hasty(try time.Duration) *proxy.Resilience {
	policy := defaults(5)
	policy.Deadlines.Read, policy.Deadlines.Write, policy.Deadlines.Try = 10*try, 10*try, try
	policy.Retry.Base = time.Millisecond
	policy.BreakerThreshold = 1
	return policy
}

// hang serves a call that is never answered.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// counts compares what has been counted, by family and value of a label.
func (r *rig) counts(wants map[[2]string]int) {
	r.t.Helper()
	for series, want := range wants {
		if got := r.counted(series[0], `"`+series[1]+`"`); got != want {
			r.t.Errorf("%s has counted %d %s, want %d", series[0], got, series[1], want)
		}
	}
}

// TestHungCallsOpenABreaker: that an attempt was given up proves nothing, for a
// query may take longer than that; that a call had no answer in all of its time does.
func TestHungCallsOpenABreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, hasty(200*time.Millisecond), 5, func(ctx context.Context, _ string) error { return hang(ctx) })
		if code, message := r.call(t.Context(), readPath); code != codes.DeadlineExceeded || r.arrivals.Load() != 2 {
			t.Errorf("%v %q after %d attempts", code, message, r.arrivals.Load())
		}
		r.counts(map[[2]string]int{
			{failures, "DEADLINE_EXCEEDED"}: 1, {notRetried, "deadline"}: 1,
			{attempted, "try_timeout"}: 1, {attempted, "deadline"}: 1, {moved, "open"}: 1,
		})
	})
}

// TestGivenUpAndRefused: a read whose attempt was given up meets a breaker that has
// opened meanwhile, and says what became of the attempt.
func TestGivenUpAndRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, hasty(2*time.Second), 5, func(ctx context.Context, _ string) error {
			if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("x-unwell")) > 0 {
				return status.Error(codes.DataLoss, "unwell")
			}
			return hang(ctx)
		})
		var calls sync.WaitGroup
		calls.Go(func() {
			if code, message := r.call(t.Context(), readPath); code != codes.DeadlineExceeded {
				t.Errorf("%v %q", code, message)
			}
		})
		time.Sleep(1900 * time.Millisecond) // for it is open for half a second
		if code, message := r.call(t.Context(), readPath, "x-unwell", "1"); code != codes.DataLoss {
			t.Errorf("%v %q", code, message)
		}
		calls.Wait()
		if n := r.arrivals.Load(); n != 2 {
			t.Errorf("%d attempts of both", n)
		}
		r.counts(map[[2]string]int{{failures, "UPSTREAM_TIMEOUT"}: 1, {failures, "CIRCUIT_OPEN"}: 0, {notRetried, "refused"}: 1})
	})
}

// TestGivenUpTries: a read that hangs is asked again, and nothing else is.
func TestGivenUpTries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path     string
		policy   *proxy.Resilience
		attempts int64
		code     codes.Code
	}{
		{readPath, hasty(time.Second), 2, codes.OK},
		{writePath, hasty(time.Second), 1, codes.DeadlineExceeded},
		{unsafePath, hasty(time.Second), 1, codes.DeadlineExceeded},
		{unknownPath, hasty(time.Second), 1, codes.DeadlineExceeded},
		{readPath, nil, 1, codes.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			var r *rig
			r = newRig(t, tt.policy, 5, func(ctx context.Context, _ string) error {
				if r.arrivals.Load() == 1 {
					return hang(ctx)
				}
				return nil
			})
			if code, message := r.call(t.Context(), tt.path, "grpc-timeout", "3S"); code != tt.code || r.arrivals.Load() != tt.attempts {
				t.Errorf("%s: %v %q after %d attempts, want %v after %d", tt.path, code, message, r.arrivals.Load(), tt.code, tt.attempts)
			}
		})
	}
}
