package h2_test

import (
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// peer is a raw server at the other end of an engine client, frame by frame.
type peer struct {
	t      *testing.T
	framer *http2.Framer
	opened map[uint32]bool
}

// piped connects a client to a peer that has sent its SETTINGS and acknowledged
// the client's.
func piped(t *testing.T) (*peer, *h2.ClientConn) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	near, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	p := &peer{t: t, framer: http2.NewFramer(far, far), opened: make(map[uint32]bool)}
	p.framer.WriteSettings()
	p.framer.WriteSettingsAck()
	conn, err := h2.NewClientConn(bounded(t), near, h2.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if _, err := io.ReadFull(far, make([]byte, len(http2.ClientPreface))); err != nil {
		t.Fatal(err)
	}
	p.framer.WritePing(false, [8]byte{7})
	for { // the acknowledgement says that the one of SETTINGS was read
		if ping, ok := p.next().(*http2.PingFrame); ok && ping.IsAck() {
			return p, conn
		}
	}
}

func (p *peer) next() http2.Frame {
	p.t.Helper()
	frame, err := p.framer.ReadFrame()
	if err != nil {
		p.t.Fatal(err)
	}
	if frame.Header().Type == http2.FrameHeaders {
		p.opened[frame.Header().StreamID] = true
	}
	return frame
}

// A drain refuses nothing until the client must know of it, serves what was under
// way, and then closes.
func TestDrainInTwoSteps(t *testing.T) {
	proceed := make(chan struct{})
	server, addr := serve(t, h2.ServerConfig{Handle: func(s *h2.Stream) {
		<-proceed
		_ = s.WriteHeader(nil, h2.Fields{{Name: ":status", Value: "200"}}, true)
	}})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := &peer{t: t, framer: http2.NewFramer(nc, nc), opened: make(map[uint32]bool)}
	nc.Write([]byte(http2.ClientPreface))
	p.framer.WriteSettings()
	openFrame(p.framer, 1, true)
	p.framer.WritePing(false, [8]byte{1})
	for pong := false; !pong; {
		f, ok := p.next().(*http2.PingFrame)
		pong = ok && f.IsAck()
	}
	drained := server.Drain()

	var ping *http2.PingFrame
	for ping == nil {
		switch f := p.next().(type) {
		case *http2.GoAwayFrame:
			if f.LastStreamID != 1<<31-1 || f.ErrCode != http2.ErrCodeNo {
				t.Fatalf("the first GOAWAY: %v", f)
			}
		case *http2.PingFrame:
			ping = f
		}
	}
	openFrame(p.framer, 3, true) // sent before the client saw the GOAWAY
	p.framer.WritePing(true, ping.Data)
	for last := uint32(0); last == 0; {
		if f, ok := p.next().(*http2.GoAwayFrame); ok {
			if last = f.LastStreamID; last != 3 {
				t.Fatalf("the second GOAWAY: %v", f)
			}
		}
	}
	openFrame(p.framer, 5, true)
	if f, ok := p.next().(*http2.RSTStreamFrame); !ok || f.ErrCode != http2.ErrCodeRefusedStream || f.StreamID != 5 {
		t.Errorf("a stream after it: %v", f)
	}
	select {
	case <-drained:
		t.Fatal("drained with calls under way")
	default:
	}
	close(proceed)
	for range 2 {
		if f, ok := p.next().(*http2.HeadersFrame); !ok || !f.StreamEnded() {
			t.Errorf("an answer: %v", f)
		}
	}
	if _, err := p.framer.ReadFrame(); err != io.EOF {
		t.Errorf("after the last answer: %v", err)
	}
	nc.Close()
	<-drained
}

// What was said last arrives, although the client was still sending.
func TestLastWordsArrive(t *testing.T) {
	_, addr := serve(t, h2.ServerConfig{Handle: echo})
	for range 20 {
		conn := raw(t, addr)
		go conn.SendRaw(append(make([]byte, 9), make([]byte, 1<<19)...)) // DATA on stream 0
		if g, ok := goAway(t, conn); !ok || g.Code != http2.ErrCodeProtocol {
			t.Fatalf("GOAWAY %v %v", ok, g)
		}
	}
}

// A handler that returns early ends its stream: with NO_ERROR behind a whole
// answer, otherwise not. A cancelled call is known to its handler.
func TestRelease(t *testing.T) {
	_, addr := serve(t, h2.ServerConfig{Handle: func(s *h2.Stream) {
		if header, _, _ := s.Header(t.Context()); header.Has("answer") {
			_ = s.WriteHeader(nil, h2.Fields{{Name: ":status", Value: "200"}}, true)
		}
	}})
	conn := raw(t, addr)
	for _, test := range []struct {
		extra []string
		end   bool
		want  string
	}{
		{[]string{"answer", ""}, true, "answered"},
		{[]string{"answer", ""}, false, "answered"},
		{nil, true, "INTERNAL_ERROR"},
		{nil, false, "INTERNAL_ERROR"},
	} {
		s, err := conn.Open(faultwire.GRPCRequest("/a/B", test.extra...), test.end)
		if err != nil {
			t.Fatal(err)
		}
		event, err := s.Next(bounded(t))
		got := "answered"
		if reset, ok := event.(faultwire.Reset); ok {
			got = reset.Code.String()
		}
		if err != nil || got != test.want {
			t.Errorf("%v: %s, %v", test, got, err)
		}
	}
}
