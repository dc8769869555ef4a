package h2_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// fuzzPatience is how long an end may take to find out that its peer is gone.
const fuzzPatience = time.Minute

// within fails the test when done is not closed in time.
func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(fuzzPatience):
		t.Fatalf("%s does not end", what)
	}
}

// FuzzServer gives a server any frames behind a proper preface: it ends with its
// connection, and no buffer is left.
func FuzzServer(f *testing.F) {
	f.Add(frames(func(f *http2.Framer) {
		openFrame(f, 1, false)
		f.WriteData(1, true, faultwire.Prefixed([]byte("message")))
		f.WriteWindowUpdate(1, 100)
		f.WritePing(false, [8]byte{1})
	}))
	f.Add(frames(func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request[:5]})
		f.WriteContinuation(1, true, request[5:])
		f.WriteDataPadded(1, false, []byte("x"), make([]byte, 9))
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true})
		f.WriteRSTStream(1, http2.ErrCodeCancel)
	}))
	f.Add(frames(func(f *http2.Framer) {
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		openFrame(f, 1, true)
		f.WriteWindowUpdate(0, 1<<31-1)
		f.WriteGoAway(0, http2.ErrCodeNo, nil)
		f.WritePriority(3, http2.PriorityParam{StreamDep: 3})
	}))
	f.Fuzz(func(t *testing.T, sent []byte) {
		before := buffersOut()
		server := h2.NewServer(h2.ServerConfig{
			Handle: echo,
			Whole:  func(header h2.Fields) int { return len(header.Get(":path")) % 7 * 100 },
		})
		near, far := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			server.ServeConn(far, nil)
			server.Close()
		}()
		go io.Copy(io.Discard, near)
		near.Write([]byte(http2.ClientPreface))
		near.Write(frames(func(f *http2.Framer) { f.WriteSettings() }))
		near.Write(sent)
		near.Close()
		within(t, "the server", ended)
		if n := buffersOut() - before; n != 0 {
			t.Errorf("%d buffers are left", n)
		}
	})
}

// FuzzClient gives a client with two calls any frames behind SETTINGS: all ends
// with its connection, and no buffer is left.
func FuzzClient(f *testing.F) {
	header, trailer := block(faultwire.GRPCHeader()), block(faultwire.Pairs("grpc-status", "0"))
	f.Add(frames(func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: header, EndHeaders: true})
		f.WriteData(1, false, faultwire.Prefixed([]byte("message")))
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: trailer, EndHeaders: true, EndStream: true})
		f.WriteRSTStream(3, http2.ErrCodeRefusedStream)
	}))
	f.Add(frames(func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: header, EndHeaders: true, EndStream: true})
		f.WriteRSTStream(1, http2.ErrCodeNo)
		f.WriteGoAway(1, http2.ErrCodeNo, []byte("bye"))
		f.WriteDataPadded(3, true, nil, make([]byte, 3))
	}))
	f.Fuzz(func(t *testing.T, sent []byte) {
		before := buffersOut()
		near, far := net.Pipe()
		go io.Copy(io.Discard, far)
		go func() {
			far.Write(frames(func(f *http2.Framer) { f.WriteSettings() }))
			far.Write(sent)
			far.Close()
		}()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			conn, err := h2.NewClientConn(t.Context(), near, h2.Limits{})
			if err != nil {
				return
			}
			defer conn.Close()
			for i := range 2 {
				s, err := conn.Open(front, nil, false)
				if err != nil {
					return
				}
				_ = s.Write(context.Background(), message(5000), i == 0)
				_, _, _ = s.Header(context.Background())
				body, _, _ := s.ReadWhole(context.Background(), 100)
				body.Free()
				_, _ = collect(context.Background(), s)
				s.Close()
			}
		}()
		within(t, "the client", ended)
		if n := buffersOut() - before; n != 0 {
			t.Errorf("%d buffers are left", n)
		}
	})
}
