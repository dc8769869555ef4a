package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/test/sidecar"
)

// control runs a command that asks the sidecar to do something, and returns what it
// said, which must be one sentence.
func control(t testing.TB, s *sidecar.Sidecar, code int, args ...string) string {
	t.Helper()
	got, c := run(t, []string{"QDRANT_ADMIN_LISTEN=" + s.Admin}, args...)
	said := c.stdout.String() + c.stderr.String()
	if got != code || strings.Count(said, "\n") != 1 || !strings.HasSuffix(said, ".\n") {
		t.Errorf("%q: exit code %d, want %d, and one sentence in %q", args, got, code, said)
	}
	return said
}

// info asks the sidecar about itself.
func info(t testing.TB, s *sidecar.Sidecar) *adminv1.GetInfoResponse {
	t.Helper()
	info, err := adminv1.NewAdminServiceClient(newConn(t, s.Admin)).GetInfo(bounded(t), &adminv1.GetInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// awaitWaiting waits until so many calls wait for the end of a pause.
func awaitWaiting(t testing.TB, s *sidecar.Sidecar, n int32) {
	t.Helper()
	eventually(t, "calls wait", func() error {
		if got := info(t, s).GetPause().GetWaiting(); got != n {
			return fmt.Errorf("%d wait, want %d", got, n)
		}
		return nil
	})
}

// invoke makes a call in the background.
func invoke(ctx context.Context, conn grpc.ClientConnInterface, method string) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- conn.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{}) }()
	return ended
}

// TestPause has calls wait for longer than they may otherwise, no more of them than
// may, and none beyond its deadline; nothing of them reaches Qdrant before the end.
func TestPause(t *testing.T) {
	t.Parallel()
	g := newGate()
	close(g.open)
	s := sidecar.Start(t, sidecar.Options{
		Upstream: newUpstream(t, g.hold).url(), Admin: true,
		Args: []string{"--max-queued-calls=3", "--queue-timeout=0.05"},
	})
	ctx, conn := bounded(t), newConn(t, s.GRPC)
	if said := control(t, s, exitOK, "pause"); !strings.Contains(said, "5m") {
		t.Errorf("a pause is not said to end: %s", said)
	}
	if p := info(t, s).GetPause(); p.GetStartTime() == nil || p.GetEndTime() == nil {
		t.Errorf("GetInfo shows %v", p)
	}
	var ended []<-chan error
	for _, method := range []string{readMethod, writeMethod, "/acme.Thing/Do"} {
		ended = append(ended, invoke(ctx, conn, method))
	}
	awaitWaiting(t, s, 3)

	err := <-invoke(ctx, conn, readMethod)
	if reason(err) != "OVERLOADED" || !strings.Contains(statusOf(err).Message(), "paused") || !strings.Contains(statusOf(err).Message(), "qdrant-sidecar resume") {
		t.Errorf("a fourth call that waits: %v", err)
	}
	if err := healthOver(t, s.GRPC); err != nil {
		t.Errorf("HealthCheck while paused: %v", err)
	}
	if p := mustGet(t, s.Metrics, "/readyz"); p.code != http.StatusOK {
		t.Errorf("/readyz is %d %q", p.code, p.text)
	}
	if p := mustGet(t, s.Metrics, "/metrics"); !strings.Contains(p.text, "\nqdrant_sidecar_paused 1\n") {
		t.Error("no metric shows that calls are paused")
	}
	if n := len(g.arrived); n > 0 {
		t.Errorf("%d calls have reached Qdrant", n)
	}
	if said := control(t, s, exitOK, "resume"); !strings.Contains(said, "3 calls") {
		t.Errorf("resume says %s", said)
	}
	for _, e := range ended {
		if err := receive(t, "the end of a call", e); err != nil {
			t.Error(err)
		}
	}
	if info(t, s).GetPause() != nil || !strings.Contains(mustGet(t, s.Metrics, "/metrics").text, "\nqdrant_sidecar_paused 0\n") {
		t.Error("it says that calls are still paused")
	}
	if said := control(t, s, exitOK, "resume"); !strings.Contains(said, "not paused") {
		t.Errorf("resume says %s", said)
	}

	// With a deadline, and until a second pause ends by itself.
	control(t, s, exitOK, "pause", "--for", "0")
	if p := info(t, s).GetPause(); p.GetStartTime() == nil || p.GetEndTime() != nil {
		t.Errorf("GetInfo shows %v", p)
	}
	short, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	start := time.Now()
	// The sidecar's answer may come after the client's own patience has ended.
	if err := <-invoke(short, conn, readMethod); statusOf(err).Code() != codes.DeadlineExceeded || time.Since(start) < 400*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	waits := invoke(ctx, conn, readMethod)
	awaitWaiting(t, s, 1)
	control(t, s, exitOK, "pause", "--for=0.5")
	if err := receive(t, "the end of the pause", waits); err != nil {
		t.Error(err)
	}
	logged(t, s, "calls are no longer paused: the time of the pause is over")
}

