package h2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// brief says what an error of a stream knows.
func brief(err error) string {
	if reset, ok := errors.AsType[*h2.ResetError](err); ok {
		return fmt.Sprintf("reset %v, by us %v, never sent %v", reset.Code, reset.ByUs, reset.NeverSent())
	}
	if lost, ok := errors.AsType[*h2.LostError](err); ok {
		why := "lost"
		if gone, ok := errors.AsType[*h2.GoAwayError](err); ok {
			why = fmt.Sprintf("%v %q", gone.Code, gone.Debug)
		}
		return fmt.Sprintf("%s, sent %v", why, lost.Sent)
	}
	return fmt.Sprint(err)
}

// What is known of a call that ended without an answer, by how it did.
func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		name   string
		script func(*faultwire.Stream)
		want   string
	}{
		{"refused", func(s *faultwire.Stream) { s.SendReset(http2.ErrCodeRefusedStream) }, "reset REFUSED_STREAM, by us false, never sent true"},
		{"refused after all", func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendReset(http2.ErrCodeRefusedStream)
		}, "reset REFUSED_STREAM, by us false, never sent false"},
		{"reset", func(s *faultwire.Stream) { s.SendReset(http2.ErrCodeInternal) }, "reset INTERNAL_ERROR, by us false, never sent false"},
		{"reset in the middle", func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendData([]byte("half"), false)
			s.SendReset(http2.ErrCodeCancel)
		}, "reset CANCEL, by us false, never sent false"},
		{"closed", func(s *faultwire.Stream) { s.Conn().CloseWrite() }, "lost, sent true"},
		{"aborted", func(s *faultwire.Stream) { go s.Conn().Close() }, "lost, sent true"},
		{"closed in the middle", func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendData([]byte("half"), false)
			s.Conn().CloseWrite()
		}, "lost, sent true"},
		{"above the last stream", func(s *faultwire.Stream) { s.Conn().GoAway(0, http2.ErrCodeNo, "bye") }, `NO_ERROR "bye", sent false`},
		{"below the last stream", func(s *faultwire.Stream) {
			s.Conn().GoAway(1, http2.ErrCodeEnhanceYourCalm, "too_many_resets")
			s.Conn().CloseWrite()
		}, `ENHANCE_YOUR_CALM "too_many_resets", sent true`},
		{"no HTTP status", func(s *faultwire.Stream) { s.SendHeaders(faultwire.Pairs("a", "b"), false) }, "reset PROTOCOL_ERROR, by us true, never sent false"},
		{"status twice", func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.Pairs(":status", "200", ":status", "200"), false)
		}, "reset PROTOCOL_ERROR, by us true, never sent false"},
		{"DATA first", func(s *faultwire.Stream) { s.SendData([]byte("x"), false) }, "reset PROTOCOL_ERROR, by us true, never sent false"},
		{"upper case", func(s *faultwire.Stream) { s.SendHeaders(faultwire.GRPCHeader("X-Upper", "1"), false) }, "reset PROTOCOL_ERROR, by us true, never sent false"},
		{"an answer that does not end", func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendHeaders(faultwire.Pairs("grpc-status", "0"), false)
		}, "reset PROTOCOL_ERROR, by us true, never sent false"},
		{"garbage", func(s *faultwire.Stream) { s.Conn().SendRaw(make([]byte, 100)) }, "lost, sent true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := bounded(t)
			conn := scripted(t, &faultwire.Server{Handler: test.script})
			s := open(t, conn, true)
			defer s.Close()
			body, _, err := s.ReadWhole(ctx, 1000)
			if got := brief(err); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			body.Free()
		})
	}
}

// Once the answer is there, what happens to the rest of the request, the stream
// and the connection changes nothing.
func TestAnswerBeforeTheRequestEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		then func(*faultwire.Stream)
	}{
		{"nothing", func(*faultwire.Stream) {}},
		{"NO_ERROR", func(s *faultwire.Stream) { s.SendReset(http2.ErrCodeNo) }},
		{"CANCEL", func(s *faultwire.Stream) { s.SendReset(http2.ErrCodeCancel) }},
		{"closed", func(s *faultwire.Stream) { s.Conn().CloseWrite() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := bounded(t)
			conn := scripted(t, &faultwire.Server{StallStreams: true, Handler: func(s *faultwire.Stream) {
				s.Fail("8", "no")
				test.then(s)
			}})
			s := open(t, conn, false)
			defer s.Close()
			// More than the window, so that it is blocked when the answer comes.
			if err := s.Write(ctx, message(3<<20), true); !errors.Is(err, io.EOF) {
				t.Errorf("sending on: %v, want io.EOF", err)
			}
			header, only, err := s.Header(ctx)
			if err != nil || !only || header.Get("grpc-status") != "8" {
				t.Errorf("%v, %v, %v", header, only, err)
			}
			if _, err := s.Read(ctx); err != io.EOF {
				t.Errorf("after the answer: %v", err)
			}
		})
	}
}

// A connection that is lost while a header waits or is under way: as long as not
// all of it was handed to the socket, the server has done nothing.
func TestSentIsExact(t *testing.T) {
	for _, test := range []struct {
		name string
		// taken is how many bytes of the header frame the socket takes; -1: all.
		taken int
		want  bool
	}{{"nothing", 0, false}, {"a byte", 1, false}, {"the frame's head", 9, false}, {"all but one", -2, false}, {"all", -1, true}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				server := http2.NewFramer(far, far)
				go func() {
					io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
					server.ReadFrame() // SETTINGS
					server.ReadFrame() // WINDOW_UPDATE
					server.WriteSettings()
				}()
				conn, err := h2.NewClientConn(t.Context(), near, h2.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				server.ReadFrame() // the acknowledgement
				synctest.Wait()
				s, err := conn.Open(front, h2.Fields{{Name: "a", Value: "b"}}, true)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				n := test.taken
				if n < 0 {
					head := make([]byte, 9)
					if _, err := io.ReadFull(far, head); err != nil {
						t.Fatal(err)
					}
					n += 1 + int(head[2])
				}
				if _, err := io.ReadFull(far, make([]byte, n)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				far.Close()
				_, _, err = s.Header(context.Background())
				lost, ok := errors.AsType[*h2.LostError](err)
				if !ok || lost.Sent != test.want {
					t.Errorf("%v: sent %v, want %v", err, lost.Sent, test.want)
				}
			})
		})
	}
}

func TestOpenOnAConnectionThatIsDown(t *testing.T) {
	ctx := bounded(t)
	hold := make(chan struct{})
	server := &faultwire.Server{Handler: func(s *faultwire.Stream) {
		s.Conn().GoAway(s.ID, http2.ErrCodeNo, "later")
		<-hold
		s.Answer([]byte("x"))
	}}
	conn := scripted(t, server)
	s := open(t, conn, true)
	defer s.Close()
	<-conn.Down()
	if _, err := conn.Open(front, nil, true); brief(err) != `NO_ERROR "later", sent false` {
		t.Errorf("a new stream: %v", brief(err))
	}
	close(hold)
	if body, err := collect(ctx, s); err != nil || string(body) != string(faultwire.Prefixed([]byte("x"))) {
		t.Errorf("the stream that was under way: %q, %v", body, err)
	}
}
