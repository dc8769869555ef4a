package proxy_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
)

// hang waits until the caller has gone.
func hang(a arrival) error {
	<-a.Context().Done()
	return nil
}

// TestDeadlines: the caller's word stands, and what he did not say is by class.
func TestDeadlines(t *testing.T) {
	const unlimited = 2 * time.Hour
	none := standard()
	none.Deadlines.Read = 0
	for _, test := range []struct {
		name, method, given string
		policy              *proxy.Resilience
		took                time.Duration
		says                string
	}{
		{"read", read, "", standard(), 5 * time.Second, "within 5s, the time of reads whose callers set none (--timeout)"},
		{"health", health, "", standard(), 5 * time.Second, "(--timeout)"},
		{"write", write, "", standard(), 5 * time.Minute, "within 5m0s, the time of writes whose callers set none (--write-timeout)"},
		{"long", unsafe, "", standard(), time.Hour, "within 1h0m0s, the time of long operations whose callers set none (--long-timeout)"},
		{"unknown", other, "", standard(), unlimited, ""},
		{"read, switched off", read, "", none, unlimited, ""},
		{"read, off", read, "", nil, unlimited, ""},
		{"shorter", read, "1S", standard(), time.Second, "the call's deadline passed before Qdrant answered"},
		{"longer", write, "1H", standard(), time.Hour, "the call's deadline passed before Qdrant answered"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				r := newRig(t, test.policy, func(a arrival) error {
					if _, ok := a.Context().Deadline(); ok != (test.given != "") {
						t.Error("the upstream's deadline is not the caller's")
					}
					select {
					case <-release:
					case <-a.Context().Done():
					}
					return nil
				})
				header := []string{}
				if test.given != "" {
					header = []string{"grpc-timeout", test.given}
				}
				var call sync.WaitGroup
				call.Go(func() {
					got := r.call(test.method, header...)
					switch {
					case test.took == unlimited && (got.code != codes.OK || got.took != unlimited):
						t.Errorf("%+v", got)
					case test.took < unlimited && (got.code != codes.DeadlineExceeded && got.code != codes.Canceled || got.took != test.took):
						t.Errorf("%+v", got)
					case got.code == codes.DeadlineExceeded && !strings.Contains(got.message, test.says):
						t.Errorf("the caller is told %q", got.message)
					}
				})
				time.Sleep(unlimited)
				close(release)
				call.Wait()
			})
		})
	}
}

// TestExpiredIsRefused: nothing is sent for whom nobody waits.
func TestExpiredIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), failing(0, nil))
		for _, method := range []string{read, write, other, health} {
			got := r.call(method, "grpc-timeout", "0m")
			r.want(method, got, codes.DeadlineExceeded, 0)
			if !strings.HasPrefix(got.message, "qdrant-sidecar: the call's deadline had passed when it arrived") {
				t.Error(got.message)
			}
		}
		r.metrics("qdrant_sidecar_failures_total{reason=\"DEADLINE_EXCEEDED\"} 4\n", "qdrant_sidecar_failures_total", "qdrant_sidecar_attempts_total")
	})
}

// TestHungAttemptIsGivenUp: another connection answers while the caller waits.
func TestHungAttemptIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error {
			if a.n == 1 {
				return hang(a)
			}
			return nil
		})
		got := r.call(read, "grpc-timeout", "30S")
		r.want("a read", got, codes.OK, 2)
		if got.took != 5500*time.Millisecond || r.dials.Load() != 2 {
			t.Errorf("it took %v and %d connections", got.took, r.dials.Load())
		}
		r.metrics(`
qdrant_sidecar_attempts_total{grpc_method="Query",grpc_service="qdrant.Points",outcome="ok"} 1
qdrant_sidecar_attempts_total{grpc_method="Query",grpc_service="qdrant.Points",outcome="try_timeout"} 1
qdrant_sidecar_retries_in_flight 0
`, "qdrant_sidecar_attempts_total", "qdrant_sidecar_retries_in_flight")
	})
}

