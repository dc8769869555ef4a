package h2_test

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// blocked is a handler that waits for its stream's end, and counts itself.
type blocked struct{ running, most atomic.Int64 }

func (b *blocked) handle(s *h2.Stream) {
	over := make(chan struct{})
	s.OnEnd(func(error) { close(over) })
	n := b.running.Add(1)
	for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
	}
	<-over
	b.running.Add(-1)
}

var request = block(faultwire.GRPCRequest("/a/B"))

func openFrame(f *http2.Framer, id uint32, end bool) {
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: request, EndStream: end, EndHeaders: true})
}

// Floods end with GOAWAY ENHANCE_YOUR_CALM long before they cost anything.
func TestFloods(t *testing.T) {
	for _, test := range []struct {
		name  string
		times int
		frame func(f *http2.Framer, i int)
	}{
		{"rapid reset", 120_000, func(f *http2.Framer, i int) {
			openFrame(f, uint32(2*i+1), false)
			f.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
		}},
		{"made you reset", 3000, func(f *http2.Framer, i int) {
			openFrame(f, uint32(2*i+1), false)
			f.WriteRawFrame(http2.FrameWindowUpdate, 0, uint32(2*i+1), make([]byte, 4))
		}},
		{"malformed requests", 3000, func(f *http2.Framer, i int) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true})
		}},
		{"CONTINUATION", 2000, func(f *http2.Framer, i int) {
			if i == 0 {
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request})
			}
			f.WriteContinuation(1, false, nil)
		}},
		{"endless header", 12, func(f *http2.Framer, i int) {
			if i == 0 {
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request})
			}
			f.WriteContinuation(1, false, make([]byte, 16<<10))
		}},
		{"PING", 5000, func(f *http2.Framer, _ int) { f.WritePing(false, [8]byte{1}) }},
		{"SETTINGS", 5000, func(f *http2.Framer, _ int) { f.WriteSettings() }},
		{"PRIORITY", 5000, func(f *http2.Framer, _ int) { f.WritePriority(1, http2.PriorityParam{StreamDep: 3}) }},
		{"unknown frames", 5000, func(f *http2.Framer, _ int) { f.WriteRawFrame(0x21, 0, 0, nil) }},
		{"empty DATA", 5000, func(f *http2.Framer, i int) {
			if i == 0 {
				openFrame(f, 1, false)
			}
			f.WriteData(1, false, nil)
		}},
		{"WINDOW_UPDATE", 50_000, func(f *http2.Framer, i int) {
			if i == 0 {
				openFrame(f, 1, false)
			}
			f.WriteWindowUpdate(1, 1)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler blocked
			_, addr := serve(t, h2.ServerConfig{Limits: h2.Limits{Streams: 100}, Handle: handler.handle})
			conn := raw(t, addr)
			go conn.SendRaw(frames(func(f *http2.Framer) {
				for i := range test.times {
					test.frame(f, i)
				}
			}))
			if g, ok := goAway(t, conn); !ok || g.Code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY %v %v %q", ok, g.Code, g.Debug)
			}
			if n := handler.most.Load(); n > 200 {
				t.Errorf("%d handlers at once", n)
			}
		})
	}
}

