package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/pool"
)

// eventually waits, in fake time, for what must be so soon.
func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			t.Fatalf("%s: not within %v", what, within)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestDNS: what it adds is used within its interval, what it drops drains, and no
// failure of it does harm.
func TestDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 5)
		c.says(nil, 0, 1, 2)
		p := c.pool()
		spread := func(share float64, members ...int) {
			t.Helper()
			counts := make(map[string]int)
			var clients []*client
			for range 300 {
				client := newClient(p)
				clients = append(clients, client)
				counts[client.must(t)]++
			}
			for _, client := range clients {
				client.home.Close()
			}
			for _, i := range members {
				if n := float64(counts[address(i).String()]); n < 0.8*share || n > 1.2*share {
					t.Errorf("%v of 300 clients went to %d, want %v", n, i, share)
				}
			}
			if len(counts) != len(members) {
				t.Errorf("clients went to %v", counts)
			}
		}
		time.Sleep(time.Minute)
		spread(100, 0, 1, 2)
		c.says(nil, 4, 3, 2, 1, 0)
		time.Sleep(11*time.Second + 12*time.Second) // found, and warm
		spread(60, 0, 1, 2, 3, 4)

		// A call that is under way on a node that is dropped ends well.
		slow := make(chan error, 5)
		for range 5 {
			client := newClient(p)
			go func() { _, err := client.call(t.Context(), "slow"); slow <- err }()
		}
		synctest.Wait()
		c.says(nil, 0, 1)
		time.Sleep(11 * time.Second)
		if n := len(p.Nodes()); n != 2 {
			t.Fatalf("%d nodes, want 2", n)
		}
		spread(150, 0, 1)
		for range 5 {
			if err := <-slow; err != nil {
				t.Errorf("a call on a node that was dropped: %v", err)
			}
		}
		time.Sleep(time.Second)
		for i := 2; i < 5; i++ {
			if n := c.member(i).open.Load(); n != 0 {
				t.Errorf("%d connections to a node that was dropped", n)
			}
		}
		if n := len(p.State().Endpoints); n != 2 {
			t.Errorf("%d endpoints are shown", n)
		}

		for _, fail := range []error{errors.New("SERVFAIL"), context.DeadlineExceeded, nil} {
			c.says(fail)
			time.Sleep(time.Minute)
			if n := len(p.Nodes()); n != 2 {
				t.Errorf("after %v from DNS there are %d nodes", fail, n)
			}
			newClient(p).must(t)
		}
	})
}

// TestEmptyAnswerOfDNS: it is no answer, also while nobody is well.
func TestEmptyAnswerOfDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool()
		time.Sleep(time.Minute)
		for i := range 2 {
			c.member(i).refusing.Store(true)
			c.member(i).server.Stop()
		}
		c.says(nil)
		time.Sleep(time.Minute)
		if n := len(p.Nodes()); n != 2 {
			t.Errorf("there are %d nodes, want the 2 of the last answer", n)
		}
	})
}

// TestTimesOfQueries are drawn, so that the sidecars of a cluster do not ask together.
func TestTimesOfQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		var asked []time.Time
		p := c.pool(func(conf *pool.Config) {
			conf.Resolver.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
				asked = append(asked, time.Now())
				return c.lookup(ctx, name)
			}
		})
		time.Sleep(5 * time.Minute)
		p.Close()
		distinct := make(map[time.Duration]bool)
		for i := 2; i < len(asked); i++ {
			pause := asked[i].Sub(asked[i-1])
			if pause < 9*time.Second || pause > 11*time.Second {
				t.Errorf("%v between two queries", pause)
			}
			distinct[pause] = true
		}
		if len(distinct) < 10 {
			t.Errorf("the times between queries were %v", distinct)
		}
	})
}

// TestFlappingDNS drops a node and brings it back while it drains: its places stay
// the same ones.
func TestFlappingDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.add(1)
		p := c.pool(func(conf *pool.Config) { conf.Size = 1 })
		time.Sleep(time.Minute)
		m := c.member(1)
		for round := range 5 {
			client := newClient(p)
			for client.must(t) != m.ip.String() {
				client.home.Close()
				client = newClient(p)
			}
			ended := make(chan error)
			go func() { _, err := client.call(t.Context(), "slow"); ended <- err }()
			synctest.Wait()
			c.says(nil, 0)
			eventually(t, "the node goes", 12*time.Second, func() bool { return len(p.Nodes()) == 1 })
			c.says(nil, 0, 1)
			eventually(t, "the node comes back", 12*time.Second, func() bool { return len(p.Nodes()) == 2 })
			if err := <-ended; err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			eventually(t, "the node is good", 12*time.Second, func() bool { return standing(p, m) == pool.Good })
			client.home.Close()
			time.Sleep(time.Minute)
		}
		if n := m.most.Load(); n != 1 {
			t.Errorf("there were %d connections at once, want 1", n)
		}
	})
}

