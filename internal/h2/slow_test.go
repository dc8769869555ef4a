package h2_test

import (
	"context"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// Hundreds of answers that nobody reads hold their windows and no more, and do not
// keep another call of the connection from going through.
func TestSlowReaders(t *testing.T) {
	const streams, size = 200, 1 << 20
	_, addr := serve(t, h2.ServerConfig{Handle: func(s *h2.Stream) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s.OnEnd(func(error) { cancel() })
		n := 2 * size
		if header, _, _ := s.Header(ctx); header.Has("small") {
			n = 10
		}
		_ = s.WriteHeader(nil, h2.Fields{{Name: ":status", Value: "200"}}, false)
		_ = s.Write(ctx, message(n), true)
	}})
	conn := dial(t, addr)
	ctx := bounded(t)
	before := bytesOut()
	slow := make([]*h2.Stream, streams)
	for i := range slow {
		slow[i] = open(t, conn, true)
	}
	for range 100 {
		s, err := conn.Open(front, h2.Fields{h2.Field("small", "")}, true)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := collect(ctx, s); err != nil || len(body) != 10 {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		s.Close()
	}
	// What is sent without being read is a window for each stream.
	if held := bytesOut() - before; held > streams*(size+64<<10) {
		t.Errorf("%d MiB are held", held>>20)
	}
	for _, s := range slow {
		s.Close()
	}
	eventually(t, "buffers come back", func() bool { return bytesOut() <= before })
}

// Calls that are cancelled at any time leave nothing, and their server does not
// see more than a few resets at once.
func TestCancelStorm(t *testing.T) {
	_, addr := serve(t, h2.ServerConfig{Handle: echo})
	conn := dial(t, addr)
	var calls sync.WaitGroup
	for worker := range 20 {
		calls.Go(func() {
			for i := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				s, err := conn.Open(front, nil, false)
				if err != nil {
					t.Error(err)
				} else {
					if i%3 == 0 {
						go cancel()
					}
					_ = s.Write(ctx, message(100*worker*(i%7)), i%2 == 0)
					if i%5 > 0 {
						_, _, _ = s.Header(ctx)
					}
					s.Close()
				}
				cancel()
			}
		})
		if worker%10 == 9 {
			calls.Wait()
		}
	}
	s := open(t, conn, false)
	defer s.Close()
	if err := s.Write(t.Context(), message(5), true); err != nil {
		t.Fatal(err)
	}
	if body, err := collect(bounded(t), s); err != nil || len(body) != 5 {
		t.Errorf("after the storm: %d bytes, %v", len(body), err)
	}
}

// As long as a server has not come round to them, it is told of no more than ten
// resets; the others follow when it has.
func TestResetsAreRationed(t *testing.T) {
	ctx := bounded(t)
	server := &faultwire.Server{Handler: func(s *faultwire.Stream) { <-s.Context().Done() }}
	conn := scripted(t, server)
	if _, err := conn.Ping(ctx); err != nil { // it has acknowledged our SETTINGS
		t.Fatal(err)
	}
	var streams []*h2.Stream
	for range 35 {
		streams = append(streams, open(t, conn, true))
	}
	if _, err := conn.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	upstream := server.Conns()[0]
	upstream.Stall()
	for _, s := range streams {
		s.Close()
	}
	upstream.Resume()
	eventually(t, "all are reset in the end", func() bool { return len(server.Stats().Resets) == 35 })
	if pings := server.Stats().Pings; pings != 2 {
		t.Errorf("%d PINGs: gRPC's own servers count them", pings)
	}
}

// The same on the wire: what comes before the server has said a word is counted.
func TestNoMoreThanTenResetsUnconfirmed(t *testing.T) {
	peer, conn := piped(t)
	for range 30 {
		open(t, conn, true).Close()
	}
	resets, settings := 0, 0
	for resets < 10 || settings < 1 {
		switch f := peer.next().(type) {
		case *http2.RSTStreamFrame:
			resets++
		case *http2.SettingsFrame:
			if !f.IsAck() {
				settings++
			}
		}
	}
	peer.framer.WritePing(false, [8]byte{1})
	for pong := false; !pong; {
		switch f := peer.next().(type) {
		case *http2.RSTStreamFrame:
			t.Fatal("an eleventh reset")
		case *http2.PingFrame:
			pong = f.IsAck()
		}
	}
	// An answer to what was opened after them confirms all ten of them; the
	// acknowledgement is not waited for.
	for !peer.opened[61] {
		if s := open(t, conn, true); s != nil {
			defer s.Close()
		}
		peer.next()
	}
	peer.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 61, BlockFragment: block(faultwire.GRPCHeader()), EndHeaders: true})
	for resets < 20 {
		if _, ok := peer.next().(*http2.RSTStreamFrame); ok {
			resets++
		}
	}
}
