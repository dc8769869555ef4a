package h2_test

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/h2"
)

// A connection that once had to wait for its peer has its whole time again when it
// has to the next time, however late that is; one whose peer takes nothing for that
// time ends.
func TestWriteStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	const size = 24 << 20 // more than two sockets hold
	written := make(chan error, 1)
	_, addr := serve(t, h2.ServerConfig{
		Limits: h2.Limits{WriteStall: stall},
		Handle: func(s *h2.Stream) {
			_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, false)
			written <- s.Write(context.Background(), message(size), true)
		},
	})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	framer := http2.NewFramer(nc, nc)
	call := func(stream uint32) {
		if _, err := nc.Write(frames(func(f *http2.Framer) { openFrame(f, stream, true) })); err != nil {
			t.Fatal(err)
		}
	}
	// silence is a time in which nothing is read.
	silence := func(d time.Duration) { <-time.After(d) }
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
	if _, err := nc.Write(append([]byte(http2.ClientPreface), frames(func(f *http2.Framer) {
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		f.WriteWindowUpdate(0, 1<<30)
	})...)); err != nil {
		t.Fatal(err)
	}
	for stream := uint32(1); stream < 6; stream += 2 {
		call(stream)
		silence(stall / 4) // it waits for us, but not too long
		if err := read(stream); err != nil {
			t.Fatalf("stream %d: %v", stream, err)
		}
		if err := <-written; err != nil {
			t.Fatalf("stream %d: %v", stream, err)
		}
		silence(2 * stall)
	}
	call(7)
	select {
	case err := <-written:
		if err == nil {
			t.Error("all of an answer was written that nobody reads")
		}
	case <-bounded(t).Done():
		t.Error("an answer is still being written that nobody reads")
	}
}
