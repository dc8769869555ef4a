package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/proxy"
)

var unavailable = status.Error(codes.Unavailable, "Service unavailable: shard 0")

// failing fails the first n attempts.
func failing(n int, err error) func(arrival) error {
	return func(a arrival) error {
		if a.n <= n {
			return err
		}
		return nil
	}
}

func TestRetrySucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var previous []string
		r := newRig(t, standard(), func(a arrival) error {
			previous = append(previous, strings.Join(a.header.Get("grpc-previous-rpc-attempts"), ","))
			return failing(2, unavailable)(a)
		})
		got := r.call(read)
		r.want("a read", got, codes.OK, 3)
		if got.text != "hello" || got.pushback() != "" {
			t.Errorf("the answer: %+v", got)
		}
		if got.took != 1500*time.Millisecond {
			t.Errorf("it took %v, want waits of 0.5 and 1 s", got.took)
		}
		if !slices.Equal(previous, []string{"", "1", "2"}) {
			t.Errorf("the upstream was told of %q attempts before", previous)
		}
		r.metrics(`
qdrant_retry_total{operation="/qdrant.Points/Query",success="true"} 1
qdrant_sidecar_attempts_total{grpc_method="Query",grpc_service="qdrant.Points",outcome="ok"} 1
qdrant_sidecar_attempts_total{grpc_method="Query",grpc_service="qdrant.Points",outcome="unavailable"} 2
qdrant_sidecar_retries_total{reason="unavailable"} 2
qdrant_sidecar_replayed_bytes_total 20
qdrant_sidecar_retries_in_flight 0
qdrant_sidecar_recent_retries 2
qdrant_sidecar_retry_budget_left 3
qdrant_sidecar_stored_request_bytes 0
`, "qdrant_sidecar_retries_total", "qdrant_sidecar_replayed_bytes_total", "qdrant_sidecar_retry_budget_left", "qdrant_retry_total", "qdrant_sidecar_attempts_total", "qdrant_sidecar_retries_in_flight",
			"qdrant_sidecar_recent_retries", "qdrant_sidecar_stored_request_bytes", "qdrant_sidecar_not_retried_total")
	})
}

// TestCallersOwnRetriesAreAdded: the upstream is told how often it may have seen
// the call.
func TestCallersOwnRetriesAreAdded(t *testing.T) {
	for sent, want := range map[string][]string{"2": {"2", "3"}, "many": {"many", "1"}, "-1": {"-1", "1"}} {
		synctest.Test(t, func(t *testing.T) {
			var previous []string
			r := newRig(t, standard(), func(a arrival) error {
				previous = append(previous, a.header.Get("grpc-previous-rpc-attempts")...)
				return failing(1, unavailable)(a)
			})
			r.want("a read", r.call(read, "grpc-previous-rpc-attempts", sent), codes.OK, 2)
			if !slices.Equal(previous, want) {
				t.Errorf("%q became %q, want %q", sent, previous, want)
			}
		})
	}
}

// TestRetryExhausted: the last answer reaches the caller as it is, and says that
// it was repeated enough.
func TestRetryExhausted(t *testing.T) {
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, standard(), func(a arrival) error {
				if early { // the status comes in a block of its own
					a.SendHeader(metadata.Pairs("early", "yes"))
				}
				a.SetTrailer(metadata.Pairs("attempt", fmt.Sprint(a.n), "twice", "a", "twice", "b"))
				return unavailable
			})
			got := r.call(read)
			r.want("a read", got, codes.Unavailable, 4)
			if got.message != "Service unavailable: shard 0" || got.last.Get("attempt") != "4" || len(got.last.Values("twice")) != 2 {
				t.Errorf("the answer is not the last: %+v", got)
			}
			if got.only == early || early && got.header.Get("early") != "yes" {
				t.Errorf("it has another shape: %+v", got)
			}
			if got.pushback() != "-1" || got.header.Has("grpc-retry-pushback-ms") == early {
				t.Errorf("the caller is told to come again after %q", got.pushback())
			}
			if got.took != 3500*time.Millisecond {
				t.Errorf("it took %v", got.took)
			}
			r.metrics(`
qdrant_retry_total{operation="/qdrant.Points/Query",success="false"} 1
qdrant_sidecar_not_retried_total{reason="attempts"} 1
`, "qdrant_retry_total", "qdrant_sidecar_not_retried_total")
		})
	}
}

