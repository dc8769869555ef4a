package faultwire_test

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

// FuzzPeer throws bytes at both ends: whatever a peer writes, the connection
// ends and nothing panics or hangs.
func FuzzPeer(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00" + // INITIAL_WINDOW_SIZE 0
		"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x82" + // HEADERS, stream 1
		"\x00\x00\x05\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00" + // DATA with END_STREAM
		"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08")) // RST_STREAM
	f.Add([]byte("\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff")) // WINDOW_UPDATE too far
	f.Add([]byte("\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0b"))

	f.Fuzz(func(t *testing.T, wire []byte) {
		srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
			s.NextMessage(s.Context())
			s.Answer(nil)
		}})
		tcp, err := net.Dial("tcp", srv.Addr())
		if err != nil {
			t.Fatal(err)
		}
		tcp.SetDeadline(time.Now().Add(patience))
		tcp.Write(append([]byte(http2.ClientPreface), wire...))
		tcp.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, tcp)
		tcp.Close()

		liar := listenAndWrite(t, wire)
		conn, err := faultwire.Dial(bounded(t), liar)
		if err != nil {
			t.Fatal(err)
		}
		conn.Call(bounded(t), faultwire.GRPCRequest("/a.B/C"), faultwire.Prefixed(pattern(1<<17)))
		conn.Close()
	})
}

// listenAndWrite meets one connection with fixed bytes and closes it.
func listenAndWrite(t *testing.T, wire []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tcp, err := listener.Accept()
		if err != nil {
			return
		}
		defer tcp.Close()
		tcp.SetDeadline(time.Now().Add(patience))
		tcp.Write(wire)
		tcp.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, tcp)
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr().String()
}
