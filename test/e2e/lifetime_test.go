package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qdrant/go-client/qdrant"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// TestPoolIdleTimeout: connections that are not needed any more close, but the last.
func TestPoolIdleTimeout(t *testing.T) {
	t.Parallel()
	g := newGate()
	u := newUpstream(t, g.hold)
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Admin: true, Args: []string{"--pool-idle-timeout=300ms"}})
	c := newCrowd(t, s.GRPC, g)
	c.grow(bounded(t), 101)
	ready := func(want int) func() error {
		return func() error {
			if got := inFlight(t, s); len(got) != want {
				return fmt.Errorf("calls on the connections: %v", got)
			}
			return nil
		}
	}
	eventually(t, "a second connection", ready(2))
	c.disperse()
	eventually(t, "one connection", ready(1))
}

// TestPoolMaxAge: a connection is replaced when it is old, and no call hears of it.
func TestPoolMaxAge(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, healthy)
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--pool-max-age=100ms"}})
	client := newClient(t, s.GRPC)
	ctx := bounded(t)
	eventually(t, "several connections", func() error {
		if _, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: "c"}); err != nil {
			t.Fatal(err)
		}
		if n := u.accepted.Load(); n < 3 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
}

// TestPoolPingInterval: a quiet connection is pinged.
func TestPoolPingInterval(t *testing.T) {
	t.Parallel()
	server := &faultwire.Server{}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	sidecar.Start(t, sidecar.Options{Upstream: "http://" + server.Addr(), Args: []string{"--pool-ping-interval=50ms", "--health-interval=0"}})
	eventually(t, "PINGs", func() error {
		if n := server.Stats().Pings; n < 3 {
			return fmt.Errorf("%d PINGs", n)
		}
		return nil
	})
}

// TestHealthInterval: nodes are asked how they are, or not.
func TestHealthInterval(t *testing.T) {
	t.Parallel()
	var checks atomic.Int64
	u := newUpstream(t, func(c call) ([]byte, error) {
		if c.method == healthCheck {
			checks.Add(1)
		}
		return healthy(c)
	})
	sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--health-interval=50ms"}})
	enough := func() error {
		if checks.Load() < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	eventually(t, "HealthChecks", enough)

	var quiet atomic.Int64
	other := newUpstream(t, func(c call) ([]byte, error) {
		quiet.Add(1)
		return healthy(c)
	})
	sidecar.Start(t, sidecar.Options{Upstream: other.url(), Args: []string{"--health-interval=0"}})
	checks.Store(-50) // as long as the other one takes for these
	eventually(t, "HealthChecks", enough)
	if n := quiet.Load(); n != 0 {
		t.Errorf("%d HealthChecks although there were to be none", n)
	}
}

// TestMinReady: one node of two is enough, or not.
func TestMinReady(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, healthy)
	urls := u.url() + "," + unusedAddress(t)
	sidecar.Start(t, sidecar.Options{Upstream: urls})
	s := sidecar.Start(t, sidecar.Options{Upstream: urls, Args: []string{"--min-ready=2"}, Unready: true})
	eventually(t, "a connection", func() error {
		if page := mustGet(t, s.Metrics, "/metrics").text; !strings.Contains(page, `standing="good"} 1`) || !strings.Contains(page, `standing="down"} 1`) {
			return errors.New("not yet")
		}
		return nil
	})
	if page := mustGet(t, s.Metrics, "/readyz"); page.code != 503 {
		t.Errorf("with one node of two /readyz is %d %s", page.code, page.text)
	}
}

// TestClusterURLs: what is no cluster is refused in a sentence.
func TestClusterURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://a,https://b":        "must have one scheme",
		"http://a,":                 "has an empty place",
		"http://a,b:6334,a:6334":    "names a:6334 twice",
		"http://a,memory://":        "must have one scheme",
		"dns://8.8.8.8/q:6334":      "only the system's is asked",
		"dns:///":                   "must be dns:///name[:port]",
		"dns:///10.0.0.1:6334":      "where a name is to be resolved",
		"dns:///q:99999":            "has the port",
		"dns:///a,dns:///b":         "other schemes take no list",
		"dns+https:///user@q:6334":  "must be dns+https:///name[:port]",
		"dns+https:///q/collection": "must be dns+https:///name[:port]",
	} {
		code, c := run(t, nil, "check-config", "--url="+url)
		if code != exitUsage || !strings.Contains(c.stderr.String(), want) {
			t.Errorf("%s: exit code %d, %s", url, code, c.stderr.String())
		}
	}
	for _, url := range []string{"http://a,b:6334, c", "https://a,https://b", "dns:///q", "dns+https:///q-headless.ns:6334"} {
		if code, c := run(t, nil, "check-config", "--url="+url); code != exitOK {
			t.Errorf("%s: exit code %d, %s", url, code, c.stderr.String())
		}
	}
}

// TestResolvedName: a name's addresses are the nodes.
func TestResolvedName(t *testing.T) {
	t.Parallel()
	u := newUpstreamOn(t, "127.0.0.1:0", nil, healthy)
	_, port, _ := net.SplitHostPort(u.addr)
	s := sidecar.Start(t, sidecar.Options{Upstream: "dns:///localhost:" + port})
	if _, err := newClient(t, s.GRPC).HealthCheck(bounded(t)); err != nil {
		t.Error(err)
	}
}