// TestOnlyWhatMayBeRepeatedIs goes through the classes.
func TestOnlyWhatMayBeRepeatedIs(t *testing.T) {
	strict := standard()
	strict.KeepWrites = true
	never := standard()
	never.Retry.Max = 0
	for _, test := range []struct {
		name, method string
		policy       *proxy.Resilience
		err          error
		attempts     int
		reason       string
		gaveUp       bool
	}{
		{"read", read, standard(), unavailable, 4, "attempts", true},
		{"write", write, standard(), unavailable, 4, "attempts", true},
		{"unsafe write", unsafe, standard(), unavailable, 1, "not_idempotent", false},
		{"unknown", other, standard(), unavailable, 1, "not_idempotent", false},
		{"health", health, standard(), unavailable, 1, "disabled", false},
		{"write, strictly", write, strict, unavailable, 1, "not_idempotent", false},
		{"read, strictly", read, strict, unavailable, 4, "attempts", true},
		{"read, never", read, never, unavailable, 1, "disabled", false},
		{"read, off", read, nil, unavailable, 1, "disabled", false},
		{"INTERNAL, read", read, standard(), status.Error(codes.Internal, "Service internal error: oh"), 2, "attempts", true},
		{"INTERNAL, write", write, standard(), status.Error(codes.Internal, "Service internal error: oh"), 1, "not_idempotent", false},
		{"missing message", unsafe, standard(), status.Error(codes.Internal, "Missing request message."), 4, "attempts", true},
		{"not found", read, standard(), status.Error(codes.NotFound, "Not found"), 1, "permanent", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, test.policy, func(arrival) error { return test.err })
				got := r.call(test.method)
				r.want("the call", got, status.Code(test.err), test.attempts)
				if got.message != status.Convert(test.err).Message() || (got.pushback() == "-1") != test.gaveUp {
					t.Errorf("%q, pushback %q", got.message, got.pushback())
				}
				r.metrics(fmt.Sprintf("qdrant_sidecar_not_retried_total{reason=%q} 1\n", test.reason), "qdrant_sidecar_not_retried_total")
			})
		})
	}
}

// TestPushbackIsObeyed: the upstream knows best when to come again.
func TestPushbackIsObeyed(t *testing.T) {
	for _, test := range []struct {
		name     string
		code     codes.Code
		fields   []string
		attempts int
		took     time.Duration
		left     string // what the caller is told
	}{
		{"later", codes.Unavailable, []string{"grpc-retry-pushback-ms", "700"}, 4, 2100 * time.Millisecond, "-1"},
		{"at once", codes.Unavailable, []string{"grpc-retry-pushback-ms", "0"}, 4, 0, "-1"},
		{"not again", codes.Unavailable, []string{"grpc-retry-pushback-ms", "-1"}, 1, 0, "-1"},
		{"two", codes.Unavailable, []string{"grpc-retry-pushback-ms", "1", "grpc-retry-pushback-ms", "2"}, 1, 0, "1 and 2"},
		{"rate limit", codes.ResourceExhausted, []string{"retry-after", "1"}, 4, 3 * time.Second, "-1"},
		{"rate limit beyond the deadline", codes.ResourceExhausted, []string{"retry-after", "6"}, 1, 0, ""},
		{"storage", codes.ResourceExhausted, []string{"retry-after", "1", "qdrant-insufficient-storage", "1"}, 1, 0, ""},
		{"size", codes.ResourceExhausted, nil, 1, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, standard(), func(a arrival) error {
					a.SetTrailer(metadata.Pairs(test.fields...))
					return status.Error(test.code, "no")
				})
				got := r.call(read)
				r.want("a read", got, test.code, test.attempts)
				if got.took != test.took || got.pushback() != test.left {
					t.Errorf("it took %v, pushback %q; want %v, %q", got.took, got.pushback(), test.took, test.left)
				}
			})
		})
	}
}