// TestDNSIsAskedWhenConnectionsFail: not later than it must be, and not too often.
func TestDNSIsAskedWhenConnectionsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.says(nil, 0, 1)
		p := c.pool()
		time.Sleep(time.Minute)
		newClient(p).must(t)
		// Both get new addresses, as pods do.
		for i := range 2 {
			c.member(i).hung.Store(true)
			c.member(i).server.Stop()
		}
		c.says(nil, 2)
		start := time.Now()
		eventually(t, "the new address", 1100*time.Millisecond, func() bool { return standing(p, c.member(2)) == pool.Good })
		t.Logf("found after %v", time.Since(start))

		c.member(2).refusing.Store(true)
		c.member(2).server.Stop()
		c.mu.Lock()
		before := c.asked
		c.mu.Unlock()
		time.Sleep(time.Minute)
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := c.asked - before; n > 61 {
			t.Errorf("DNS was asked %d times in a minute", n)
		}
	})
}

// TestDNSIsAskedWhenNothingConnects: the first answer may be an old one.
func TestDNSIsAskedWhenNothingConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		c.member(0).refusing.Store(true)
		c.says(nil, 0)
		p := c.pool()
		time.Sleep(100 * time.Millisecond)
		c.says(nil, 1)
		eventually(t, "the right address", 2*time.Second, func() bool { return standing(p, c.member(1)) == pool.Good })
	})
}

// TestTooManyAddresses: a DNS server does not decide how many connections there are.
func TestTooManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		for i := range 1000 {
			c.dns = append(c.dns, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
		}
		p := c.pool()
		time.Sleep(time.Minute)
		if n := len(p.Nodes()); n != 128 {
			t.Errorf("%d nodes, want 128", n)
		}
		newClient(p).must(t)
	})
}

// TestOddAnswersOfDNS: one that never comes is given up, and who is named twice, once as an
// IPv4 address in IPv6, is one node.
func TestOddAnswersOfDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		c.says(nil, 0)
		p := c.pool()
		time.Sleep(time.Minute)
		c.says(context.DeadlineExceeded)
		time.Sleep(12 * time.Second) // a query is under way
		c.says(nil, 0, 1, 1)
		c.mu.Lock()
		c.dns = append(c.dns, netip.AddrFrom16(address(0).As16()))
		c.mu.Unlock()
		eventually(t, "the second node", 17*time.Second, func() bool { return len(p.Nodes()) > 1 })
		if n := len(p.Nodes()); n != 2 {
			t.Errorf("%d nodes, want 2", n)
		}
	})
}

// TestDNSLies: an answer of which nobody can be reached changes nothing, and one that
// moves everything does so when there is somebody at the new place.
func TestDNSLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.says(nil, 0, 1)
		p := c.pool()
		time.Sleep(time.Minute)
		client := newClient(p)
		home := client.must(t)
		for i := 2; i < 4; i++ {
			c.member(i).refusing.Store(true)
		}
		c.says(nil, 2, 3)
		for range 60 {
			time.Sleep(time.Second)
			if at := client.must(t); at != home {
				t.Fatalf("a call went to %s, and its home is %s", at, home)
			}
			newClient(p).must(t)
		}
		if n := len(p.Nodes()); n != 4 {
			t.Errorf("there are %d nodes, want the old ones and those of the answer", n)
		}
		c.member(3).refusing.Store(false)
		eventually(t, "the cluster has moved", 4*time.Second, func() bool { return len(p.Nodes()) == 2 })
		if at := client.must(t); at != address(3).String() {
			t.Errorf("a call went to %s", at)
		}
	})
}

// TestNoDNS: without a first answer calls fail with the reason, at once after the
// first attempt, and go on as soon as there is one.
func TestNoDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.says(&net.DNSError{Err: "no such host", Name: "qdrant.test", IsNotFound: true})
		p := c.pool()
		_, err := newClient(p).call(t.Context(), "x")
		connect, ok := errors.AsType[*pool.ConnectError](err)
		if !ok || connect.Reason != "no such host" || connect.Address != "qdrant.test:6334" {
			t.Fatalf("got %v", err)
		}
		c.says(nil, 0)
		time.Sleep(2 * time.Second)
		newClient(p).must(t)
	})
}

// TestBothFamilies: addresses of either are nodes.
func TestBothFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		m := c.add(1)
		six := netip.MustParseAddr("fd00::1")
		c.mu.Lock()
		c.nodes[six], c.dns = m, []netip.Addr{six, address(0)}
		c.mu.Unlock()
		p := c.pool()
		time.Sleep(time.Minute)
		var found []string
		for _, n := range p.Nodes() {
			found = append(found, n.Address())
			if n.Standing() != pool.Good {
				t.Errorf("%s is %v", n.Address(), n.Standing())
			}
		}
		if fmt.Sprint(found) != "[10.0.0.0:6334 [fd00::1]:6334]" {
			t.Errorf("the nodes are %v", found)
		}
	})
}
