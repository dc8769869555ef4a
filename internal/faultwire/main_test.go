package faultwire_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"qdrant-sidecar/internal/faultwire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 2 * time.Minute

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// serve starts srv and closes it with the test.
func serve(t testing.TB, srv *faultwire.Server) *faultwire.Server {
	t.Helper()
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func dial(t testing.TB, srv *faultwire.Server) *faultwire.Conn {
	t.Helper()
	conn, err := faultwire.Dial(bounded(t), srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func open(t testing.TB, conn *faultwire.Conn, path string) *faultwire.Stream {
	t.Helper()
	s, err := conn.Open(faultwire.GRPCRequest(path), false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// next takes the stream's next event, which must be an E.
func next[E faultwire.StreamEvent](t testing.TB, s *faultwire.Stream) E {
	t.Helper()
	event, err := s.Next(bounded(t))
	if err != nil {
		t.Fatalf("next event: %v", err)
	}
	e, ok := event.(E)
	if !ok {
		t.Fatalf("next event is %#v, want a %T", event, e)
	}
	return e
}

// nextOf skips a connection's events until an E.
func nextOf[E faultwire.ConnEvent](t testing.TB, c *faultwire.Conn) E {
	t.Helper()
	for {
		event, err := c.Next(bounded(t))
		if err != nil {
			var e E
			t.Fatalf("waiting for a %T: %v", e, err)
		}
		if e, ok := event.(E); ok {
			return e
		}
	}
}

// pattern is n bytes that show a piece lost, doubled or moved.
func pattern(n int) []byte {
	return bytes.Repeat([]byte("0123456789abcdef#"), n/17+1)[:n]
}