// TestSlowReadsAreNotShortened: whoever waits for half a minute gets an answer that
// takes a quarter of one, at the first attempt where there is no other.
func TestSlowReadsAreNotShortened(t *testing.T) {
	const slow = 15 * time.Second
	for _, test := range []struct {
		name, method, given string
		calls, attempts     int
	}{
		{"given up once, and no more", read, "30S", 1, 2},
		{"no time for another", read, "10400m", 1, 1},
		{"no budget for another", read, "30S", 8, 8 + 3},
		{"no deadline of its own kind", write, "30S", 1, 1},
		{"a stream", other, "30S", 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				span := slow
				if test.given == "10400m" {
					span = 10 * time.Second
				}
				r := newRig(t, standard(), func(a arrival) error {
					timer := time.NewTimer(span)
					defer timer.Stop()
					select {
					case <-timer.C:
					case <-a.Context().Done():
					}
					return nil
				})
				var calls sync.WaitGroup
				for range test.calls {
					calls.Go(func() {
						if got := r.call(test.method, "grpc-timeout", test.given); got.code != codes.OK {
							t.Errorf("%+v", got)
						}
					})
				}
				calls.Wait()
				if n := int(r.arrivals.Load()); n != test.attempts {
					t.Errorf("%d attempts, want %d", n, test.attempts)
				}
				r.metrics("qdrant_sidecar_retries_in_flight 0\n", "qdrant_sidecar_retries_in_flight")
			})
		})
	}
}

// TestNoTryTimeoutWithoutRetries: there is nothing to give an attempt up for.
func TestNoTryTimeoutWithoutRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.Retry.Max = 0
		r := newRig(t, policy, hang)
		if got := r.call(read, "grpc-timeout", "30S"); got.took != 30*time.Second {
			t.Errorf("%+v", got)
		}
	})
}

// TestSecondAttemptHasAllThatIsLeft: an attempt that follows a failure at once has the
// whole of the call's time, not the first one's.
func TestSecondAttemptHasAllThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error {
			if a.n == 1 {
				return unavailable
			}
			return hang(a)
		})
		got := r.call(read, "grpc-timeout", "30S")
		r.want("a read", got, codes.DeadlineExceeded, 2)
		if got.took != 30*time.Second {
			t.Errorf("it took %v", got.took)
		}
	})
}

// TestSlowReaders: an answer that Qdrant gave in time reaches those who take it
// slowly, however long that is in all. Those who do not take it at all are told so in
// the end, and those who set a deadline at that.
func TestSlowReaders(t *testing.T) {
	const stored, passedOn = 3 << 20, 6 << 20
	for _, test := range []struct {
		name, method string
		size         int
		pause        time.Duration // before each piece is read
		given        string
		want         codes.Code
	}{
		{"a stored answer", read, stored, 10 * time.Second, "", codes.OK},
		{"one that is passed on", read, passedOn, 10 * time.Second, "", codes.OK},
		{"a stored answer, not taken", read, stored, 90 * time.Second, "", codes.DeadlineExceeded},
		{"one that is passed on, not taken", read, passedOn, 90 * time.Second, "", codes.DeadlineExceeded},
		{"a stored answer, in vain", read, stored, 10 * time.Second, "8S", codes.DeadlineExceeded},
		{"one that is passed on, in vain", read, passedOn, 10 * time.Second, "8S", codes.DeadlineExceeded},
		{"a stream", other, passedOn, 90 * time.Second, "", codes.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, standard(), func(a arrival) error {
					return a.SendMsg(&rawgrpc.Reply{Data: mem.BufferSlice{mem.SliceBuffer(make([]byte, test.size))}})
				})
				lease, err := lend(t.Context(), r.client)
				if err != nil {
					t.Fatal(err)
				}
				defer lease.Release()
				request := &pool.Request{
					Method: test.method,
					Header: h2.Fields{h2.Field("content-type", "application/grpc"), h2.Field("te", "trailers")},
				}
				if test.given != "" {
					request.Header = append(request.Header, h2.Field("grpc-timeout", test.given))
				}
				s, err := lease.Stream(t.Context(), request)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if err := s.Send(mem.BufferSlice{mem.SliceBuffer(make([]byte, 5))}, true); err != nil {
					t.Fatal(err)
				}
				got := 0
				for err == nil {
					time.Sleep(test.pause)
					var piece mem.BufferSlice
					piece, err = s.Recv()
					got += piece.Len()
					piece.Free()
				}
				if !errors.Is(err, io.EOF) || status.Code(s.Err()) != test.want || (got > test.size) != (test.want == codes.OK) {
					t.Errorf("%d bytes of %d came: %v, %v", got, test.size, err, s.Err())
				}
			})
		})
	}
}
