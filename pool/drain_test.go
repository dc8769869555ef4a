package pool_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/pool"
)

// at is the address of a member's endpoint.
func at(i int) string { return netip.AddrPortFrom(address(i), 6334).String() }

// TestDrain: nothing new goes to a drained node, what is there ends, and its clients
// are at home elsewhere until it is back.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		p := c.pool(c.list(3))
		time.Sleep(time.Minute)
		var clients []*client
		for range 30 {
			clients = append(clients, newClient(p))
			clients[len(clients)-1].must(t)
		}
		m := c.member(1)
		var slow sync.WaitGroup
		for _, client := range clients {
			slow.Go(func() {
				if _, err := client.call(t.Context(), "slow"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		state, err := p.Drain(at(1), false)
		if err != nil || state.Standing != pool.Drained {
			t.Fatalf("%+v, %v", state, err)
		}
		if _, err := p.Drain(at(1), false); err != nil {
			t.Errorf("once more: %v", err)
		}
		synctest.Wait()
		if n := m.open.Load(); n == 0 {
			t.Error("a connection was closed that carried calls")
		}
		before := m.calls.Load()
		for range 10 {
			for _, client := range clients {
				client.must(t)
			}
		}
		if n := m.calls.Load() - before; n > 0 {
			t.Errorf("%d calls went to a drained node", n)
		}
		if n := homes(p)[m.ip.String()]; n > 0 {
			t.Errorf("%d clients are at home at a drained node", n)
		}
		slow.Wait()
		time.Sleep(time.Minute)
		if n := m.open.Load(); n > 0 {
			t.Errorf("%d connections to a drained node without calls", n)
		}
		if s := p.State(); s.Ready(time.Second) != 2 || s.Drained() != 1 {
			t.Errorf("%d ready and %d drained", s.Ready(time.Second), s.Drained())
		}

		if state, err = p.Undrain(at(1)); err != nil || state.Standing == pool.Drained {
			t.Fatalf("%+v, %v", state, err)
		}
		if _, err := p.Undrain(at(1)); err != nil {
			t.Errorf("once more: %v", err)
		}
		time.Sleep(time.Minute)
		for _, client := range clients {
			client.must(t)
		}
		if n := homes(p)[m.ip.String()]; n != 10 {
			t.Errorf("%d of 30 clients are at home at the node that is back", n)
		}
		if n := m.most.Load(); n > 2 {
			t.Errorf("%d connections at once", n)
		}
	})
}

// TestUndrainWhileDraining: the bound holds, and what drains has its time.
func TestUndrainWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2), func(conf *pool.Config) { conf.Size = 1 })
		time.Sleep(time.Minute)
		m := c.member(0)
		var slow sync.WaitGroup
		for m.calls.Load() == 0 {
			slow.Go(func() {
				if _, err := newClient(p).call(t.Context(), "slow"); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for range 3 {
			if _, err := p.Drain(at(0), false); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if _, err := p.Undrain(at(0)); err != nil {
				t.Fatal(err)
			}
			newClient(p).must(t)
		}
		slow.Wait()
		time.Sleep(time.Minute)
		if n, most := m.open.Load(), m.most.Load(); n != 1 || most != 1 {
			t.Errorf("%d connections, %d at most", n, most)
		}
		if s := p.State().Endpoints[0].Standing; s != pool.Good {
			t.Errorf("it is %v", s)
		}
	})
}

// TestDrainLast is refused, unless forced: then calls are told why they fail.
func TestDrainLast(t *testing.T) {
	for _, members := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, members)
			p := c.pool(c.list(members))
			time.Sleep(time.Minute)
			for i := 1; i < members; i++ {
				if _, err := p.Drain(at(i), false); err != nil {
					t.Fatal(err)
				}
			}
			client := newClient(p)
			if _, err := p.Drain(at(0), false); !errors.Is(err, pool.ErrLastGood) {
				t.Fatalf("the last one: %v", err)
			}
			client.must(t)
			if _, err := p.Drain(at(0), true); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err := client.call(t.Context(), "x")
			failure, ok := errors.AsType[*pool.ConnectError](err)
			if !ok || !strings.Contains(failure.Reason, "drained") || time.Since(start) > 0 {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			if _, err := p.Undrain(at(0)); err != nil {
				t.Fatal(err)
			}
			client.must(t)
		})
	}
}

// TestDrainWhileOthersAreDown: a node that is down is no reason to drain the one that
// is good, and a drained one is not asked for its sake.
func TestDrainWhileOthersAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2))
		time.Sleep(time.Minute)
		down := func() {
			c.member(0).refusing.Store(true)
			c.member(0).server.Stop()
			time.Sleep(time.Minute)
		}
		if _, err := p.Drain(at(1), false); err != nil {
			t.Fatal(err)
		}
		down()
		if answer, err := newClient(p).call(t.Context(), "x"); err == nil {
			t.Errorf("a drained node was asked: %s", answer)
		}
		if _, err := p.Undrain(at(1)); err != nil {
			t.Fatal(err)
		}
		newClient(p).must(t)
		if _, err := p.Drain(at(1), false); !errors.Is(err, pool.ErrLastGood) {
			t.Errorf("the last good one: %v", err)
		}
	})
}

// TestDrainUnknown names the endpoints that there are.
func TestDrainUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2))
		for name, act := range map[string]func() error{
			"drain":     func() error { _, err := p.Drain("nowhere:1", true); return err },
			"undrain":   func() error { _, err := p.Undrain("nowhere:1"); return err },
			"reconnect": func() error { _, err := p.Reconnect(t.Context(), "nowhere:1"); return err },
		} {
			if err := act(); !errors.Is(err, pool.ErrNoEndpoint) || !strings.Contains(err.Error(), at(0)) || !strings.Contains(err.Error(), at(1)) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestDrainedNodeOfName: what DNS drops is forgotten, drained or not.
func TestDrainedNodeOfName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		p := c.pool()
		time.Sleep(time.Minute)
		if _, err := p.Drain(at(2), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // DNS says the same, many times
		standings := func() (found []pool.Standing) {
			for _, e := range p.State().Endpoints {
				found = append(found, e.Standing)
			}
			return found
		}
		if got := standings(); !slices.Equal(got, []pool.Standing{pool.Good, pool.Good, pool.Drained}) {
			t.Errorf("%v", got)
		}
		c.says(nil, 0, 1)
		time.Sleep(time.Minute)
		c.says(nil, 0, 1, 2)
		time.Sleep(time.Minute)
		if got := standings(); !slices.Equal(got, []pool.Standing{pool.Good, pool.Good, pool.Good}) {
			t.Errorf("%v", got)
		}
	})
}
