package faultwire_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

const instant = 10 * time.Millisecond

// What a client sees of each fault, and what the server has done.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		fault faultwire.Fault
		sees  string
		// reached is the stage that Play returns; applied and disclaimed are facts
		// about the call once it is over.
		reached             faultwire.Stage
		applied, disclaimed bool
	}{
		{faultwire.Fault{}, "status 0, 1 message", faultwire.Answered, true, false},
		{faultwire.Refusal(), "REFUSED_STREAM", faultwire.Arrived, false, true},
		{faultwire.LostBefore(faultwire.RefuseStream), "REFUSED_STREAM", faultwire.Received, false, true},
		{faultwire.LostAfter(faultwire.RefuseStream), "REFUSED_STREAM", faultwire.Applied, true, false},
		{faultwire.LostBefore(faultwire.ResetWith(http2.ErrCodeInternal)), "INTERNAL_ERROR", faultwire.Received, false, false},
		{faultwire.LostBefore(faultwire.Abort), "connection lost", faultwire.Received, false, false},
		{faultwire.LostAfter(faultwire.ResetWith(http2.ErrCodeCancel)), "CANCEL", faultwire.Applied, true, false},
		{faultwire.LostAfter(faultwire.Abort), "connection lost", faultwire.Applied, true, false},
		{faultwire.LostAfter(faultwire.Close), "connection lost", faultwire.Applied, true, false},
		{faultwire.LostAfter(faultwire.HalfClose), "connection lost", faultwire.Applied, true, false},
		{faultwire.LostAfter(faultwire.Silence), "nothing", faultwire.Applied, true, false},
		{faultwire.Fault{At: faultwire.Headed, Do: faultwire.ResetWith(http2.ErrCodeInternal)}, "header, INTERNAL_ERROR", faultwire.Headed, true, false},
		{faultwire.Fault{At: faultwire.Halved, Do: faultwire.ResetWith(http2.ErrCodeInternal)}, "header, 5 bytes, INTERNAL_ERROR", faultwire.Halved, true, false},
		{faultwire.Fault{At: faultwire.Halved, Do: faultwire.Silence}, "nothing", faultwire.Halved, true, false},
		{faultwire.Fault{At: faultwire.Delivered, Do: faultwire.ResetWith(http2.ErrCodeNo)}, "header, 1 message, NO_ERROR", faultwire.Delivered, true, false},
		{faultwire.Fault{At: faultwire.Delivered, Do: faultwire.Trailers("13", "late")}, "status 13, 1 message", faultwire.Delivered, true, false},
		{faultwire.Fault{At: faultwire.Received, Do: faultwire.Status("14", "no")}, "status 14", faultwire.Received, false, false},
		{faultwire.Fault{At: faultwire.Applied, Do: faultwire.Status("8", "no", "retry-after", "1")}, "status 8", faultwire.Applied, true, false},
		{faultwire.Fault{At: faultwire.Applied, Do: faultwire.Pause(instant)}, "status 0, 1 message", faultwire.Answered, true, false},
		{faultwire.Fault{At: faultwire.Received, Do: faultwire.Then(faultwire.Keep(faultwire.Abort), faultwire.Pause(instant))},
			"connection lost", faultwire.Applied, true, false},
		{faultwire.Fault{At: faultwire.Arrived, Do: faultwire.StallConn(instant)}, "status 0, 1 message", faultwire.Answered, true, false},
		{faultwire.Fault{At: faultwire.Received, Do: faultwire.LeaveConn(http2.ErrCodeNo, "")}, "GOAWAY 0, nothing", faultwire.Received, false, true},
		{faultwire.Fault{At: faultwire.Applied, Do: faultwire.LeaveConn(http2.ErrCodeNo, "")}, "GOAWAY 1, status 0, 1 message", faultwire.Answered, true, false},
		{faultwire.Fault{At: faultwire.Answered, Do: faultwire.Abort}, "status 0, 1 message", faultwire.Answered, true, false},
		{faultwire.Fault{At: faultwire.Received, Do: faultwire.SayGoAway(faultwire.Own, http2.ErrCodeNo, "")},
			"GOAWAY 1, status 0, 1 message", faultwire.Answered, true, false},
		// A lie: it is applied all the same.
		{faultwire.Fault{At: faultwire.Received, Do: faultwire.SayGoAway(faultwire.Below, http2.ErrCodeNo, "")},
			"GOAWAY 0, status 0, 1 message", faultwire.Answered, true, false},
		{faultwire.Fault{At: faultwire.Applied, Do: faultwire.SayGoAway(faultwire.Exactly(77), http2.ErrCodeEnhanceYourCalm, "calm")},
			"GOAWAY 77, status 0, 1 message", faultwire.Answered, true, false},
	} {
		t.Run(fmt.Sprintf("%v to stage %d %v", test.sees, test.reached, test.applied), func(t *testing.T) {
			applied := 0
			reached, streams := make(chan faultwire.Stage, 1), make(chan *faultwire.Stream, 1)
			srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
				streams <- s
				reached <- test.fault.Play(s, func(request []byte) faultwire.Reply {
					applied++
					return faultwire.Reply{Message: request, Trailer: faultwire.Pairs("x", "y")}
				})
			}})
			conn := dial(t, srv)
			s := open(t, conn, "/a.B/C")
			s.SendData(faultwire.Prefixed([]byte("hello")), true)
			if got := receive(t, reached); got != test.reached || (applied > 0) != test.applied {
				t.Errorf("reached stage %d, applied %d times", got, applied)
			}
			if got := receive(t, streams).Disclaimed(); got != test.disclaimed {
				t.Errorf("disclaimed %v", got)
			}
			if got := whatIsSeen(t, conn, s); got != test.sees {
				t.Errorf("the client sees %q, want %q", got, test.sees)
			}
		})
	}
}