// TestBudget: a Qdrant that fails everything gets a few attempts more, and who
// gets none of them gets his answer at once.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.BreakerThreshold = 0
		r := newRig(t, policy, func(arrival) error { return unavailable })
		r.call(health) // and the connection is there
		start := r.arrivals.Load()
		var calls sync.WaitGroup
		var atOnce atomic.Int64
		for i := range 8 {
			calls.Go(func() {
				got := r.call([]string{read, write}[i%2])
				if got.code != codes.Unavailable || got.message != "Service unavailable: shard 0" || got.pushback() != "-1" {
					t.Errorf("%+v", got)
				}
				if got.took == 0 {
					atOnce.Add(1)
				}
			})
		}
		calls.Wait()
		if n := atOnce.Load(); n != 5 {
			t.Errorf("%d of 8 calls were answered at once, want all but 3", n)
		}
		if n := r.arrivals.Load() - start; n > 8+3*3 {
			t.Errorf("%d attempts of 8 calls", n)
		}
		r.metrics("qdrant_sidecar_not_retried_total{reason=\"attempts\"} 3\nqdrant_sidecar_not_retried_total{reason=\"budget\"} 5\n"+
			"qdrant_sidecar_not_retried_total{reason=\"disabled\"} 1\n", "qdrant_sidecar_not_retried_total")
	})
}

// TestDeadlineIsRespected: what would come too late is not begun.
func TestDeadlineIsRespected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(arrival) error { return unavailable })
		got := r.call(read, "grpc-timeout", "1200m")
		r.want("a read", got, codes.Unavailable, 2)
		if got.took != 500*time.Millisecond || got.pushback() != "" {
			t.Errorf("it took %v, pushback %q", got.took, got.pushback())
		}
	})
}

// TestNothingIsBegunForWhoIsGone cancels a call that waits for its next attempt.
func TestNothingIsBegunForWhoIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(arrival) error { return unavailable })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r.callWith(ctx, read, "hello") // whose deadline the sidecar is not told
		time.Sleep(time.Minute)
		if n := r.arrivals.Load(); n != 1 || r.server.InFlight() != 0 {
			t.Errorf("%d attempts, %d calls in flight", n, r.server.InFlight())
		}
		r.metrics("qdrant_sidecar_not_retried_total{reason=\"caller_gone\"} 1\nqdrant_sidecar_retries_in_flight 0\n"+
			"qdrant_sidecar_failures_total{reason=\"CANCELLED\"} 1\n",
			"qdrant_sidecar_not_retried_total", "qdrant_sidecar_retries_in_flight", "qdrant_sidecar_failures_total")
	})
}

// TestPlaceIsFreeWhileBackingOff: the only place serves another call meanwhile.
func TestPlaceIsFreeWhileBackingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.Admission.Limit, policy.Admission.Queue = 1, 0
		r := newRig(t, policy, failing(1, unavailable))
		var calls sync.WaitGroup
		calls.Go(func() {
			if got := r.call(read); got.code != codes.OK || got.took != 500*time.Millisecond {
				t.Errorf("the first: %+v", got)
			}
		})
		synctest.Wait()
		for range 10 {
			if got := r.call(read); got.code != codes.OK || got.took != 0 {
				t.Errorf("meanwhile: %+v", got)
			}
		}
		calls.Wait()
	})
}

// TestRefusedRetryAnswersTheFailure: whoever asked for one attempt hears of that
// one, and not that there was no room for another.
func TestRefusedRetryAnswersTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.Admission.Limit, policy.Admission.Queue = 1, 0
		hold := make(chan struct{})
		r := newRig(t, policy, func(a arrival) error {
			if a.n > 1 {
				<-hold
				return nil
			}
			a.SetTrailer(metadata.Pairs("attempt", fmt.Sprint(a.n)))
			return unavailable
		})
		var calls sync.WaitGroup
		calls.Go(func() {
			got := r.call(read)
			if got.code != codes.Unavailable || got.last.Get("attempt") != "1" || got.message != "Service unavailable: shard 0" {
				t.Errorf("the first: %+v", got)
			}
		})
		synctest.Wait()
		calls.Go(func() { r.want("the second", r.call(read), codes.OK, 2) })
		time.Sleep(time.Second)
		close(hold)
		calls.Wait()
		r.metrics("qdrant_sidecar_not_retried_total{reason=\"refused\"} 1\n", "qdrant_sidecar_not_retried_total", "qdrant_sidecar_failures_total")
	})
}

