package pool_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/pool"
)

// TestPing: the round trip is known soon after somebody asks, long before it is time
// for the next PING.
func TestPing(t *testing.T) {
	u := newUpstream(t, echo)
	p := pool.New(pool.Config{
		Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: u.dial}}, Size: 1, PingInterval: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(p.Close)
	if _, err := call(t.Context(), p, "hello"); err != nil {
		t.Fatal(err)
	}
	roundTrip := func() time.Duration { return p.State().Endpoints[0].Connections[0].RoundTrip }
	if got := roundTrip(); got != 0 {
		t.Errorf("a round trip of %v that nobody has measured", got)
	}
	p.Ping()
	tick, late := time.NewTicker(time.Millisecond), time.After(patience)
	defer tick.Stop()
	for roundTrip() == 0 {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no round trip within %v", patience)
		}
	}
}

// TestBusyConnectionsAreAlive: from a server whose answer to a PING is long in coming,
// behind all that comes before it, other things come, and the connection stays. When
// nothing comes any more it ends, as soon as if it had been pinged then.
func TestBusyConnectionsAreAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silence := make(chan struct{})
		p := pool.New(pool.Config{
			Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: func(context.Context) (net.Conn, error) { return chatty(silence), nil }}},
			Size:      1, Logger: slog.New(slog.DiscardHandler),
		})
		t.Cleanup(p.Close)
		dead := func() uint64 {
			synctest.Wait()
			return p.State().Endpoints[0].Ended[pool.ConnDead]
		}
		time.Sleep(2*time.Minute + time.Second/2)
		if n := dead(); n != 0 {
			t.Errorf("%d connections are taken for dead on which something comes every second", n)
		}
		close(silence)
		time.Sleep(4 * time.Second)
		if n := dead(); n != 0 {
			t.Errorf("%d connections are taken for dead after 4 s", n)
		}
		time.Sleep(2 * time.Second)
		if n := dead(); n != 1 {
			t.Errorf("%d connections are taken for dead after 6 s, want 1", n)
		}
	})
}

// chatty is a connection to a server that says something every second, until it falls
// silent, and never answers a PING.
func chatty(silence <-chan struct{}) net.Conn {
	near, far := net.Pipe()
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, far)
	}()
	go func() {
		defer far.Close()
		framer := http2.NewFramer(far, nil)
		_ = framer.WriteSettings()
		_ = framer.WriteSettingsAck()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = framer.WriteWindowUpdate(0, 1)
			case <-silence:
				<-over
				return
			case <-over:
				return
			}
		}
	}()
	return near
}
