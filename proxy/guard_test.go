package proxy_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/proxy"
)

// TestBreaker follows one method's breaker through its life, with others beside it.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sick := true
		r := newRig(t, standard(), func(a arrival) error {
			if sick && a.method == unsafe {
				return unavailable
			}
			return nil
		})
		for n := range 10 {
			r.want("a failure", r.call(unsafe), codes.Unavailable, n+1)
		}
		refused := func() {
			t.Helper()
			before := int(r.arrivals.Load())
			got := r.call(unsafe)
			r.want("refused", got, codes.Unavailable, before)
			if !strings.HasPrefix(got.message, "qdrant-sidecar: /qdrant.Collections/Create failed too often at qdrant.test:6334: ") || got.took != 0 {
				t.Errorf("%+v", got)
			}
			if wait := got.pushback(); wait == "" || wait[0] == '-' {
				t.Errorf("the caller is to come again after %q ms", wait)
			}
		}
		refused()
		r.want("another method", r.call(read), codes.OK, 11)
		r.want("a health check", r.call(health), codes.OK, 12)
		open := "qdrant_circuit_breaker_open{endpoint=\"qdrant.test:6334\",method=\"/qdrant.Collections/Create\"} 1\n" +
			"qdrant_circuit_breaker_open{endpoint=\"qdrant.test:6334\",method=\"/qdrant.Points/Query\"} 0\n" +
			"qdrant_circuit_breaker_open{endpoint=\"qdrant.test:6334\",method=\"/qdrant.Qdrant/HealthCheck\"} 0\n"
		r.metrics(open+strings.NewReplacer("circuit_breaker_open", "sidecar_breaker_state", "} 1", "} 2").Replace(open),
			"qdrant_circuit_breaker_open", "qdrant_sidecar_breaker_state")

		time.Sleep(time.Second) // it is open for half a second to one
		r.want("the probe", r.call(unsafe), codes.Unavailable, 13)
		refused()
		sick = false
		time.Sleep(2 * time.Second)
		r.want("the second probe", r.call(unsafe), codes.OK, 14)
		r.want("after it", r.call(unsafe), codes.OK, 15)
		r.metrics(strings.Replace(open, "} 1", "} 0", 1)+
			"qdrant_sidecar_breaker_transitions_total{to=\"closed\"} 1\n"+
			"qdrant_sidecar_breaker_transitions_total{to=\"half-open\"} 2\n"+
			"qdrant_sidecar_breaker_transitions_total{to=\"open\"} 2\n"+
			"qdrant_sidecar_failures_total{reason=\"CIRCUIT_OPEN\"} 2\n",
			"qdrant_circuit_breaker_open", "qdrant_sidecar_breaker_transitions_total", "qdrant_sidecar_failures_total")
	})
}

// TestBreakerIgnoresCallersMistakes: a client that gets everything wrong is told
// so, each time.
func TestBreakerIgnoresCallersMistakes(t *testing.T) {
	for _, policy := range []*proxy.Resilience{standard(), nil} {
		synctest.Test(t, func(t *testing.T) {
			mistakes := []codes.Code{codes.InvalidArgument, codes.NotFound, codes.Unauthenticated, codes.FailedPrecondition}
			r := newRig(t, policy, func(a arrival) error { return status.Error(mistakes[a.n%len(mistakes)], "yours") })
			for n := range 200 {
				r.want("a mistake", r.call(read), mistakes[(n+1)%len(mistakes)], n+1)
			}
		})
	}
}

// TestBreakersOff: nothing is refused.
func TestBreakersOff(t *testing.T) {
	off := standard()
	off.BreakerThreshold = 0
	for _, policy := range []*proxy.Resilience{off, nil} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, policy, func(arrival) error { return unavailable })
			for n := range 50 {
				r.want("a failure", r.call(unsafe), codes.Unavailable, n+1)
			}
			r.metrics("", "qdrant_circuit_breaker_open")
		})
	}
}

// TestRecoveryEndsTheOpenTime: a breaker that opened while there were no
// connections is closed by the first call after there are.
func TestRecoveryEndsTheOpenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), failing(0, nil), func(r *rig) { r.down.Store(true) })
		opened := false
		for range 20 { // for a minute: the open time grows up to its cap of 5 s
			got := r.call(read, "grpc-timeout", "3S")
			opened = opened || strings.Contains(got.message, "failed too often")
		}
		if !opened {
			t.Fatal("the breaker has not opened")
		}
		r.down.Store(false)
		time.Sleep(3 * time.Second) // until the next attempt to connect, at most
		r.want("the first call", r.call(read), codes.OK, 1)
	})
}

