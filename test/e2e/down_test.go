package e2e_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"qdrant-sidecar/test/sidecar"
)

// unusedAddress returns a loopback address where nothing listens. It is not on
// 127.0.0.1, where the ports of outgoing connections are.
func unusedAddress(t testing.TB) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.9.8.7:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

// impatient has calls fail that would be repeated.
const impatient = "--retry-max=0"

// failFast makes one call of each kind, which must all be told what is wrong long
// before their time is over.
func failFast(t testing.TB, s *sidecar.Sidecar, address string, why ...string) {
	t.Helper()
	const fast = time.Second // at best: a slow machine is not slow all of the time
	client := newClient(t, s.GRPC)
	// The time it takes to connect to the sidecar is not the sidecar's.
	client.GetConnection().Connect()
	for name, call := range map[string]func(context.Context) error{
		"HealthCheck": func(ctx context.Context) error { _, err := client.HealthCheck(ctx); return err },
		"a known method": func(ctx context.Context) error {
			_, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: "c"})
			return err
		},
		"an unknown method": func(ctx context.Context) error {
			return client.GetConnection().Invoke(ctx, "/acme.Thing/Do", &emptypb.Empty{}, &emptypb.Empty{})
		},
	} {
		unreachable(t, func() error {
			for deadline := time.Now().Add(patience); ; {
				start := time.Now()
				err := call(bounded(t))
				took := time.Since(start)
				if took <= fast {
					return err
				}
				if time.Now().After(deadline) {
					t.Errorf("%s took %v to fail", name, took)
					return err
				}
			}
		}, address, why...)
	}
}

// TestUpstreamDown names the address and the reason to callers and probes,
// whatever is at the upstream's address instead of Qdrant.
func TestUpstreamDown(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	rest := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(rest.Close)
	secured := newUpstreamOn(t, "127.0.0.1:0", newAuthority(t).server(t, "127.0.0.1"), healthy)
	plain := newUpstream(t, healthy)

	for _, tt := range []struct {
		name, scheme, address string
		why                   []string
	}{
		{"nobody listens", "http://", unusedAddress(t), []string{"connection refused"}},
		{"nobody answers", "http://", silent.Addr().String(), []string{"no answer within 2s"}},
		{"REST", "http://", rest.Listener.Addr().String(), []string{"not HTTP/2", "HTTP/1"}},
		{"TLS is wanted", "http://", secured.addr, []string{"TLS", "https://"}},
		{"TLS is not spoken", "https://", plain.addr, []string{"TLS", "http://"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := sidecar.Start(t, sidecar.Options{Upstream: tt.scheme + tt.address, Unready: true, Args: []string{impatient}})
			// The reason may not be known yet; then the call waits for it.
			client := newClient(t, s.GRPC)
			unreachable(t, func() error { _, err := client.HealthCheck(bounded(t)); return err }, tt.address, tt.why...)
			awaitUnready(t, s, append(tt.why, tt.address)...)
			failFast(t, s, tt.address, tt.why...)
			if live := mustGet(t, s.Metrics, "/livez"); live.code != http.StatusOK {
				t.Errorf("/livez is %d: a restart does not mend the upstream", live.code)
			}
		})
	}
}

// TestUpstreamAppears holds that nobody has to restart the sidecar because
// Qdrant came later.
func TestUpstreamAppears(t *testing.T) {
	t.Parallel()
	address := unusedAddress(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + address, Unready: true})
	client := newClient(t, s.GRPC)
	awaitUnready(t, s, "connection refused")
	newUpstreamOn(t, address, nil, healthy)
	s.WaitReady(bounded(t))
	if _, err := client.HealthCheck(bounded(t)); err != nil {
		t.Error(err)
	}
}

// TestUpstreamRestarts ends the upstream under a call and brings it back.
func TestUpstreamRestarts(t *testing.T) {
	t.Parallel()
	address := unusedAddress(t)
	g := newGate()
	first := newUpstreamOn(t, address, nil, g.hold)
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + address, Args: []string{impatient}})
	client := newClient(t, s.GRPC)
	lost := make(chan error, 1)
	go func() {
		_, err := client.Count(bounded(t), &qdrant.CountPoints{CollectionName: "c"})
		lost <- err
	}()
	receive(t, "the call", g.arrived)
	first.stop()
	err := receive(t, "the end of the call", lost)
	st := statusOf(err)
	if st.Code() != codes.Unavailable || !strings.HasPrefix(st.Message(), "qdrant-sidecar: ") ||
		!strings.Contains(st.Message(), address) || reason(err) != "UPSTREAM_LOST" {
		t.Errorf("the call ended with %v, %v", err, st.Details())
	}
	awaitUnready(t, s, "connection refused", address)
	failFast(t, s, address, "connection refused")

	newUpstreamOn(t, address, nil, healthy)
	s.WaitReady(bounded(t))
	if _, err := client.Count(bounded(t), &qdrant.CountPoints{CollectionName: "c"}); err != nil {
		t.Error(err)
	}
}

// TestReadSurvivesRestart ends the upstream under a call, which is repeated until
// there is another.
func TestReadSurvivesRestart(t *testing.T) {
	t.Parallel()
	address := unusedAddress(t)
	g := newGate()
	first := newUpstreamOn(t, address, nil, g.hold)
	// The default of three may be over before the next connection is there.
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + address, Args: []string{"--retry-max=10"}})
	done := make(chan error, 1)
	go func() {
		_, err := newClient(t, s.GRPC).Count(bounded(t), &qdrant.CountPoints{CollectionName: "c"})
		done <- err
	}()
	receive(t, "the call", g.arrived)
	first.stop()
	newUpstreamOn(t, address, nil, healthy)
	if err := receive(t, "the end of the call", done); err != nil {
		t.Error(err)
	}
}