// TestPauseRetries holds back the repetition of what had failed before.
func TestPauseRetries(t *testing.T) {
	t.Parallel()
	g := newGate()
	failed := make(chan struct{})
	s := sidecar.Start(t, sidecar.Options{
		Upstream: newUpstream(t, func(c call) ([]byte, error) {
			select {
			case <-failed:
				return g.hold(c)
			default:
			}
			if c.method != readMethod {
				return g.hold(c)
			}
			<-failed
			return nil, status.Error(codes.Unavailable, "not now")
		}).url(), Admin: true,
		Args: []string{"--retry-base-delay=0"},
	})
	ended := invoke(bounded(t), newConn(t, s.GRPC), readMethod)
	control(t, s, exitOK, "pause")
	close(failed)
	awaitWaiting(t, s, 1)
	if n := len(g.arrived); n > 0 {
		t.Errorf("%d attempts were made while paused", n)
	}
	close(g.open)
	control(t, s, exitOK, "resume")
	if err := receive(t, "the end of the call", ended); err != nil {
		t.Error(err)
	}
}

// TestPauseREST has REST requests wait with the others, and not those of probes.
func TestPauseREST(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true, REST: true})
	for _, l := range info(t, s).GetListeners() {
		if (l.GetRole() == adminv1.Listener_ROLE_REST) != (l.GetAddress() == s.REST) {
			t.Errorf("GetInfo shows %v", l)
		}
	}
	control(t, s, exitOK, "pause")
	ended := make(chan page, 1)
	go func() {
		p, _ := get(t, s.REST, "/collections")
		ended <- p
	}()
	awaitWaiting(t, s, 1)
	if p := mustGet(t, s.REST, "/readyz"); p.code != http.StatusOK {
		t.Errorf("/readyz of Qdrant while paused: %d %q", p.code, p.text)
	}
	control(t, s, exitOK, "resume")
	if p := receive(t, "the end of the request", ended); p.code != http.StatusOK {
		t.Errorf("%d %q", p.code, p.text)
	}
}

// TestStopWhilePaused ends at once: calls that wait are refused, since nothing was
// sent of them, those under way end.
func TestStopWhilePaused(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := sidecar.Start(t, sidecar.Options{Upstream: newUpstream(t, g.hold).url(), Admin: true, REST: true, Args: []string{"--drain-timeout=1h"}})
	ctx := bounded(t)
	c := newCrowd(t, s.GRPC, g)
	c.grow(ctx, 2)
	control(t, s, exitOK, "pause", "--for=0")
	conn := newConn(t, s.GRPC)
	waits := []<-chan error{invoke(ctx, conn, readMethod), invoke(ctx, conn, writeMethod)}
	rest := make(chan page, 1)
	go func() {
		p, _ := get(t, s.REST, "/collections")
		rest <- p
	}()
	awaitWaiting(t, s, 3)
	gone := stopping(s)
	for _, w := range waits {
		if err := receive(t, "the end of a call that waits", w); reason(err) != "SHUTTING_DOWN" || statusOf(err).Code() != codes.Unavailable {
			t.Errorf("%v", err)
		}
	}
	if p := receive(t, "the end of a request that waits", rest); p.code != http.StatusServiceUnavailable || !strings.Contains(p.text, "shutting down") {
		t.Errorf("%d %q", p.code, p.text)
	}
	api := adminv1.NewControlServiceClient(newConn(t, s.Admin))
	if _, err := api.Pause(ctx, &adminv1.PauseRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a pause during the shutdown: %v", err)
	}
	select {
	case <-gone:
		t.Error("it did not wait for the calls under way")
	default:
	}
	c.disperse()
	receive(t, "the end of the sidecar", gone)
	if line := logged(t, s, "stopped"); line.Attrs["calls_cut"] != 0.0 {
		t.Errorf("the log says %s", line.Text)
	}
}