// Many clients answer DATA with a PING, to measure the bandwidth: that is no
// flood. Neither are updates of the windows.
func TestPingsForDataAreHonest(t *testing.T) {
	_, addr := serve(t, h2.ServerConfig{Handle: echo})
	conn := raw(t, addr)
	s, err := conn.Open(faultwire.GRPCRequest("/a/B"), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(bounded(t)); err != nil { // the header
		t.Fatal(err)
	}
	for range 6000 {
		s.SendData([]byte("x"), false)
		if _, err := s.Next(bounded(t)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping([8]byte{9}); err != nil {
			t.Fatal(err)
		}
	}
}

// A header beyond the limits is one call's problem: it is handled, as what it is,
// and the connection goes on.
func TestTooLargeHeader(t *testing.T) {
	_, addr := serve(t, h2.ServerConfig{Handle: func(s *h2.Stream) {
		status := "200"
		if s.TooLarge() {
			status = "431"
		}
		_ = s.WriteHeader(nil, h2.Fields{{Name: ":status", Value: status}}, true)
	}})
	conn := raw(t, addr)
	many := make([]string, 0, 600)
	for range 300 {
		many = append(many, "a", "")
	}
	for _, test := range []struct {
		name  string
		extra []string
		want  string
	}{
		{"small", nil, "200"},
		{"one long value", []string{"a", string(make8(20 << 10))}, "431"},
		{"several values", []string{"a", string(make8(6000)), "b", string(make8(6000)), "c", string(make8(6000))}, "431"},
		{"one long value of 100 KiB", []string{"a", string(make8(100 << 10))}, "431"},
		{"too many fields", many, "431"},
		{"just as large as may be", []string{"a", string(make8(15 << 10))}, "200"},
		{"small again", nil, "200"},
	} {
		r, err := conn.Call(bounded(t), faultwire.GRPCRequest("/a/B", test.extra...), nil)
		if err != nil || r.Trailer.Get(":status") != test.want {
			t.Errorf("%s: %q, %v", test.name, r.Trailer.Get(":status"), err)
		}
	}
}

func make8(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a'
	}
	return b
}

func TestStreamLimit(t *testing.T) {
	var handler blocked
	_, addr := serve(t, h2.ServerConfig{Limits: h2.Limits{Streams: 2}, Handle: handler.handle})
	conn := dial(t, addr)
	first, second := open(t, conn, true), open(t, conn, true)
	defer second.Close()
	if _, err := conn.Open(front, nil, true); err == nil || brief(err) != "lost, sent false" {
		t.Errorf("a stream beyond the announced limit: %v", err)
	}
	first.Close()
	open(t, conn, true).Close() // its place is free at once

	liar := raw(t, addr)
	var last *faultwire.Stream
	for range 3 {
		last, _ = liar.Open(faultwire.GRPCRequest("/a/B"), true)
	}
	if event, err := last.Next(bounded(t)); err != nil || event.(faultwire.Reset).Code != http2.ErrCodeRefusedStream {
		t.Errorf("%v, %v", event, err)
	}
}

// Silent clients are not waited for.
func TestSilentClients(t *testing.T) {
	settled := http2.ClientPreface + string(frames(func(f *http2.Framer) { f.WriteSettings() }))
	for _, test := range []struct {
		name, says string
		after      time.Duration
	}{
		{"nothing", "", 10 * time.Second},
		{"half a preface", http2.ClientPreface[:10], 10 * time.Second},
		{"a preface without SETTINGS", http2.ClientPreface, 10 * time.Second},
		{"no stream", settled, time.Minute + time.Second}, // and a PING that is not answered
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := h2.NewServer(h2.ServerConfig{Handle: echo})
				defer server.Close()
				near, far := net.Pipe()
				defer near.Close()
				go func() {
					buf := make([]byte, 1000)
					for {
						if _, err := near.Read(buf); err != nil {
							return
						}
					}
				}()
				ended := make(chan struct{})
				start := time.Now()
				go func() {
					defer close(ended)
					server.ServeConn(far, nil)
				}()
				near.Write([]byte(test.says))
				<-ended
				if took := time.Since(start); took < test.after || took > test.after+time.Second {
					t.Errorf("ended after %v, want %v", took, test.after)
				}
			})
		})
	}
}

// A client that causes answers and does not read them loses its connection, and
// not only when nothing at all is taken.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := h2.NewServer(h2.ServerConfig{Handle: echo})
		defer server.Close()
		near, far := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- server.ServeConn(far, nil) }()
		start := time.Now()
		near.Write([]byte(http2.ClientPreface))
		near.Write(frames(func(f *http2.Framer) {
			f.WriteSettings()
			openFrame(f, 1, false)
		}))
		err := <-ended
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("ended after %v: %v", took, err)
		}
		near.Close()
	})
}

// A request that is incomplete for long is handled all the same: only a handler
// watches over the caller's deadline.
func TestHeldRequestIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handled := make(chan time.Time, 2)
		server := h2.NewServer(h2.ServerConfig{
			Whole:  func(h2.Fields) int { return 1 << 20 },
			Handle: func(*h2.Stream) { handled <- time.Now() },
		})
		defer server.Close()
		near, far := net.Pipe()
		go server.ServeConn(far, nil)
		conn, err := h2.NewClientConn(t.Context(), near, h2.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		slow := open(t, conn, false)
		defer slow.Close()
		whole := open(t, conn, false)
		defer whole.Close()
		if err := errors.Join(slow.Write(t.Context(), message(10), false), whole.Write(t.Context(), message(10), true)); err != nil {
			t.Fatal(err)
		}
		if took := (<-handled).Sub(start); took != 0 {
			t.Errorf("the whole one was handled after %v", took)
		}
		if took := (<-handled).Sub(start); took < time.Second || took > 2*time.Second {
			t.Errorf("the other was handled after %v", took)
		}
	})
}
