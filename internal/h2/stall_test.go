package h2_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/h2"
)

// A connection that once had to wait for its peer has its whole time again when it
// has to the next time, however late that is; one whose peer takes nothing for that
// time ends.
func TestWriteStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stall = 20 * time.Second
		const size = 1 << 20
		written := make(chan error, 1)
		server := h2.NewServer(h2.ServerConfig{
			Limits: h2.Limits{WriteStall: stall},
			Handle: func(s *h2.Stream) {
				_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, false)
				written <- s.Write(context.Background(), message(size), true)
			},
		})
		defer server.Close()
		near, far := net.Pipe()
		defer near.Close()
		go server.ServeConn(far, nil)
		framer := http2.NewFramer(near, near)
		call := func(stream uint32) {
			if _, err := near.Write(frames(func(f *http2.Framer) { openFrame(f, stream, true) })); err != nil {
				t.Fatal(err)
			}
		}
		read := func(stream uint32) error {
			for {
				frame, err := framer.ReadFrame()
				if err != nil {
					return err
				}
				if frame.Header().StreamID == stream && frame.Header().Flags.Has(http2.FlagDataEndStream) {
					return nil
				}
			}
		}
		if _, err := near.Write(append([]byte(http2.ClientPreface), frames(func(f *http2.Framer) {
			f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
			f.WriteWindowUpdate(0, 1<<30)
		})...)); err != nil {
			t.Fatal(err)
		}
		for stream := uint32(1); stream < 6; stream += 2 {
			call(stream)
			time.Sleep(stall - time.Second) // it waits for us, but not too long
			if err := read(stream); err != nil {
				t.Fatalf("stream %d: %v", stream, err)
			}
			if err := <-written; err != nil {
				t.Fatalf("stream %d: %v", stream, err)
			}
			time.Sleep(2 * stall)
		}
		call(7)
		start := time.Now()
		if err := <-written; err == nil || time.Since(start) != stall {
			t.Errorf("an answer that nobody reads ended after %v: %v", time.Since(start), err)
		}
	})
}