// TestControlRefusals says why not.
func TestControlRefusals(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true, Args: []string{"--resilience=off"}})
	for _, tt := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"pause"}, exitFailure, "--resilience=off"},
		{[]string{"resume"}, exitOK, "not paused"},
		{[]string{"drain", "elsewhere:6334"}, exitFailure, "memory://"},
		{[]string{"undrain", "elsewhere:6334"}, exitFailure, "memory://"},
		{[]string{"reconnect", "elsewhere:6334"}, exitFailure, "memory://"},
		{[]string{"drain", "memory://"}, exitFailure, "--force"},
		{[]string{"drain"}, exitUsage, "ENDPOINT"},
		{[]string{"drain", "a", "b"}, exitUsage, `"b"`},
		{[]string{"pause", "now"}, exitUsage, `"now"`},
		{[]string{"pause", "--for=soon"}, exitUsage, `--for must be a duration`},
		{[]string{"reconnect", "--within=0"}, exitUsage, `--within must be more than 0`},
		{[]string{"pause", "--admin-listen=off"}, exitUsage, "--admin-listen"},
		{[]string{"pause", "--admin-listen", unusedAddress(t)}, exitFailure, "connection refused"},
		{[]string{"pause", "--admin-listen=unix:///does/not/exist"}, exitFailure, "/does/not/exist"},
	} {
		if said := control(t, s, tt.code, tt.args...); !strings.Contains(said, tt.text) {
			t.Errorf("%q: %q is not in %q", tt.args, tt.text, said)
		}
	}
	paused := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true})
	api := adminv1.NewControlServiceClient(newConn(t, paused.Admin))
	if _, err := api.Pause(bounded(t), &adminv1.PauseRequest{MaxDuration: durationpb.New(-1)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a negative pause: %v", err)
	}
	// All nodes are out, and so the reason is said; and the sidecar ends well.
	control(t, paused, exitOK, "drain", "memory://", "--force")
	err := <-invoke(bounded(t), newConn(t, paused.GRPC), readMethod)
	if reason(err) != "NO_HEALTHY_UPSTREAM" || !strings.Contains(statusOf(err).Message(), "qdrant-sidecar undrain") {
		t.Errorf("a call when all nodes are drained: %v", err)
	}
	awaitUnready(t, paused, "drained all nodes")
	control(t, paused, exitOK, "undrain", "memory://")
	paused.WaitReady(bounded(t))
}

// TestPlannedWork drains a node of a cluster, brings it back, and replaces all
// connections, under load: no call fails, and Qdrant sees no connection too many.
func TestPlannedWork(t *testing.T) {
	t.Parallel()
	const size = 2
	nodes, urls := threeNodes(t, "127.6.%d.2")
	s := sidecar.Start(t, sidecar.Options{
		Upstream: "http://" + strings.Join(urls, ","), Admin: true,
		Env:  []string{fmt.Sprintf("QDRANT_POOL_SIZE=%d", size)},
		Args: []string{"--min-ready=3"},
	})
	l := newLoad(t, s.GRPC, 6)
	watch, stopWatch := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { watchSockets(watch, t, nodes, size) })
	defer watching.Wait()
	defer stopWatch()
	l.more(50)

	for _, n := range nodes {
		control(t, s, exitOK, "drain", n.addr)
		eventually(t, "the end of the connections", func() error {
			if open, err := n.sockets(); open > 0 || err != nil {
				return fmt.Errorf("%d are open: %w", open, err)
			}
			return nil
		})
		standing(t, s, n, "drained")
		// Restarting it disturbs nobody now.
		n.end(syscall.SIGTERM)
		n.start()
		l.more(50)
		if open, err := n.sockets(); open > 1 || err != nil {
			t.Errorf("a drained node has %d connections: %v", open, err)
		}
		if p := mustGet(t, s.Metrics, "/readyz"); p.code != http.StatusOK {
			t.Errorf("/readyz is %d %q", p.code, p.text)
		}
		control(t, s, exitOK, "undrain", n.addr)
		standing(t, s, n, "good")
	}
	clients := int32(0)
	for _, e := range info(t, s).GetPool().GetEndpoints() {
		clients += e.GetClients()
		if e.GetStanding() != adminv1.Standing_STANDING_GOOD {
			t.Errorf("GetInfo shows %v", e)
		}
	}
	if clients != 6 {
		t.Errorf("%d clients are shown, want 6", clients)
	}

	for _, args := range [][]string{{"reconnect"}, {"reconnect", nodes[1].addr}} {
		start := time.Now()
		control(t, s, exitOK, args...)
		l.more(50)
		for _, e := range info(t, s).GetPool().GetEndpoints() {
			for _, c := range e.GetConnections() {
				chosen := len(args) == 1 || args[1] == e.GetAddress()
				if old := c.GetOpenedTime().AsTime().Before(start); chosen && old && c.GetState() == adminv1.Connection_STATE_READY {
					t.Errorf("%q left %v of %s", args, c, e.GetAddress())
				}
			}
		}
	}
	l.end()
	if r, w := l.failedRead.Load(), l.failedWrite.Load(); r+w > 0 {
		t.Errorf("%d reads and %d writes have failed", r, w)
	}
	t.Logf("%d reads, %d writes, the slowest took %v", l.reads.Load(), l.writes.Load(), time.Duration(l.slowest.Load()))
	// It ends well while a node is drained, too.
	control(t, s, exitOK, "drain", nodes[0].addr)
	s.Stop()
}
