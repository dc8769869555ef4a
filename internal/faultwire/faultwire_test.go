package faultwire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

func TestUnaryCall(t *testing.T) {
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		m, err := s.NextMessage(s.Context())
		if err != nil {
			s.Fail("13", err.Error())
			return
		}
		<-s.Ended()
		s.Answer(append([]byte("echo "), m.Payload...))
	}})
	conn := dial(t, srv)
	for _, size := range []int{0, 1, 1<<14 - 1, 1 << 14, 1<<14 + 1, 64 << 20} {
		payload := pattern(size)
		r, err := conn.Call(bounded(t), faultwire.GRPCRequest("/a.B/C"), faultwire.Prefixed(payload))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Messages) != 1 || !bytes.Equal(r.Messages[0].Payload[5:], payload) || len(r.Rest) != 0 {
			t.Errorf("%d bytes: %d messages, %d bytes behind", size, len(r.Messages), len(r.Rest))
		}
		if r.TrailersOnly || r.Trailer.Get("grpc-status") != "0" || r.Header.Get("content-type") != "application/grpc" {
			t.Errorf("%d bytes: header\n%strailer\n%s", size, r.Header, r.Trailer)
		}
	}
	if got := srv.Stats(); got.Connections != 1 || got.Streams != 6 {
		t.Errorf("stats %+v, want 1 connection and 6 streams", got)
	}
}

func TestFieldsKeepOrderAndDuplicates(t *testing.T) {
	var seen faultwire.Fields
	answer := faultwire.GRPCHeader("x-b", "2", "x-a", "1", "x-b", "", "grpc-status", "5", "grpc-message", "%20")
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		seen = s.Request.Fields
		s.SendHeaders(answer, true)
	}})
	request := faultwire.GRPCRequest("/a.B/C", "k", "1", "other", "", "k", "2", "k", "1",
		"long", string(pattern(40<<10))) // several CONTINUATION frames
	r, err := dial(t, srv).Call(bounded(t), request, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, request) {
		t.Errorf("request arrived as\n%s", seen)
	}
	if !r.TrailersOnly || r.Header != nil || !slices.Equal(r.Trailer, answer) {
		t.Errorf("trailers only %v, header\n%strailer\n%s", r.TrailersOnly, r.Header, r.Trailer)
	}
	if got := seen.All("k"); !slices.Equal(got, []string{"1", "2", "1"}) {
		t.Errorf("All = %q", got)
	}
}

func TestEventsInOrder(t *testing.T) {
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		s.SendHeaders(faultwire.GRPCHeader(), false)
		s.SendData([]byte("ab"), false)
		s.SendData(nil, false)
		s.SendReset(http2.ErrCodeEnhanceYourCalm)
	}})
	s := open(t, dial(t, srv), "/a.B/C")
	next[faultwire.Headers](t, s)
	if d := next[faultwire.Data](t, s); string(d.Payload) != "ab" {
		t.Errorf("first DATA %q", d.Payload)
	}
	if d := next[faultwire.Data](t, s); len(d.Payload) != 0 {
		t.Errorf("second DATA %q", d.Payload)
	}
	if r := next[faultwire.Reset](t, s); r.Code != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("reset with %v", r.Code)
	}
	if _, err := s.Next(bounded(t)); err != io.EOF {
		t.Errorf("after the reset: %v", err)
	}
	if err := s.SendMessage(nil); err == nil {
		err = s.SendMessage([]byte("x"))
		if !errors.Is(err, faultwire.ErrReset) {
			t.Errorf("sending on a reset stream: %v", err)
		}
	}
}

func TestResetReachesHandlerWithTime(t *testing.T) {
	arrived := make(chan struct{})
	reset := make(chan faultwire.Reset, 1)
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		close(arrived)
		<-s.Context().Done()
		r, _ := s.ResetReceived()
		reset <- r
	}})
	s := open(t, dial(t, srv), "/a.B/C")
	<-arrived
	before := time.Now()
	if err := s.SendReset(http2.ErrCodeCancel); err != nil {
		t.Fatal(err)
	}
	got := <-reset
	if got.Code != http2.ErrCodeCancel || got.At.Before(before) || time.Since(got.At) > patience {
		t.Errorf("handler saw %+v", got)
	}
	if seen := srv.Stats().Resets; len(seen) != 1 || seen[0].Path != "/a.B/C" || seen[0].Code != http2.ErrCodeCancel {
		t.Errorf("server counted %+v", seen)
	}
	if _, err := s.Next(bounded(t)); !errors.Is(err, faultwire.ErrReset) {
		t.Errorf("our end after its reset: %v", err)
	}
}

