package pool_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/pool"
)

// TestReadiness: a node that says it is not ready is not asked while there are others,
// and one that says nothing is like any other.
func TestReadiness(t *testing.T) {
	ready := make(chan struct{})
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    pool.Standing
	}{
		"not ready":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, pool.Sick},
		"ready":      {func(http.ResponseWriter, *http.Request) {}, pool.Good},
		"wants keys": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, pool.Good},
		"ready soon": {func(w http.ResponseWriter, _ *http.Request) {
			select {
			case <-ready:
			default:
				close(ready)
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}, pool.Good},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 100)
			rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				test.handler(w, r)
				select {
				case asked <- struct{}{}:
				default:
				}
			}))
			t.Cleanup(rest.Close)
			u := newUpstream(t, func(context.Context, string) (string, error) { return "", nil })
			p := pool.New(pool.Config{
				Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: u.dial, ReadyURL: rest.URL + "/readyz"}},
				Size:      1, HealthInterval: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
			})
			t.Cleanup(p.Close)
			<-asked
			if name == "ready soon" {
				<-asked
			}
			tick, late := time.NewTicker(time.Millisecond), time.After(patience)
			defer tick.Stop()
			for p.Nodes()[0].Standing() != test.want {
				select {
				case <-tick.C:
				case <-late:
					t.Fatalf("the node is %v, want %v", p.Nodes()[0].Standing(), test.want)
				}
			}
		})
	}
}

// TestNotReadyAndSilent: that a node which is not ready fails to say so once or twice
// does not make it ready.
func TestNotReadyAndSilent(t *testing.T) {
	answers := []int{503, 500, 503, 500, 503, 500, 200}
	done := make(chan struct{})
	var asked int
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[asked])
		if asked++; asked == len(answers) {
			close(done)
		}
	}))
	t.Cleanup(rest.Close)
	u := newUpstream(t, func(context.Context, string) (string, error) { return "", nil })
	var log strings.Builder
	p := pool.New(pool.Config{
		Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: u.dial, ReadyURL: rest.URL + "/readyz"}},
		Size:      1, HealthInterval: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	t.Cleanup(p.Close)
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("it is not asked until it is ready")
	}
	p.Close()
	if n := strings.Count(log.String(), "ready=true"); n > 1 {
		t.Errorf("it was ready %d times:\n%s", n, log.String())
	}
}
