package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// stopping sends SIGTERM and returns what is closed when the sidecar is gone,
// which must be with exit code 0.
func stopping(s *sidecar.Sidecar) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.Stop()
	}()
	return gone
}

// logged waits for a line of the log.
func logged(t testing.TB, s *sidecar.Sidecar, message string) sidecar.Line {
	t.Helper()
	line, err := s.Log().Wait(bounded(t), func(l sidecar.Line) bool { return l.Message == message })
	if err != nil {
		t.Fatalf("the log does not say %q: %v\n%s", message, err, s.Log())
	}
	return line
}

// TestDrain ends a sidecar under load: nothing that was begun is lost.
func TestDrain(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := sidecar.Start(t, sidecar.Options{Upstream: newUpstream(t, g.hold).url(), Args: []string{"--drain-timeout=1h"}})
	ctx := bounded(t)
	c := newCrowd(t, s.GRPC, g)
	c.grow(ctx, 3)
	raw, err := faultwire.Dial(ctx, s.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	stream, err := raw.Open(faultwire.GRPCRequest("/qdrant.Points/Count"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendData(faultwire.Prefixed(nil), true); err != nil {
		t.Fatal(err)
	}
	receive(t, "the raw call", g.arrived)

	gone := stopping(s)
	awaitGoAway(t, raw)
	// An SDK may still get calls through on the connection that it has; none of
	// them may be lost, and soon they fail.
	eventually(t, "refusal of new calls", func() error {
		_, err := c.client.HealthCheck(ctx)
		if err == nil {
			return errors.New("still served")
		}
		if statusOf(err).Code() != codes.Unavailable {
			t.Errorf("a new call failed with %v", err)
		}
		return nil
	})
	if p := mustGet(t, s.Metrics, "/readyz"); p.code != http.StatusServiceUnavailable || !strings.Contains(p.text, "draining") {
		t.Errorf("/readyz is %d %q", p.code, p.text)
	}
	if p := mustGet(t, s.Metrics, "/livez"); p.code != http.StatusOK {
		t.Errorf("/livez is %d: the drain would be cut short by a restart", p.code)
	}
	if p := mustGet(t, s.Metrics, "/metrics"); !strings.Contains(p.text, "\nqdrant_sidecar_calls_in_flight 4\n") {
		t.Errorf("/metrics does not show 4 calls in flight:\n%s", p.text)
	}
	select {
	case <-gone:
		t.Error("it did not wait for the calls")
	default:
	}

	c.disperse()
	answer, err := stream.Response(ctx)
	if err != nil || answer.Trailer.Get("grpc-status") != "0" {
		t.Errorf("the raw call ended with %v, trailer %v", err, answer.Trailer)
	}
	receive(t, "the end of the sidecar", gone)
	if line := logged(t, s, "draining"); line.Attrs["in_flight"] != 4.0 {
		t.Errorf("the log says %s", line.Text)
	}
	if line := logged(t, s, "stopped"); line.Attrs["calls_cut"] != 0.0 {
		t.Errorf("the log says %s", line.Text)
	}
}

// awaitGoAway waits until the connection is told that no new calls are taken.
func awaitGoAway(t testing.TB, conn *faultwire.Conn) {
	t.Helper()
	ctx := bounded(t)
	for {
		event, err := conn.Next(ctx)
		if err != nil {
			t.Fatalf("no GOAWAY: %v", err)
		}
		if bye, ok := event.(faultwire.GoAway); ok {
			if bye.Code != http2.ErrCodeNo {
				t.Errorf("GOAWAY with %v", bye.Code)
			}
			return
		}
	}
}

// TestDrainTimeout cuts what does not end in time, and says so. It also does
// when whoever asks has no more patience.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		timeout string
		hurry   bool
		because string
	}{
		{"timeout", "0.3", false, "drain timeout"},
		{"no time at all", "0", false, "drain timeout"},
		{"second signal", "1h", true, "second signal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			s := sidecar.Start(t, sidecar.Options{
				Upstream: newUpstream(t, g.hold).url(), Env: []string{"QDRANT_DRAIN_TIMEOUT=" + tt.timeout},
			})
			c := newCrowd(t, s.GRPC, g)
			c.grow(bounded(t), 3)
			gone := stopping(s)
			logged(t, s, "draining")
			if tt.hurry {
				if err := syscall.Kill(s.PID(), syscall.SIGINT); err != nil {
					t.Error(err)
				}
			}
			receive(t, "the end of the sidecar", gone)
			c.calls.Wait()
			close(c.failed)
			for err := range c.failed {
				if statusOf(err).Code() != codes.Unavailable {
					t.Errorf("a call was cut with %v", err)
				}
			}
			if line := logged(t, s, "cut calls in flight"); line.Attrs["calls"] != 3.0 ||
				!strings.Contains(fmt.Sprint(line.Attrs["because"]), tt.because) {
				t.Errorf("the log says %s", line.Text)
			}
			if line := logged(t, s, "stopped"); line.Attrs["calls_cut"] != 3.0 {
				t.Errorf("the log says %s", line.Text)
			}
		})
	}
}

// TestCutReachesUpstream holds that Qdrant stops working for calls that are cut.
func TestCutReachesUpstream(t *testing.T) {
	t.Parallel()
	arrived, ended := make(chan struct{}), make(chan error, 1)
	u := newUpstream(t, func(c call) ([]byte, error) {
		if c.method == healthCheck { // the sidecar asks for that itself, too
			return healthy(c)
		}
		close(arrived)
		<-c.ctx.Done()
		ended <- c.ctx.Err()
		return nil, c.ctx.Err()
	})
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--drain-timeout=0"}})
	failed := invoke(bounded(t), newConn(t, s.GRPC), writeMethod)
	receive(t, "the call", arrived)
	receive(t, "the end of the sidecar", stopping(s))
	if err := receive(t, "the call's end at the upstream", ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := receive(t, "the call's end", failed); err == nil {
		t.Error("the call succeeded")
	}
}

// TestDrainDespiteIdlers holds that only calls in flight are waited for, not
// clients that are merely connected, in whatever state.
func TestDrainDespiteIdlers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		// idle connects to the gRPC port or the admin port.
		idle func(t *testing.T, calls, admin string)
	}{
		{"nobody", func(*testing.T, string, string) {}},
		{"a client that says nothing", func(t *testing.T, calls, _ string) { dialSilently(t, calls) }},
		{"a client that says nothing to the admin port", func(t *testing.T, _, admin string) { dialSilently(t, admin) }},
		{"a client without calls", func(t *testing.T, calls, _ string) {
			conn, err := faultwire.Dial(bounded(t), calls)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(conn.Close)
		}},
		{"a client that is stuck", func(t *testing.T, calls, _ string) {
			conn, err := faultwire.Dial(bounded(t), calls)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(conn.Close)
			conn.Stall()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// A stuck client costs a few seconds, which the goodbyes to it take.
			s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true, Env: []string{"QDRANT_DRAIN_TIMEOUT=1h"}})
			tt.idle(t, s.GRPC, s.Admin)
			// Connections are accepted in order: the idle client is in.
			if err := healthOver(t, s.GRPC); err != nil {
				t.Fatal(err)
			}
			inFlight(t, s)
			receive(t, "the end of the sidecar", stopping(s))
		})
	}
}

func dialSilently(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
}
