package pool_test

import (
	"log/slog"
	"testing"
	"time"

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