// TestUnreachableUpstream: reads and writes of any kind wait for its return, and
// are told what is wrong if it does not. Health checks are told at once.
func TestUnreachableUpstream(t *testing.T) {
	gone := func(r *rig) { r.down.Store(true) }
	for _, method := range []string{read, write, unsafe} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, standard(), failing(0, nil), gone)
			var calls sync.WaitGroup
			calls.Go(func() { r.want(method, r.call(method), codes.OK, 1) })
			time.Sleep(time.Second)
			r.down.Store(false)
			calls.Wait()
		})
	}
	for method, took := range map[string]time.Duration{read: 3500 * time.Millisecond, unsafe: 3500 * time.Millisecond, other: 0, health: 0} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, standard(), failing(0, nil), gone)
			got := r.call(method)
			r.want(method, got, codes.Unavailable, 0)
			if !strings.HasPrefix(got.message, "qdrant-sidecar: no connection to Qdrant at qdrant.test:6334: ") || got.took != took {
				t.Errorf("%s: after %v %q", method, got.took, got.message)
			}
			if want := map[bool]string{true: "-1"}[took > 0]; got.pushback() != want {
				t.Errorf("%s: pushback %q, want %q", method, got.pushback(), want)
			}
		})
	}
}

// TestCallsMadeAgainAtOnce: the attempts of a call and of those that repeat it are counted together, for as long as it
// is remembered; and what is another call has its own.
func TestCallsMadeAgainAtOnce(t *testing.T) {
	const window = 250 * time.Millisecond
	for name, tt := range map[string]struct {
		method, body string
		header       []string
		after        time.Duration
		window       time.Duration
		want         int // attempts of the second call
	}{
		"the same":                    {method: read, body: "hello", window: window, want: 0},
		"with another trace":          {method: read, body: "hello", header: []string{"traceparent", "x", "grpc-timeout", "20S"}, window: window, want: 0},
		"just in time":                {method: read, body: "hello", after: window - 1, window: window, want: 0},
		"later":                       {method: read, body: "hello", after: window, window: window, want: 4},
		"another request":             {method: read, body: "hellO", window: window, want: 4},
		"another method":              {method: write, body: "hello", window: window, want: 4},
		"another key":                 {method: read, body: "hello", header: []string{"api-key", "x"}, window: window, want: 4},
		"nothing is to be remembered": {method: read, body: "hello", want: 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy := standard()
				policy.RepeatWindow = tt.window
				r := newRig(t, policy, failing(1000, unavailable))
				r.want("a call", r.callWith(t.Context(), read, "hello"), codes.Unavailable, 4)
				time.Sleep(tt.after)
				got := r.callWith(t.Context(), tt.method, tt.body, tt.header...)
				r.want("the second", got, codes.Unavailable, 4+tt.want)
				if refused := strings.HasPrefix(got.message, "qdrant-sidecar: not sent again: the same call has just failed after 4 attempts, the last with Unavailable: Service unavailable: shard 0"); refused != (tt.want == 0) {
					t.Errorf("the answer: %+v", got)
				}
				if got.pushback() != "-1" {
					t.Errorf("the caller is told to come again after %q", got.pushback())
				}
			})
		})
	}
}

// TestRestOfTheAttempts: a call that was given up on early leaves some to the one that repeats it, and the upstream is
// told of all.
func TestRestOfTheAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.RepeatWindow = time.Second
		var previous []string
		r := newRig(t, policy, func(a arrival) error {
			previous = append(previous, strings.Join(a.header.Get("grpc-previous-rpc-attempts"), ","))
			return status.Error(codes.Internal, "Service internal error: io")
		})
		// INTERNAL is repeated once.
		r.want("a call", r.call(read), codes.Internal, 2)
		r.want("the same", r.call(read), codes.Internal, 4)
		r.want("and again", r.call(read), codes.Internal, 4)
		if !slices.Equal(previous, []string{"", "1", "2", "3"}) {
			t.Errorf("the upstream was told of %q attempts before", previous)
		}
	})
}

// TestCallsThatAreNotRepeatedAreNotRemembered: who makes an unsafe call again wants it made again.
func TestCallsThatAreNotRepeatedAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.RepeatWindow = time.Second
		r := newRig(t, policy, failing(2, unavailable))
		r.want("an unsafe call", r.call(unsafe), codes.Unavailable, 1)
		r.want("the same", r.call(unsafe), codes.Unavailable, 2)
		r.want("and again", r.call(unsafe), codes.OK, 3)
	})
}