func TestLies(t *testing.T) {
	for name, lie := range map[string]struct {
		tell  func(*faultwire.Stream)
		check func(faultwire.Response, error) error
		ended func(error) bool // checks how the connection ended, where it did
	}{
		"truncated message": {
			tell: func(s *faultwire.Stream) {
				s.SendHeaders(faultwire.GRPCHeader(), false)
				s.SendData(faultwire.PrefixedAs(0, 10, []byte("four")), false)
				s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
			},
			check: func(r faultwire.Response, err error) error {
				if len(r.Messages) != 0 || len(r.Rest) != 9 {
					return fmt.Errorf("%d messages, rest %q, error %w", len(r.Messages), r.Rest, err)
				}
				return err
			},
		},
		"data before headers": {
			tell: func(s *faultwire.Stream) {
				s.SendMessage([]byte("early"))
				s.SendHeaders(faultwire.GRPCHeader("grpc-status", "0"), true)
			},
			check: func(r faultwire.Response, err error) error {
				if len(r.Messages) != 1 || r.Trailer == nil {
					return fmt.Errorf("%d messages, error %w", len(r.Messages), err)
				}
				return err
			},
		},
		"garbage": {
			tell:  func(s *faultwire.Stream) { s.Conn().SendRaw(bytes.Repeat([]byte{0xff}, 64)) },
			check: wantLost,
			ended: func(err error) bool { return errors.Is(err, http2.ErrFrameTooLarge) },
		},
		"connection reset": {
			tell:  func(s *faultwire.Stream) { s.Conn().Abort() },
			check: wantLost,
			ended: func(err error) bool { return errors.Is(err, syscall.ECONNRESET) },
		},
		"connection closed": {
			tell:  func(s *faultwire.Stream) { s.Conn().CloseWrite() },
			check: wantLost,
			ended: func(err error) bool { return err == io.EOF },
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, &faultwire.Server{Handler: lie.tell})
			conn := dial(t, srv)
			r, err := conn.Call(bounded(t), faultwire.GRPCRequest("/a.B/C"), nil)
			if err := lie.check(r, err); err != nil {
				t.Error(err)
			}
			if lie.ended != nil {
				if got := nextOf[faultwire.Closed](t, conn).Err; !lie.ended(got) {
					t.Errorf("connection ended with %v", got)
				}
			}
		})
	}
}

func wantLost(_ faultwire.Response, err error) error {
	if !errors.Is(err, faultwire.ErrConnLost) {
		return fmt.Errorf("got error %v, want %w", err, faultwire.ErrConnLost)
	}
	return nil
}

func TestNextMessage(t *testing.T) {
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		s.SendHeaders(faultwire.GRPCHeader(), false)
		body := append(faultwire.Prefixed([]byte("one")), faultwire.PrefixedAs(1, 3, []byte("two"))...)
		for _, b := range body { // the worst cut there is
			s.SendData([]byte{b}, false)
		}
		s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
	}})
	s := open(t, dial(t, srv), "/a.B/C")
	next[faultwire.Headers](t, s)
	for _, want := range []faultwire.Message{{Payload: []byte("one")}, {Flag: 1, Payload: []byte("two")}} {
		m, err := s.NextMessage(bounded(t))
		if err != nil || m.Flag != want.Flag || !bytes.Equal(m.Payload, want.Payload) {
			t.Errorf("message %+v, %v; want %+v", m, err, want)
		}
	}
	if _, err := s.NextMessage(bounded(t)); err != io.EOF {
		t.Errorf("at the trailers: %v", err)
	}
	if h := next[faultwire.Headers](t, s); !h.EndStream {
		t.Error("trailers without END_STREAM")
	}
}

func TestGreetings(t *testing.T) {
	srv := serve(t, &faultwire.Server{Greet: func(n int) faultwire.Greeting {
		return []faultwire.Greeting{faultwire.Refuse, faultwire.SpeakHTTP1, faultwire.StayMute}[n-1]
	}})
	if _, err := readAll(t, srv.Addr(), ""); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Logf("refused with %v", err) // FIN or RST, as the kernel likes
	}
	answer, err := readAll(t, srv.Addr(), http2.ClientPreface)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) {
		t.Errorf("HTTP/1: %q, %v", answer, err)
	}
	mute := dial(t, srv)
	quiet, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if event, err := mute.Next(quiet); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("mute server said %#v, %v", event, err)
	}
	if got := srv.Stats().Connections; got != 3 {
		t.Errorf("%d connections counted, want 3", got)
	}
}

// readAll sends text on a bare connection and reads to its end.
func readAll(t *testing.T, addr, text string) ([]byte, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		return nil, err
	}
	return io.ReadAll(conn)
}

func TestConnectionEvents(t *testing.T) {
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		s.Conn().GoAway(s.Conn().LastStreamID(), http2.ErrCodeEnhanceYourCalm, "too_many_resets")
		s.Conn().CloseWrite()
	}})
	conn := dial(t, srv)
	if got := nextOf[faultwire.Settings](t, conn); !slices.Equal(got.Values, faultwire.QdrantSettings()) {
		t.Errorf("settings %v", got.Values)
	}
	for i := range byte(3) {
		data := [8]byte{i}
		if err := conn.Ping(data); err != nil {
			t.Fatal(err)
		}
		if got := nextOf[faultwire.PingAck](t, conn); got.Data != data {
			t.Errorf("ping %v answered %v", data, got.Data)
		}
	}
	if got := srv.Stats().Pings; got != 3 {
		t.Errorf("%d pings counted", got)
	}
	open(t, conn, "/a.B/C")
	got := nextOf[faultwire.GoAway](t, conn)
	if got.LastStreamID != 1 || got.Code != http2.ErrCodeEnhanceYourCalm || got.Debug != "too_many_resets" {
		t.Errorf("GOAWAY %+v", got)
	}
	if got := nextOf[faultwire.Closed](t, conn); got.Err != io.EOF {
		t.Errorf("closed with %v", got.Err)
	}
}