// receive takes from a channel what must come.
func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("a handler has not come so far")
	}
	return v
}

// whatIsSeen is what a client knows when it has seen all that the server has sent.
func whatIsSeen(t *testing.T, conn *faultwire.Conn, s *faultwire.Stream) string {
	t.Helper()
	conn.Ping([8]byte{1}) // if it cannot be sent, the connection's end comes instead of the answer
	var facts []string
	for seen := false; !seen; {
		event, err := conn.Next(bounded(t))
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("neither an answer to a PING nor an end")
		}
		switch e := event.(type) {
		case faultwire.GoAway:
			facts = append(facts, fmt.Sprintf("GOAWAY %d", e.LastStreamID))
		case faultwire.PingAck:
			seen = true
		}
		seen = seen || err != nil
	}
	over, cancel := context.WithCancel(t.Context())
	cancel() // what is there is taken all the same
	r, err := s.Response(over)
	if errors.Is(err, context.Canceled) {
		return strings.Join(append(facts, "nothing"), ", ")
	}
	if errors.Is(err, faultwire.ErrConnLost) {
		return strings.Join(append(facts, "connection lost"), ", ")
	}
	switch {
	case r.Trailer != nil:
		facts = append(facts, "status "+r.Trailer.Get("grpc-status"))
	case r.Header != nil:
		facts = append(facts, "header")
	}
	if len(r.Messages) > 0 {
		facts = append(facts, fmt.Sprintf("%d message", len(r.Messages)))
	}
	if len(r.Rest) > 0 {
		facts = append(facts, fmt.Sprintf("%d bytes", len(r.Rest)))
	}
	if r.Reset != nil {
		facts = append(facts, r.Reset.Code.String())
	}
	return strings.Join(facts, ", ")
}

// An error of the application is Trailers-Only, with its own fields behind it.
func TestReplyWithError(t *testing.T) {
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		faultwire.Fault{}.Play(s, func([]byte) faultwire.Reply {
			return faultwire.Reply{Code: 5, Text: "none", Trailer: faultwire.Pairs("x", "y")}
		})
	}})
	r, err := dial(t, srv).Call(bounded(t), faultwire.GRPCRequest("/a.B/C"), faultwire.Prefixed(nil))
	want := faultwire.GRPCHeader("grpc-status", "5", "grpc-message", "none", "x", "y")
	if err != nil || !r.TrailersOnly || !slices.Equal(r.Trailer, want) {
		t.Errorf("%v, trailers only %v\n%s", err, r.TrailersOnly, r.Trailer)
	}
}

// A request that ends before it is whole is never applied.
func TestPlayWithoutRequest(t *testing.T) {
	for name, end := range map[string]func(*faultwire.Stream){
		"no message":   func(s *faultwire.Stream) { s.HalfClose() },
		"half of it":   func(s *faultwire.Stream) { s.SendData(faultwire.PrefixedAs(0, 9, []byte("half")), true) },
		"reset":        func(s *faultwire.Stream) { s.SendReset(http2.ErrCodeCancel) },
		"not its end":  func(s *faultwire.Stream) { s.SendMessage(nil); s.SendReset(http2.ErrCodeCancel) },
		"disconnected": func(s *faultwire.Stream) { s.Conn().Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			arrived, reached := make(chan struct{}), make(chan faultwire.Stage, 1)
			srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
				close(arrived)
				reached <- faultwire.Fault{}.Play(s, func([]byte) faultwire.Reply {
					t.Error("applied")
					return faultwire.Reply{}
				})
			}})
			s := open(t, dial(t, srv), "/a.B/C")
			<-arrived // a connection's end may overtake what was sent on it
			end(s)
			if got := receive(t, reached); got != faultwire.Arrived {
				t.Errorf("reached stage %d", got)
			}
		})
	}
}

// Whatever the order in which streams begin, an honest GOAWAY covers those that
// did, and those above it never begin.
func TestLeaveIsHonest(t *testing.T) {
	const calls = 64
	began := make(chan uint32, calls)
	left := make(chan error, 1)
	var handlers sync.WaitGroup
	handlers.Add(calls)
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		defer handlers.Done()
		if s.ID == calls+1 { // one in the middle; identifiers are 1, 3, …
			left <- s.Conn().Leave(http2.ErrCodeNo, "")
		}
		if s.Begin() {
			began <- s.ID
			s.Answer(nil)
		} else if !s.Disclaimed() {
			t.Errorf("stream %d did not begin, and is not disclaimed", s.ID)
		}
	}})
	conn := dial(t, srv)
	for range calls {
		s := open(t, conn, "/a.B/C")
		s.HalfClose()
	}
	if err := receive(t, left); err != nil {
		t.Fatal(err)
	}
	last := nextOf[faultwire.GoAway](t, conn).LastStreamID
	handlers.Wait()
	close(began)
	for id := range began {
		if id > last {
			t.Errorf("stream %d began, and GOAWAY named %d", id, last)
		}
	}
}
