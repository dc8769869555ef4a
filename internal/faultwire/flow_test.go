package faultwire_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

// received sums up what arrives on s until ctx ends.
func received(ctx context.Context, s *faultwire.Stream) int {
	total := 0
	for {
		event, err := s.Next(ctx)
		if err != nil {
			return total
		}
		if d, ok := event.(faultwire.Data); ok {
			total += len(d.Payload)
		}
	}
}

func TestStalledStreamTakesOneWindow(t *testing.T) {
	streams := make(chan *faultwire.Stream, 1)
	srv := serve(t, &faultwire.Server{
		StallStreams: true,
		Handler:      func(s *faultwire.Stream) { streams <- s },
	})
	s := open(t, dial(t, srv), "/a.B/C")
	sent := make(chan error, 1)
	go func() { sent <- s.SendData(pattern(3<<19), true) }()
	upstream := <-streams

	got := 0
	for got < 1<<20 {
		got += len(next[faultwire.Data](t, upstream).Payload)
	}
	quiet, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got += received(quiet, upstream); got != 1<<20 {
		t.Errorf("a stalled stream took %d bytes, want its window of %d", got, 1<<20)
	}
	if err := upstream.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := received(bounded(t), upstream); got != 1<<19 {
		t.Errorf("after resuming %d bytes came, want the other %d", got, 1<<19)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestStalledConnectionAnswersNothing(t *testing.T) {
	srv := serve(t, &faultwire.Server{})
	conn := dial(t, srv)
	nextOf[faultwire.SettingsAck](t, conn)
	upstream := srv.Conns()[0]
	upstream.Stall()
	if err := conn.Ping([8]byte{1}); err != nil {
		t.Fatal(err)
	}
	quiet, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for {
		event, err := conn.Next(quiet)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if _, isAck := event.(faultwire.PingAck); isAck || err != nil {
			t.Fatalf("stalled connection: %#v, %v", event, err)
		}
	}
	upstream.Resume()
	nextOf[faultwire.PingAck](t, conn)
}

// A sender that waits for a window must wake when there will be none.
func TestBlockedSenderEnds(t *testing.T) {
	for name, end := range map[string]func(*faultwire.Stream){
		"reset":      func(s *faultwire.Stream) { s.SendReset(http2.ErrCodeCancel) },
		"connection": func(s *faultwire.Stream) { s.Conn().Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, &faultwire.Server{StallStreams: true, Handler: end})
			if err := open(t, dial(t, srv), "/a.B/C").SendData(pattern(2<<20), true); err == nil {
				t.Error("2 MiB were sent into a window of 1 MiB")
			}
		})
	}
}

func TestSmallWindowBothWays(t *testing.T) {
	small := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 100}}
	srv := serve(t, &faultwire.Server{Settings: small, Handler: func(s *faultwire.Stream) {
		if m, err := s.NextMessage(s.Context()); err == nil {
			s.Answer(m.Payload)
		}
	}})
	conn, err := faultwire.Dial(bounded(t), srv.Addr(), small...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := conn.Call(bounded(t), faultwire.GRPCRequest("/a.B/C"), faultwire.Prefixed(pattern(70<<10)))
	if err != nil || len(r.Messages) != 1 || !bytes.Equal(r.Messages[0].Payload, pattern(70<<10)) {
		t.Errorf("%d messages, error %v", len(r.Messages), err)
	}
}

// A peer that ignores our windows is told, not served.
func TestWindowIsEnforced(t *testing.T) {
	srv := serve(t, &faultwire.Server{StallStreams: true})
	tcp, err := net.Dial("tcp", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(patience))
	framer := http2.NewFramer(tcp, tcp)
	tcp.Write([]byte(http2.ClientPreface))
	framer.WriteSettings()
	framer.WriteSettingsAck()
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
	go func() {
		for range 65 { // one more than the window of 1 MiB
			framer.WriteData(1, false, pattern(1<<14))
		}
	}()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("connection ended without GOAWAY: %v", err)
		}
		if goAway, ok := frame.(*http2.GoAwayFrame); ok {
			if !bytes.Contains(goAway.DebugData(), []byte("window")) {
				t.Errorf("GOAWAY says %q", goAway.DebugData())
			}
			return
		}
	}
}
