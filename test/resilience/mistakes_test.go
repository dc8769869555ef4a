package resilience_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestCallersMistakesTripNothing has a caller do nothing but what fails for a minute:
// wrong requests, and calls that he does not wait for.
func TestCallersMistakesTripNothing(t *testing.T) {
	t.Parallel()
	const minute, pause = time.Minute, 50 * time.Millisecond
	const hang = "hang"
	mistakes := []struct {
		do     string // what the upstream does: answer with this code, or nothing
		code   codes.Code
		header []string
		leaves bool // before there is an answer
	}{
		{do: "3", code: codes.InvalidArgument},
		{do: "5", code: codes.NotFound},
		{do: "16", code: codes.Unauthenticated},
		{do: hang, code: codes.DeadlineExceeded, header: []string{"grpc-timeout", "1m"}},
		{do: hang, code: codes.Canceled, leaves: true},
	}
	for _, path := range []string{readPath, writePath, unsafePath, unknownPath} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, defaults(5), 5, func(ctx context.Context, _ string) error {
				md, _ := metadata.FromIncomingContext(ctx)
				if do := md.Get("x-do"); len(do) == 1 && do[0] != hang {
					code, err := strconv.Atoi(do[0])
					return status.Error(codes.Code(code), "yours: "+do[0]+map[bool]string{true: "?"}[err != nil])
				}
				<-ctx.Done()
				return ctx.Err()
			})
			var calls sync.WaitGroup
			n := 0
			for start := time.Now(); time.Since(start) < minute; n++ {
				mistake := mistakes[n%len(mistakes)]
				calls.Go(func() {
					ctx := t.Context()
					if mistake.leaves {
						var leave context.CancelFunc
						ctx, leave = context.WithCancel(ctx)
						time.AfterFunc(5*time.Millisecond, leave)
					}
					code, message := r.call(ctx, path, append(mistake.header, "x-do", mistake.do)...)
					if code != mistake.code && (mistake.code != codes.DeadlineExceeded || code != codes.Canceled) {
						t.Errorf("%v %q, want %v", code, message, mistake.code)
					}
				})
				time.Sleep(pause)
			}
			calls.Wait()
			synctest.Wait()
			if code, message := r.call(t.Context(), path, "x-do", "0"); code != codes.OK {
				t.Errorf("in the end: %v %s", code, message)
			}
			attempts := r.arrivals.Load() - 1
			t.Logf("%s: %d calls, %d attempts, %d repeated, %d breakers opened", path, n, attempts,
				r.counted("qdrant_retry_total", ""), r.counted(moved, ""))
			if attempts > int64(n) || attempts < int64(n)*3/5 {
				t.Errorf("%d attempts of %d calls", attempts, n)
			}
			if r.counted("qdrant_retry_total", "") > 0 || r.counted(moved, "") > 0 || r.counted("qdrant_sidecar_recent_retries", "") > 0 {
				t.Error("a retry was spent, or a breaker opened")
			}
		})
	}
}