// TestAdmission fills the places and the queue.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.Admission.Limit, policy.Admission.Queue = 1, 2
		hold := make(chan struct{})
		r := newRig(t, policy, func(a arrival) error {
			if a.method != health {
				<-hold
			}
			return nil
		})
		var calls sync.WaitGroup
		start := func(code codes.Code, took time.Duration, method string, header ...string) {
			calls.Go(func() {
				got := r.call(method, header...)
				if got.code != code || got.took != took {
					t.Errorf("%+v, want %v after %v", got, code, took)
				}
				if ours := strings.HasPrefix(got.message, "qdrant-sidecar: too many calls at once"); ours != (code == codes.ResourceExhausted) {
					t.Errorf("%+v", got)
				}
				if code == codes.ResourceExhausted && (got.last.Get("retry-after") != "1" || got.pushback() != "1000") {
					t.Errorf("the caller is to come again after %q s and %q ms", got.last.Get("retry-after"), got.pushback())
				}
			})
			synctest.Wait()
		}
		start(codes.OK, 1500*time.Millisecond, read)
		time.Sleep(500 * time.Millisecond)
		start(codes.ResourceExhausted, time.Second, other) // waits as long as it may
		start(codes.DeadlineExceeded, 100*time.Millisecond, read, "grpc-timeout", "100m")
		start(codes.ResourceExhausted, 0, read)
		r.metrics("qdrant_sidecar_queue_depth 2\nqdrant_sidecar_admitted_calls 1\nqdrant_sidecar_admission_limit 1\n",
			"qdrant_sidecar_queue_depth", "qdrant_sidecar_admitted_calls", "qdrant_sidecar_admission_limit")
		start(codes.OK, 0, health)
		time.Sleep(500 * time.Millisecond)
		start(codes.OK, 500*time.Millisecond, write) // gets the place when the first ends
		time.Sleep(500 * time.Millisecond)
		close(hold)
		calls.Wait()
		r.metrics("qdrant_sidecar_failures_total{reason=\"DEADLINE_EXCEEDED\"} 1\nqdrant_sidecar_failures_total{reason=\"OVERLOADED\"} 2\n"+
			"qdrant_sidecar_turned_away_total{reason=\"queue_age\"} 1\nqdrant_sidecar_turned_away_total{reason=\"queue_full\"} 1\n"+
			"qdrant_sidecar_admitted_calls 0\n",
			"qdrant_sidecar_failures_total", "qdrant_sidecar_turned_away_total", "qdrant_sidecar_admitted_calls")
	})
}

// TestQueueTimeIsMeasured: calls that did not wait are not in it.
func TestQueueTimeIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.Admission.Limit = 1
		r := newRig(t, policy, func(arrival) error {
			time.Sleep(300 * time.Millisecond)
			return nil
		})
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() { r.call(read) })
		}
		calls.Wait()
		synctest.Wait()
		families, err := r.server.Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "qdrant_sidecar_queue_seconds" {
				if h := f.GetMetric()[0].GetHistogram(); h.GetSampleCount() != 2 || h.GetSampleSum() < .89 || h.GetSampleSum() > .91 {
					t.Errorf("%d waits of %v s", h.GetSampleCount(), h.GetSampleSum())
				}
				return
			}
		}
		t.Error("no queue time")
	})
}

// TestOffIsAPlainForwarder: no policy changes anything of an answer.
func TestOffIsAPlainForwarder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls sync.WaitGroup
		hold := make(chan struct{})
		r := newRig(t, nil, func(a arrival) error {
			if a.request == "hold" {
				<-hold
				return nil
			}
			a.SetTrailer(metadata.Pairs("grpc-retry-pushback-ms", "5"))
			return unavailable
		})
		for range 150 { // as many as the two connections take, and more
			calls.Go(func() {
				if got := r.callWith(t.Context(), read, "hold"); got.code != codes.OK || got.took != time.Hour {
					t.Errorf("%+v", got)
				}
			})
		}
		synctest.Wait()
		r.want("a failure", r.call(read), codes.Unavailable, 151)
		if got := r.call(read); got.pushback() != "5" || got.took != 0 {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Hour)
		close(hold)
		calls.Wait()
		r.metrics("", "qdrant_circuit_breaker_open", "qdrant_sidecar_queue_depth", "qdrant_retry_total")
	})
}
