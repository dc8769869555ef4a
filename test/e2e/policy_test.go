package e2e_test

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"qdrant-sidecar/test/sidecar"
)

// A method of each class.
const (
	readMethod   = "/qdrant.Points/Query"
	writeMethod  = "/qdrant.Points/Upsert"
	unsafeMethod = "/qdrant.Collections/Create"
)

// attempts runs a sidecar with these flags before an upstream that serves every
// attempt with handle, and returns what makes calls, without a deadline unless
// ctx has one, and counts attempts.
func attempts(t *testing.T, handle func(n int, c call) error, flags ...string) (invoke func(ctx context.Context, method string) error, count func() int) {
	t.Helper()
	var n atomic.Int64
	u := newUpstream(t, func(c call) ([]byte, error) {
		if c.method == healthCheck {
			return healthy(c)
		}
		return nil, handle(int(n.Add(1)), c)
	})
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: flags})
	conn := newConn(t, s.GRPC)
	return func(ctx context.Context, method string) error {
		return conn.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{})
	}, func() int { return int(n.Load()) }
}

// failing fails all attempts; fields go with the answer.
func failing(code codes.Code, text string, fields ...string) func(int, call) error {
	return func(_ int, c call) error {
		if err := grpc.SetTrailer(c.ctx, metadata.Pairs(fields...)); err != nil {
			return err
		}
		return status.Error(code, text)
	}
}

// hanging answers nothing.
func hanging(_ int, c call) error {
	<-c.ctx.Done()
	return c.ctx.Err()
}

// TestRetries counts attempts of a call that fails under each of the settings
// about repetitions.
func TestRetries(t *testing.T) {
	t.Parallel()
	unavailable := failing(codes.Unavailable, "not now")
	internal := failing(codes.Internal, "Service internal error: io")
	limited := failing(codes.ResourceExhausted, "Rate limiting exceeded", "retry-after", "0")
	const quick = "--retry-base-delay=0"
	for _, tt := range []struct {
		name, method string
		handle       func(int, call) error
		flags        []string
		want         int
	}{
		{"default", readMethod, unavailable, []string{quick}, 4},
		{"off", readMethod, unavailable, []string{quick, "--resilience=off"}, 1},
		{"retry-max 0", readMethod, unavailable, []string{quick, "--retry-max=0"}, 1},
		{"retry-max 1", readMethod, unavailable, []string{quick, "--retry-max=1"}, 2},
		// A wait of up to a day does not fit into half a minute.
		{"retry-base-delay", readMethod, unavailable, []string{"--retry-base-delay=24h"}, 1},
		{"a write", writeMethod, unavailable, []string{quick}, 4},
		{"retry-writes", writeMethod, unavailable, []string{quick, "--retry-writes=false"}, 1},
		{"retry-writes, a read", readMethod, unavailable, []string{quick, "--retry-writes=false"}, 4},
		{"INTERNAL", writeMethod, internal, []string{quick}, 1},
		{"retry-writes-on-internal", writeMethod, internal, []string{quick, "--retry-writes-on-internal"}, 2},
		{"rate limit", writeMethod, limited, []string{quick}, 1},
		{"retry-writes-on-rate-limit", writeMethod, limited, []string{quick, "--retry-writes-on-rate-limit"}, 4},
		{"an unsafe write", unsafeMethod, unavailable, []string{quick, "--retry-writes-on-internal"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			invoke, count := attempts(t, tt.handle, tt.flags...)
			err := invoke(bounded(t), tt.method)
			if err == nil || reason(err) != "" || count() != tt.want {
				t.Errorf("%d attempts, want %d: %v", count(), tt.want, err)
			}
		})
	}
	refused(t, quiet(), []string{"check-config", "--retry-max=11", "--retry-base-delay=-1s", "--retry-writes=maybe", "--resilience=yes"},
		[]string{"--retry-max", `"11"`, "--retry-base-delay", "--retry-writes", `"maybe"`, "--resilience", "on or off"})
}

// TestRetryBuffers counts attempts of requests that are kept, too large, or find
// the room for all of them taken.
func TestRetryBuffers(t *testing.T) {
	t.Parallel()
	const kept, dropped = 4, 1
	for _, tt := range []struct {
		name        string
		flag        string
		held, bytes int
		want        int
	}{
		{"small enough", "--retry-buffer-per-call=8KiB", 0, 7 << 10, kept},
		{"too large", "--retry-buffer-per-call=8KiB", 0, 9 << 10, dropped},
		{"beside another", "--retry-buffer-total=1MiB", 600 << 10, 300 << 10, kept},
		{"no room beside another", "--retry-buffer-total=1MiB", 600 << 10, 600 << 10, dropped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			arrived, release := make(chan struct{}), make(chan struct{})
			var n atomic.Int64
			u := newUpstream(t, func(c call) ([]byte, error) {
				switch c.method {
				case healthCheck:
					return healthy(c)
				case writeMethod:
					close(arrived)
					<-release
					return nil, nil
				}
				n.Add(1)
				return nil, status.Error(codes.Unavailable, "not now")
			})
			s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--retry-base-delay=0", tt.flag}})
			conn, ctx := newConn(t, s.GRPC), bounded(t)
			invoke := func(method string, bytes int) error {
				return conn.Invoke(ctx, method, wrapperspb.Bytes(make([]byte, bytes)), &emptypb.Empty{})
			}
			var holding sync.WaitGroup
			if tt.held > 0 {
				holding.Go(func() {
					if err := invoke(writeMethod, tt.held); err != nil {
						t.Error(err)
					}
				})
				select {
				case <-arrived:
				case <-ctx.Done():
					t.Fatal(ctx.Err())
				}
			}
			err := invoke(readMethod, tt.bytes)
			close(release)
			holding.Wait()
			if status.Code(err) != codes.Unavailable || n.Load() != int64(tt.want) {
				t.Errorf("%d attempts, want %d: %v", n.Load(), tt.want, err)
			}
		})
	}
	refused(t, quiet(), []string{"check-config", "--retry-buffer-per-call=2GiB", "--retry-buffer-total=0"},
		[]string{"--retry-buffer-per-call", `"2GiB"`, "1GiB", "--retry-buffer-total", `"0"`, "1KiB"})
}

