package transparency_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"qdrant-sidecar/internal/faultwire"
)

// A caller who closes its connection in the middle of a request has not ended the
// request: the upstream must not take what came for all there is.
func TestHalfARequestIsNotARequest(t *testing.T) {
	const tries = 50
	r := newRig(t)
	leave := map[string]func(*faultwire.Conn){
		"FIN":       func(c *faultwire.Conn) { c.CloseWrite() },
		"TCP reset": func(c *faultwire.Conn) { c.Abort() },
	}
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			for range tries {
				arrived, ended := make(chan struct{}), make(chan bool, 1)
				script := func(s *faultwire.Stream) {
					if _, err := s.NextMessage(s.Context()); err != nil {
						t.Errorf("the first message: %v", err)
					}
					close(arrived)
					<-s.Context().Done()
					ended <- isClosed(s.Ended())
				}
				r.script.Store(&script)
				s := open(t, r.through().dial(t), unknownMethod)
				if err := s.SendMessage([]byte("the first of two")); err != nil {
					t.Fatal(err)
				}
				wait(t, "the message", arrived)
				leave(s.Conn())
				if wait(t, "the end of the call", ended) {
					t.Fatal("the upstream saw END_STREAM, which the caller has not sent")
				}
			}
		})
	}
}

// An upstream that closes its connection in the middle of an answer has not ended
// the answer.
func TestHalfAnAnswerIsNotAnAnswer(t *testing.T) {
	r := newRig(t)
	stages := map[string]func(*faultwire.Stream){
		"after the header": func(*faultwire.Stream) {},
		"after a message":  func(s *faultwire.Stream) { s.SendMessage([]byte("one")) },
		"inside a message": func(s *faultwire.Stream) { s.SendData(faultwire.PrefixedAs(0, 100, []byte("half")), false) },
		"after much":       func(s *faultwire.Stream) { s.SendMessage(blob(5 << 20)) }, // more than is stored
	}
	ends := map[string]func(*faultwire.Conn){
		"FIN":       func(c *faultwire.Conn) { c.CloseWrite() },
		"TCP reset": func(c *faultwire.Conn) { c.Abort() },
	}
	forEachPath(t, func(t *testing.T, path string) {
		for stage, send := range stages {
			for end, leave := range ends {
				t.Run(stage+", "+end, func(t *testing.T) {
					x := r.play(t, r.through(), call{path: path, answer: func(s *faultwire.Stream) {
						s.SendHeaders(faultwire.GRPCHeader(), false)
						send(s)
						go leave(s.Conn()) // which waits until nothing of the connection runs
					}})
					status := x.Response.Trailer.Get("grpc-status")
					if code, err := strconv.Atoi(status); x.Response.Reset == nil && (err != nil || code == 0) {
						t.Errorf("the client was told grpc-status %q, %v; %d messages", status, x.Err, len(x.Response.Messages))
					}
				})
			}
		}
	})
}

// added is how much longer a message on a stream may take, there and back.
const added = 2 * time.Millisecond

// bestRound returns how long the quickest of many rounds took. It goes on until that is
// good enough, for as long as there is patience: the bound is about the sidecar, not
// about what else the machine does meanwhile.
func bestRound(enough time.Duration, round func(i int)) time.Duration {
	best := time.Duration(math.MaxInt64)
	for i, start := 0, time.Now(); i < 100 || best > enough && time.Since(start) < patience/2; i++ {
		sent := time.Now()
		round(i)
		best = min(best, time.Since(sent))
	}
	return best
}

// A message on a stream takes no more than a millisecond longer both ways than
// without the sidecar.
func TestDelayOfAMessage(t *testing.T) {
	r := newRig(t)
	script := echo
	r.script.Store(&script)
	best := func(to side, enough time.Duration) time.Duration {
		s := open(t, to.dial(t), unknownMethod)
		took := bestRound(enough, func(i int) {
			if err := s.SendMessage([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				nextHeaders(t, s)
			}
			nextMessage(t, s)
		})
		if err := s.HalfClose(); err != nil {
			t.Fatal(err)
		}
		return took
	}
	direct := best(r.direct(), math.MaxInt64)
	through := best(r.through(), direct+added)
	t.Logf("%v directly, %v through the sidecar", direct, through)
	if through > direct+added {
		t.Errorf("%v through the sidecar, %v directly", through, direct)
	}
}
