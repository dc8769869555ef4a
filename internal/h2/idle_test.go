package h2_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/internal/h2"
)

// A connection is told to go away once it has had no stream for a while, however
// it had them before. What a client does meanwhile does not count, unless it is a
// call.
func TestIdle(t *testing.T) {
	const idle = 8 * time.Minute
	for _, test := range []struct {
		name string
		use  func(t *testing.T, conn *h2.ClientConn)
	}{
		{"never used", func(*testing.T, *h2.ClientConn) {}},
		{"one call", func(t *testing.T, conn *h2.ClientConn) { answered(t, conn) }},
		{"a call now and then", func(t *testing.T, conn *h2.ClientConn) {
			for range 20 {
				answered(t, conn)
				time.Sleep(idle - time.Second)
			}
			answered(t, conn)
		}},
		{"a long call", func(t *testing.T, conn *h2.ClientConn) {
			s := open(t, conn, false)
			time.Sleep(10*idle + time.Second)
			s.Close()
		}},
		{"keepalives", func(t *testing.T, conn *h2.ClientConn) {
			answered(t, conn)
			go func() {
				for {
					select {
					case <-conn.Down():
						return
					case <-time.After(time.Second):
						_, _ = conn.Ping(t.Context()) // its failure is the connection's
					}
				}
			}()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := bubbled(t, h2.Limits{Idle: idle, FirstStream: 24 * time.Hour})
				test.use(t, conn)
				select {
				case <-conn.Down():
					t.Fatal("while it was used")
				default:
				}
				start := time.Now()
				<-conn.Down()
				if took := time.Since(start); took < idle || took > idle*9/8 {
					t.Errorf("told to go away after %v without a stream, want %v", took, idle)
				}
			})
		})
	}
	t.Run("off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := bubbled(t, h2.Limits{})
			answered(t, conn)
			time.Sleep(24 * time.Hour)
			answered(t, conn)
		})
	})
}

// bubbled connects a client to a server of its own, in memory.
func bubbled(t *testing.T, limits h2.Limits) *h2.ClientConn {
	t.Helper()
	server := h2.NewServer(h2.ServerConfig{Limits: limits, Handle: echo})
	t.Cleanup(server.Close)
	near, far := net.Pipe()
	go server.ServeConn(far, nil)
	conn, err := h2.NewClientConn(t.Context(), near, h2.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// answered makes one call.
func answered(t *testing.T, conn *h2.ClientConn) {
	t.Helper()
	s := open(t, conn, true)
	defer s.Close()
	if _, err := collect(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}
