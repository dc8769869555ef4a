package transparency_test

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

// cancelBound is how long a cancellation may take to the upstream. One try within it
// is enough, and there is time for many: the bound is about the sidecar, not about
// what else the machine does meanwhile.
const cancelBound = 50 * time.Millisecond

// ways in which a client leaves a call.
var ways = []struct {
	name  string
	leave func(*faultwire.Stream) error
}{
	{"RST_STREAM", func(s *faultwire.Stream) error { return s.SendReset(http2.ErrCodeCancel) }},
	{"FIN", func(s *faultwire.Stream) error { s.Conn().Close(); return nil }},
	{"TCP reset", func(s *faultwire.Stream) error { s.Conn().Abort(); return nil }},
}

func TestCancelReachesUpstream(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				start, took := time.Now(), []time.Duration{r.cancelOnce(t, path, way.leave)}
				for slices.Min(took) > cancelBound {
					if time.Since(start) > patience {
						t.Fatalf("took %v, want one below %v", took, cancelBound)
					}
					took = append(took, r.cancelOnce(t, path, way.leave))
				}
			})
		}
	})
	// Cancelling is the calls' affair; the connection they shared stays.
	if got := r.upstream.Stats().Connections; got != 1 {
		t.Errorf("the sidecar opened %d connections, want 1", got)
	}
}

// cancelOnce measures from the client's leaving to the upstream's RST_STREAM.
func (r *rig) cancelOnce(t *testing.T, path string, leave func(*faultwire.Stream) error) time.Duration {
	t.Helper()
	arrived := make(chan struct{})
	over := make(chan faultwire.Reset, 1)
	script := func(s *faultwire.Stream) {
		if _, err := s.NextMessage(s.Context()); err != nil {
			t.Errorf("the upstream's message: %v", err)
		}
		close(arrived)
		<-s.Context().Done()
		reset, _ := s.ResetReceived()
		over <- reset
	}
	r.script.Store(&script)
	s := open(t, r.through().dial(t), path)
	if err := s.SendData(faultwire.Prefixed([]byte("work")), true); err != nil {
		t.Fatal(err)
	}
	wait(t, "the call's arrival", arrived)
	left := time.Now()
	if err := leave(s); err != nil {
		t.Fatal(err)
	}
	reset := wait(t, "the upstream's reset", over)
	if reset.Code != http2.ErrCodeCancel {
		t.Errorf("the upstream was reset with %v, want CANCEL", reset.Code)
	}
	return reset.At.Sub(left)
}

// A stream is cancelled in the middle of what it is doing.
func TestCancelInMidStream(t *testing.T) {
	r := newRig(t)
	over := make(chan faultwire.Reset, 1)
	r.forEachSide(t, func(s *faultwire.Stream) {
		s.SendHeaders(faultwire.GRPCHeader(), false)
		for s.SendMessage(make([]byte, 1000)) == nil { // until the client has left
		}
		<-s.Context().Done()
		reset, _ := s.ResetReceived()
		over <- reset
	}, func(t *testing.T, conn *faultwire.Conn) {
		s := open(t, conn, unknownMethod)
		nextHeaders(t, s)
		nextMessage(t, s)
		if err := s.SendReset(http2.ErrCodeCancel); err != nil {
			t.Fatal(err)
		}
		if got := wait(t, "the upstream's reset", over); got.Code != http2.ErrCodeCancel {
			t.Errorf("reset with %v, want CANCEL", got.Code)
		}
	})
}
