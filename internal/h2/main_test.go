package h2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// buffersOut and bytesOut are what the engine holds.
func buffersOut() int64 { n, _ := h2.BuffersInUse(); return n }
func bytesOut() int64   { _, bytes := h2.BuffersInUse(); return bytes }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if n := buffersOut(); n != 0 && code == 0 {
			fmt.Fprintf(os.Stderr, "%d buffers were not freed\n", n)
			code = 1
		}
		os.Exit(code)
	}))
}

// patience bounds every wait for something that must happen.
const patience = 2 * time.Minute

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// serve runs the engine's server on TCP until the test ends.
func serve(t testing.TB, cfg h2.ServerConfig) (server *h2.Server, addr string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server = h2.NewServer(cfg)
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(nc, nil)
		}
	}()
	t.Cleanup(func() {
		lis.Close()
		<-accepting
		server.Close()
	})
	return server, lis.Addr().String()
}

// raw opens a raw connection.
func raw(t testing.TB, addr string, settings ...http2.Setting) *faultwire.Conn {
	t.Helper()
	conn, err := faultwire.Dial(bounded(t), addr, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// dial opens a connection with the engine's client.
func dial(t testing.TB, addr string) *h2.ClientConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := h2.NewClientConn(bounded(t), nc, h2.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// scripted runs a raw server and the engine's client against it.
func scripted(t testing.TB, server *faultwire.Server) *h2.ClientConn {
	t.Helper()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return dial(t, server.Addr())
}

// front are the pseudo-fields of every request here.
var front = h2.Fields{
	{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"},
	{Name: ":path", Value: "/a/B"}, {Name: ":authority", Value: "x"},
}

func open(t testing.TB, conn *h2.ClientConn, end bool) *h2.Stream {
	t.Helper()
	s, err := conn.Open(front, nil, end)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// called makes a call in one go.
func called(ctx context.Context, conn *h2.ClientConn, fields h2.Fields, body mem.BufferSlice, limit int) (s *h2.Stream, answer h2.Answer, err error) {
	if s, err = conn.Call(ctx, front, fields, body, limit); err == nil {
		err = s.Answer(ctx, &answer)
	}
	return s, answer, err
}

// message makes bytes that can be told from others and given to Write.
func message(n int) mem.BufferSlice {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}
}

// echo answers with what it was sent, piece by piece, and with the request's
// trailer, if there was one.
func echo(s *h2.Stream) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.OnEnd(func(error) { cancel() })
	if err := s.WriteHeader(nil, h2.Fields{{Name: ":status", Value: "200"}}, false); err != nil {
		return
	}
	for {
		data, err := s.Read(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = s.Write(ctx, data, false)
			data.Free()
		}
		if err != nil {
			return
		}
	}
	if trailer := s.Trailer(); trailer != nil {
		_ = s.WriteHeader(nil, trailer, true)
		return
	}
	_ = s.Write(ctx, nil, true)
}

// collect reads a stream to its end.
func collect(ctx context.Context, s *h2.Stream) ([]byte, error) {
	var all []byte
	for {
		data, err := s.Read(ctx)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, data.Materialize()...)
		data.Free()
	}
}

// frames makes the bytes of frames.
func frames(write func(*http2.Framer)) []byte {
	var b bytes.Buffer
	framer := http2.NewFramer(&b, nil)
	framer.AllowIllegalWrites = true
	write(framer)
	return b.Bytes()
}

// block compresses fields without touching the dynamic table, so that it can be
// sent anywhere in a connection.
func block(fields faultwire.Fields) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range fields {
		f.Sensitive = true
		_ = enc.WriteField(f)
	}
	return b.Bytes()
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		<-tick.C
	}
}

// goAway waits for the peer's GOAWAY; ok is false when the connection ended
// without.
func goAway(t testing.TB, conn *faultwire.Conn) (g faultwire.GoAway, ok bool) {
	t.Helper()
	for {
		event, err := conn.Next(bounded(t))
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return g, false
		}
		if g, ok := event.(faultwire.GoAway); ok {
			return g, true
		}
	}
}
