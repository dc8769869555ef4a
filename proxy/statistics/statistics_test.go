package statistics_test

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/statistics"
	"qdrant-sidecar/proxy/tap"
	"qdrant-sidecar/resilience"
)

// counted is a metrics page with what statistics are made of.
type counted struct {
	*prometheus.Registry
	handled, attempts, failures, notRetried *prometheus.CounterVec
	seconds, stages, collection             *prometheus.HistogramVec
	collections, collectionAttempts         *prometheus.CounterVec
	upstream                                *prometheus.HistogramVec
	routes, retries                         *prometheus.CounterVec
	queue                                   prometheus.Histogram

	mu     sync.Mutex // guards what is below
	pool   pool.State
	recent []tap.Call
	ready  error
	paused time.Time
}

func newCounted(native bool) *counted {
	histogram := func(name string, labels ...string) *prometheus.HistogramVec {
		o := prometheus.HistogramOpts{Name: name, Buckets: []float64{.01, .1, 1}}
		if native {
			o.NativeHistogramBucketFactor = 1.1
		}
		return prometheus.NewHistogramVec(o, labels)
	}
	counter := func(name string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name}, labels)
	}
	c := &counted{
		Registry:    prometheus.NewRegistry(),
		handled:     counter("grpc_server_handled_total", "grpc_service", "grpc_method", "grpc_code"),
		seconds:     histogram("grpc_server_handling_seconds", "grpc_service", "grpc_method", "grpc_code"),
		attempts:    counter("qdrant_sidecar_attempts_total", "grpc_service", "grpc_method", "outcome"),
		stages:      histogram("qdrant_sidecar_stage_seconds", "grpc_service", "grpc_method", "stage"),
		failures:    counter("qdrant_sidecar_failures_total", "reason"),
		notRetried:  counter("qdrant_sidecar_not_retried_total", "reason"),
		collections: counter("qdrant_sidecar_collection_calls_total", "collection", "kind", "grpc_code"),
		collection:  histogram("qdrant_sidecar_collection_seconds", "collection", "kind"),
		upstream:    histogram("qdrant_sidecar_upstream_seconds", "grpc_service", "grpc_method", "part"),

		collectionAttempts: counter("qdrant_sidecar_collection_attempts_total", "collection", "kind"),
		routes:             counter("qdrant_sidecar_rest_requests_total", "route", "code"),
		retries:            counter("qdrant_sidecar_retries_total", "reason"),
		queue:              prometheus.NewHistogram(prometheus.HistogramOpts{Name: "qdrant_sidecar_queue_seconds"}),
		pool:               pool.State{Size: 3, Endpoints: []pool.EndpointState{{Address: "a:6334", Standing: pool.Good}}},
	}
	c.MustRegister(c.handled, c.seconds, c.attempts, c.stages, c.failures, c.notRetried, c.collections, c.collectionAttempts, c.collection, c.upstream, c.routes, c.retries, c.queue)
	return c
}

// call counts one.
func (c *counted) call(service, method, code string, took, upstream time.Duration) {
	c.handled.WithLabelValues(service, method, code).Inc()
	c.seconds.WithLabelValues(service, method, code).Observe(took.Seconds())
	c.attempts.WithLabelValues(service, method, "ok").Inc()
	c.stages.WithLabelValues(service, method, "upstream").Observe(upstream.Seconds())
	c.stages.WithLabelValues(service, method, "own").Observe((took - upstream).Seconds())
	c.upstream.WithLabelValues(service, method, "qdrant").Observe((upstream * 3 / 4).Seconds())
	c.upstream.WithLabelValues(service, method, "way").Observe((upstream / 4).Seconds())
	c.collectionAttempts.WithLabelValues("products", "read").Add(2)
	c.collections.WithLabelValues("products", "read", code).Inc()
	c.collection.WithLabelValues("products", "read").Observe(took.Seconds())
}

func (c *counted) source() statistics.Source {
	return statistics.Source{
		Gather: c.Gather,
		Pool: func() pool.State {
			c.mu.Lock()
			defer c.mu.Unlock()
			state := c.pool
			state.Endpoints = slices.Clone(state.Endpoints)
			return state
		},
		Queue: func() (resilience.AdmissionState, bool) {
			return resilience.AdmissionState{InFlight: 2, Limit: 2, Waiting: 1}, true
		},
		Budget: func() (resilience.BudgetState, bool) { return resilience.BudgetState{RecentCalls: 9}, true },
		Breakers: func() map[string][]resilience.Status {
			return map[string][]resilience.Status{"a:6334": {{Method: "/qdrant.Points/Query", State: resilience.Open, Failures: 10, Remaining: time.Second}, {Method: "/qdrant.Points/Get"}}}
		},
		Failures: func() []tap.Call { return guarded(c, &c.recent) },
		InFlight: func() int { return 3 },
		Draining: func() bool { return false },
		Ready:    func() error { return guarded(c, &c.ready) },

		PausedSince: func() time.Time { return guarded(c, &c.paused) },
	}
}

