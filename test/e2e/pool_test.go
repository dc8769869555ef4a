package e2e_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/qdrant/go-client/qdrant"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/test/sidecar"
)

// crowd are calls that hang in an upstream until its gate opens.
type crowd struct {
	t      *testing.T
	client *qdrant.Client
	gate   *gate
	calls  sync.WaitGroup
	failed chan error
}

func newCrowd(t *testing.T, address string, g *gate) *crowd {
	t.Helper()
	return &crowd{t: t, client: newClient(t, address), gate: g, failed: make(chan error, 4096)}
}

// grow starts n more calls and waits until the upstream has them.
func (c *crowd) grow(ctx context.Context, n int) {
	c.t.Helper()
	for range n {
		c.calls.Go(func() {
			if _, err := c.client.Count(ctx, &qdrant.CountPoints{CollectionName: "c"}); err != nil {
				c.failed <- err
			}
		})
	}
	for range n {
		receive(c.t, "arrival of a call at the upstream", c.gate.arrived)
	}
}

// disperse lets all calls go, each of which must end well.
func (c *crowd) disperse() {
	c.t.Helper()
	close(c.gate.open)
	c.calls.Wait()
	close(c.failed)
	for err := range c.failed {
		c.t.Error(err)
	}
}

// inFlight returns the calls on each open connection, in the pool's order.
func inFlight(t testing.TB, s *sidecar.Sidecar) []int {
	t.Helper()
	info, err := adminv1.NewAdminServiceClient(newConn(t, s.Admin)).GetInfo(bounded(t), &adminv1.GetInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var calls []int
	for _, conn := range info.GetPool().GetEndpoints()[0].GetConnections() {
		if conn.GetState() == adminv1.Connection_STATE_READY {
			calls = append(calls, int(conn.GetInFlight()))
		}
	}
	return calls
}

// TestPoolSize holds that there are never more connections than configured, and
// that they are opened as they are needed.
func TestPoolSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 3, 5} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			g := newGate()
			u := newUpstream(t, g.hold)
			s := sidecar.Start(t, sidecar.Options{
				Upstream: u.url(), Admin: true, Env: []string{"QDRANT_POOL_SIZE=" + strconv.Itoa(size)},
				Args: []string{"--max-concurrent-calls=0"}, // otherwise 100 a connection
			})
			c := newCrowd(t, s.GRPC, g)
			ctx := bounded(t)
			c.grow(ctx, 1000)
			// A connection is opened for a call that finds all others full, and
			// the thousand may be there before the last connection is.
			eventually(t, "all connections", func() error {
				c.grow(ctx, 1)
				if got := inFlight(t, s); len(got) != size {
					return fmt.Errorf("calls on the connections: %v", got)
				}
				return nil
			})
			c.grow(ctx, 100)
			c.disperse()
			if got := u.accepted.Load(); got != int64(size) {
				t.Errorf("%d connections were opened in all, want %d", got, size)
			}
		})
	}
}

// TestPoolFillsInOrder holds that calls share the first connection until it has
// a hundred.
func TestPoolFillsInOrder(t *testing.T) {
	t.Parallel()
	g := newGate()
	u := newUpstream(t, g.hold)
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Admin: true})
	ctx := bounded(t)
	c := newCrowd(t, s.GRPC, g)
	for range 200 {
		if _, err := c.client.HealthCheck(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := u.accepted.Load(); got != 1 {
		t.Errorf("%d connections for one call at a time", got)
	}
	c.grow(ctx, 100)
	if got := u.accepted.Load(); got != 1 {
		t.Errorf("%d connections for 100 calls at once", got)
	}
	// The call that finds the first one full is not made to wait for the second.
	c.grow(ctx, 1)
	eventually(t, "a second connection", func() error {
		if got := inFlight(t, s); len(got) != 2 {
			return fmt.Errorf("calls on the connections: %v", got)
		}
		return nil
	})
	c.grow(ctx, 99)
	if got := inFlight(t, s); len(got) != 2 || got[0] < 100 || got[0]+got[1] != 200 {
		t.Errorf("200 calls are spread as %v", got)
	}
	c.disperse()
	if got := u.accepted.Load(); got != 2 {
		t.Errorf("%d connections were opened in all, want 2", got)
	}
}
