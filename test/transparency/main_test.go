// Package transparency_test holds what "transparent" means, point by point:
// the same call is made directly to a scripted upstream and through the
// sidecar, and both ends of both must have seen the same.
//
// The tests look at the wire only, so they stay as they are whatever the
// sidecar is made of inside.
package transparency_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

func TestMain(m *testing.M) { sidecar.Main(m) }

// patience bounds every wait for something that must happen.
const patience = 3 * time.Minute

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// The two ways through the sidecar: methods it knows are handled as unary
// calls, whatever else comes is a stream of messages.
const (
	knownMethod   = "/qdrant.Points/Query"
	unknownMethod = "/acme.Thing/Do"
)

// forEachPath runs test once a way through the sidecar.
func forEachPath(t *testing.T, test func(t *testing.T, path string)) {
	t.Helper()
	t.Run("known method", func(t *testing.T) { test(t, knownMethod) })
	t.Run("unknown method", func(t *testing.T) { test(t, unknownMethod) })
}

// rig is a scripted upstream and a sidecar in front of it.
type rig struct {
	upstream *faultwire.Server
	sidecar  *sidecar.Sidecar
	script   atomic.Pointer[func(*faultwire.Stream)]
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{}
	r.upstream = &faultwire.Server{Handler: r.handle}
	if err := r.upstream.Start(); err != nil {
		t.Fatal(err)
	}
	// Registered before the sidecar's own clean-up, so it runs after it.
	t.Cleanup(func() {
		if err := r.upstream.Close(); err != nil {
			t.Error(err)
		}
	})
	// What the policy makes of failures is not transparent on purpose, and is tested
	// elsewhere.
	r.sidecar = sidecar.Start(t, sidecar.Options{
		Upstream: "http://" + r.upstream.Addr(), Args: []string{"--retry-max=0", "--circuit-breaker-threshold=0", "--timeout=3m", "--pool-ping-interval=1h"},
	})
	return r
}

// handle answers what the sidecar may ask on its own account, and leaves the
// rest to the script.
func (r *rig) handle(s *faultwire.Stream) {
	switch s.Request.Fields.Get(":path") {
	case "/qdrant.Qdrant/HealthCheck":
		reply, err := proto.Marshal(&qdrant.HealthCheckReply{Title: "scripted", Version: "1.18.3"})
		if err == nil {
			s.Answer(reply)
		}
	case "/grpc.health.v1.Health/Check":
		s.Answer([]byte{0x08, 0x01}) // SERVING
	default:
		if script := r.script.Load(); script != nil {
			(*script)(s)
		}
	}
}

// side is where a call is made to.
type side struct {
	name, addr string
}

func (r *rig) direct() side  { return side{"direct", r.upstream.Addr()} }
func (r *rig) through() side { return side{"through the sidecar", r.sidecar.GRPC} }

// dial opens a connection of the test's own to one side.
func (s side) dial(t testing.TB) *faultwire.Conn {
	t.Helper()
	conn, err := faultwire.Dial(bounded(t), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// forEachSide runs the same test against the upstream and against the sidecar:
// a test that does not hold directly says nothing about the sidecar.
func (r *rig) forEachSide(t *testing.T, script func(*faultwire.Stream), test func(t *testing.T, conn *faultwire.Conn)) {
	t.Helper()
	for _, side := range []side{r.direct(), r.through()} {
		t.Run(side.name, func(t *testing.T) {
			r.script.Store(&script)
			test(t, side.dial(t))
		})
	}
}

// open starts a call with these extra header fields.
func open(t testing.TB, conn *faultwire.Conn, path string, extra ...string) *faultwire.Stream {
	t.Helper()
	s, err := conn.Open(faultwire.GRPCRequest(path, extra...), false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wait takes one value from a channel that something must send or close.
func wait[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen within %v", what, patience)
		panic("unreachable")
	}
}

// nextHeaders takes the stream's next event, which must be a header block.
func nextHeaders(t testing.TB, s *faultwire.Stream) faultwire.Headers {
	t.Helper()
	event, err := s.Next(bounded(t))
	if err != nil {
		t.Fatalf("waiting for headers: %v", err)
	}
	h, ok := event.(faultwire.Headers)
	if !ok {
		t.Fatalf("got %#v, want headers", event)
	}
	return h
}

// nextMessage takes the stream's next message.
func nextMessage(t testing.TB, s *faultwire.Stream) string {
	t.Helper()
	m, err := s.NextMessage(bounded(t))
	if err != nil {
		t.Fatalf("waiting for a message: %v", err)
	}
	return string(m.Payload)
}
