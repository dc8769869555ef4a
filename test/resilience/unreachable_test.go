package resilience_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// TestUnreachable: what could not be sent for want of a connection is sent when there
// is one, within the backoff; no class of methods is at a risk by that. What is
// unknown is not kept for so long, and who asks for health wants to know.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]faultwire.Greeting{"refuses": -1, "closes at once": faultwire.Refuse, "speaks HTTP/1": faultwire.SpeakHTTP1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := "127.0.0.1:1" // where nobody listens
			if greeting >= 0 {
				up := &faultwire.Server{Greet: func(int) faultwire.Greeting { return greeting }}
				if err := up.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { up.Close() })
				addr = up.Addr()
			}
			s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + addr, Unready: true, Args: []string{
				"--retry-base-delay=0.001", "--circuit-breaker-threshold=0",
			}})
			r := rigged{s, nil, dial(t, s.GRPC)}
			r.call(healthPath, "", nil) // and it is known why there is no connection
			for path, w := range map[string]struct {
				why, told string
			}{
				readPath: {"attempts", "-1"}, writePath: {"attempts", "-1"}, unsafePath: {"attempts", "-1"},
				unknownPath: {tooLarge, ""}, healthPath: {"disabled", ""},
			} {
				before := scrape(t, s)
				got := r.call(path, "", nil)
				if got.code != codes.Unavailable || got.reason() != "NO_HEALTHY_UPSTREAM" || got.told() != w.told ||
					!strings.Contains(got.message, addr) {
					t.Errorf("%s: %v %q, pushback %q", path, got.code, got.message, got.told())
				}
				r.gives(before, notRetried, "reason", count(w.why, 1))
			}
		})
	}
}

// TestUnreachableOpensABreaker: calls are refused for the method, until a connection
// is there.
func TestUnreachableOpensABreaker(t *testing.T) {
	t.Parallel()
	var there atomic.Bool
	up := &faultwire.Server{
		Handler: func(s *faultwire.Stream) { s.Answer(nil) },
		Greet: func(int) faultwire.Greeting {
			if there.Load() {
				return faultwire.SpeakHTTP2
			}
			return faultwire.Refuse
		},
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { up.Close() })
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + up.Addr(), Unready: true, Args: []string{"--retry-max=0"}})
	c := dial(t, s.GRPC)
	refused := func(reason string) func() bool {
		return func() bool { return c.call(readPath, "", nil).reason() == reason }
	}
	until(t, "the breaker to open", refused("CIRCUIT_OPEN"))
	there.Store(true)
	until(t, "calls to pass", refused(""))
}