// TestRepeatWindow counts attempts of a call that fails and is made again.
func TestRepeatWindow(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]int{"--repeat-window=1m": 2, "--repeat-window=0": 4} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			invoke, count := attempts(t, failing(codes.Unavailable, "not now"), "--retry-base-delay=0", "--retry-max=1", flag)
			for range 2 {
				if err := invoke(bounded(t), readMethod); status.Code(err) != codes.Unavailable {
					t.Error(err)
				}
			}
			if count() != want {
				t.Errorf("%d attempts, want %d", count(), want)
			}
		})
	}
	refused(t, quiet(), []string{"check-config", "--repeat-window=-1s"}, []string{"--repeat-window"})
}

// TestTimeouts has calls without a deadline end by the setting for their kind,
// which the caller is told, and those with one by that.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	for flag, method := range map[string]string{"--timeout": readMethod, "--write-timeout": writeMethod, "--long-timeout": unsafeMethod} {
		t.Run(strings.Trim(flag, "-"), func(t *testing.T) {
			t.Parallel()
			invoke, _ := attempts(t, hanging, flag+"=0.2")
			err := invoke(t.Context(), method)
			if statusOf(err).Code() != codes.DeadlineExceeded || !strings.Contains(statusOf(err).Message(), "("+flag+")") || reason(err) != "DEADLINE_EXCEEDED" {
				t.Errorf("%s: %v", method, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			if err := invoke(ctx, method); time.Since(start) < time.Second {
				t.Errorf("a call with a second of its own ended after %v: %v", time.Since(start), err)
			}
		})
	}
}

// TestTryTimeout gives up an attempt that hangs, and makes another.
func TestTryTimeout(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]int{"--try-timeout=1": 2, "--try-timeout=0": 1} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			invoke, count := attempts(t, func(n int, c call) error {
				if n > 1 {
					return nil
				}
				return hanging(n, c)
			}, flag, "--retry-base-delay=0")
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			if err := invoke(ctx, readMethod); (err == nil) != (want == 2) || count() != want {
				t.Errorf("%d attempts, want %d: %v", count(), want, err)
			}
		})
	}
}

// TestCircuitBreakerThreshold counts the failures until calls are refused.
func TestCircuitBreakerThreshold(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]int{
		"--circuit-breaker-threshold=3": 3, "--circuit-breaker-threshold=10": 10, "--circuit-breaker-threshold=0": 0,
	} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			s := sidecar.Start(t, sidecar.Options{Upstream: newUpstream(t, refusing(codes.Unavailable)).url(), Args: []string{flag}})
			conn := newConn(t, s.GRPC)
			for n := range cmp.Or(want, 30) {
				if err := <-invoke(bounded(t), conn, unsafeMethod); statusOf(err).Code() != codes.Unavailable || reason(err) != "" {
					t.Errorf("call %d: %v", n, err)
				}
			}
			if want > 0 {
				wantFields(t, logged(t, s, "breaker opened: calls are refused for a while"), map[string]any{"failures_in_a_row": want})
			}
		})
	}
}

// TestAdmission fills the places and the queue before them.
func TestAdmission(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		flags  []string
		places int           // how many calls get in
		waits  time.Duration // at least, of the one that does not
	}{
		{"max-concurrent-calls", []string{"--max-concurrent-calls=2", "--max-queued-calls=0"}, 2, 0},
		{"max-queued-calls", []string{"--max-concurrent-calls=1", "--max-queued-calls=1", "--queue-timeout=0.3"}, 1, 300 * time.Millisecond},
		{"auto", []string{"--pool-size=1", "--max-queued-calls=0"}, 100, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			arrived, open := make(chan struct{}, 1000), make(chan struct{})
			invoke, count := attempts(t, func(_ int, c call) error {
				arrived <- struct{}{}
				select {
				case <-open:
				case <-c.ctx.Done():
				}
				return nil
			}, tt.flags...)
			done := make(chan error, tt.places)
			for range tt.places {
				go func() { done <- invoke(bounded(t), readMethod) }()
				receive(t, "a call at the upstream", arrived)
			}
			start := time.Now()
			err := invoke(bounded(t), readMethod)
			if reason(err) != "OVERLOADED" || statusOf(err).Code() != codes.ResourceExhausted || time.Since(start) < tt.waits {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			close(open)
			for range tt.places {
				if err := receive(t, "the end of a call", done); err != nil {
					t.Error(err)
				}
			}
			if count() != tt.places {
				t.Errorf("%d attempts, want %d", count(), tt.places)
			}
		})
	}
}