// guarded reads a field that the test may be about to change.
func guarded[T any](c *counted, field *T) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *field
}

func within(got, want time.Duration, percent float64) bool {
	return math.Abs(float64(got-want)) <= float64(want)*percent/100
}

func TestTraffic(t *testing.T) {
	for _, native := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCounted(native)
			c.call("qdrant.Points", "Query", "OK", time.Second, time.Second) // before anybody looks
			r := statistics.NewRecorder(c.source())
			go r.Run(t.Context(), func(*adminv1.Statistics) {})
			time.Sleep(31 * time.Second) // so that it is in no window of 10 s
			for range 98 {
				c.call("qdrant.Points", "Query", "OK", 50*time.Millisecond, 40*time.Millisecond)
			}
			c.call("qdrant.Points", "Query", "NotFound", 50*time.Millisecond, 40*time.Millisecond)
			c.call("qdrant.Points", "Query", "NotFound", 800*time.Millisecond, 40*time.Millisecond)
			c.call("other", "other", "OK", time.Millisecond, time.Millisecond)
			time.Sleep(time.Second)
			s, err := r.Now(10 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			methods := s.GetMethods()
			if len(methods) != 2 || methods[0].GetName() != "Points/Query" || methods[1].GetName() != "other" {
				t.Fatalf("%v", methods)
			}
			q := methods[0]
			window := s.GetWindow().AsDuration()
			if q.GetCalls() != 100 || q.GetAttempts() != 100 || math.Abs(q.GetRate()-100/window.Seconds()) > 1e-9 {
				t.Errorf("%v in %v", q, window)
			}
			if window < 10*time.Second || window > 15*time.Second {
				t.Errorf("a window of %v", window)
			}
			accuracy := 100.0
			if native {
				accuracy = 5
			}
			if p50 := q.GetP50().AsDuration(); !within(p50, 50*time.Millisecond, accuracy) {
				t.Errorf("native %v: p50 is %v", native, p50)
			}
			if p99 := q.GetP99().AsDuration(); p99 < 45*time.Millisecond || p99 > time.Second {
				t.Errorf("native %v: p99 is %v", native, p99)
			}
			if e := q.GetErrors(); len(e) != 1 || e[0].GetCode() != "NotFound" || e[0].GetCalls() != 2 {
				t.Errorf("errors %v", e)
			}
			if up := q.GetStages().GetUpstream().AsDuration(); !within(up, 40*time.Millisecond, 0.1) {
				t.Errorf("upstream %v", up)
			}
			said := q.GetServerTime()
			if said.GetAnswers() != 100 || !within(said.GetQdrant().AsDuration(), 30*time.Millisecond, 0.1) || !within(said.GetWay().AsDuration(), 10*time.Millisecond, 0.1) {
				t.Errorf("Qdrant says %v", said)
			}
			if all := s.GetTotal().GetServerTime(); all.GetAnswers() != 101 || all.GetQdrant().AsDuration() >= said.GetQdrant().AsDuration() {
				t.Errorf("of all calls Qdrant says %v", all)
			}
			if got := s.GetTotal().GetCalls(); got != 101 {
				t.Errorf("%d calls in all", got)
			}
			if got := s.GetCollections(); len(got) != 1 || got[0].GetCalls() != 101 || got[0].GetAttempts() != 202 || got[0].GetName() != "products" {
				t.Errorf("collections %v", got)
			}
		})
	}
}

func TestPresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(true)
		r := statistics.NewRecorder(c.source())
		c.pool.Endpoints[0].GoAways = 3
		go r.Run(t.Context(), func(*adminv1.Statistics) {})
		time.Sleep(6 * time.Second)
		c.mu.Lock()
		c.pool.Endpoints[0].GoAways, c.pool.Endpoints[0].TooManyResets = 5, 1
		c.pool.Endpoints[0].Connections = []pool.Connection{
			{ID: 0, State: pool.Ready, InFlight: 4, RoundTrip: 3 * time.Millisecond}, {ID: 1, State: pool.Ready, RoundTrip: 2 * time.Millisecond}, {ID: 2, State: pool.Unused},
		}
		c.failures.WithLabelValues("OVERLOADED").Add(4)
		c.notRetried.WithLabelValues("budget").Add(2)
		c.retries.WithLabelValues("lost").Add(7)
		c.queue.Observe(0.2)
		c.routes.WithLabelValues("GET /collections", "200").Inc()
		c.routes.WithLabelValues("GET /collections", "404").Inc()
		c.ready, c.paused = errors.New("no"), time.Now()
		c.recent = []tap.Call{{Method: "Points/Query", Code: codes.Internal, Started: time.Now(), Timed: true, Deadline: time.Second}}
		c.mu.Unlock()
		time.Sleep(time.Second)
		s, err := r.Now(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		n, q := s.GetNodes()[0], s.GetQueue()
		f := s.GetLastFailures()[0]
		switch {
		case n.GetGoAways() != 3 || n.GetTooManyResets() != 1: // since the look at 5 s
			t.Errorf("GOAWAYs of %v", n)
		case len(s.GetRestRoutes()) != 1 || s.GetRestRoutes()[0].GetCalls() != 2 || s.GetRestRoutes()[0].GetErrors()[0].GetCode() != "404" || s.GetTotal().GetCalls() != 0:
			t.Errorf("REST is %v", s.GetRestRoutes())
		case n.GetRoundTrip().AsDuration() != 2*time.Millisecond || len(n.GetConnections()) != 2 || n.GetStanding() != "good" || n.GetMaxConnections() != 3:
			t.Errorf("node %v", n)
		case q.GetRefused() != 4 || q.GetWaited() != 1 || !within(q.GetMeanWait().AsDuration(), 200*time.Millisecond, 1) || q.GetWaiting() != 1:
			t.Errorf("queue %v", q)
		case s.GetRetryBudget().GetRefused() != 2 || s.GetRetryBudget().GetRepeated() != 7 || s.GetRetryBudget().GetRecentCalls() != 9:
			t.Errorf("budget %v", s.GetRetryBudget())
		case len(s.GetBreakers()) != 1 || s.GetBreakers()[0].GetMethod() != "Points/Query" || s.GetBreakers()[0].GetState() != "open":
			t.Errorf("breakers %v", s.GetBreakers())
		case f.GetCode() != "Internal" || f.GetDeadline().AsDuration() != time.Second:
			t.Errorf("failure %v", f)
		case s.GetPausedSince() == nil || s.GetUnready() != "no" || s.GetCallsInFlight() != 3:
			t.Errorf("%v", s)
		}
	})
}

// What is remembered is bounded, and told in order.
func TestPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(true)
		r := statistics.NewRecorder(c.source())
		go r.Run(t.Context(), func(*adminv1.Statistics) {})
		time.Sleep(time.Second)
		for range 100 {
			c.call("qdrant.Points", "Query", "OK", time.Millisecond, time.Millisecond)
			time.Sleep(5 * time.Second)
		}
		past := r.Past()
		if len(past) != 60 {
			t.Fatalf("%d are remembered", len(past))
		}
		var last *adminv1.Statistics
		for _, s := range past {
			if s.GetTotal().GetCalls() != 1 || len(s.GetNodes()) != 0 {
				t.Errorf("%v", s)
			}
			if last != nil && !s.GetTime().AsTime().After(last.GetTime().AsTime()) {
				t.Error("not in order")
			}
			last = s
		}
	})
}

// A series that began anew, because another collection had its place, has no calls
// below zero.
func TestBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(true)
		for range 5 {
			c.call("qdrant.Points", "Query", "OK", time.Millisecond, time.Millisecond)
		}
		r := statistics.NewRecorder(c.source())
		go r.Run(t.Context(), func(*adminv1.Statistics) {})
		time.Sleep(11 * time.Second)
		c.collections.Reset()
		c.collectionAttempts.Reset()
		c.collection.Reset()
		c.call("qdrant.Points", "Query", "OK", time.Millisecond, time.Millisecond)
		s, err := r.Now(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.GetCollections()[0]; got.GetCalls() < 0 || got.GetAttempts() < 0 || got.GetRate() < 0 || got.GetP50().AsDuration() > 2*time.Millisecond {
			t.Errorf("%v", got)
		}
	})
}
