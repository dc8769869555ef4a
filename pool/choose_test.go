package pool_test

import (
	"errors"
	"maps"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/pool"
)

// TestClientsStayAndSpread: each client with its node, clients with all of them.
func TestClientsStayAndSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newCluster(t, 3).pool()
		time.Sleep(time.Minute)
		var clients []*client
		for range 60 {
			c := newClient(p)
			clients = append(clients, c)
			first := c.must(t)
			for range 20 {
				if again := c.must(t); again != first {
					t.Fatalf("a client at home at %s was sent to %s", first, again)
				}
			}
		}
		for ip, n := range homes(p) {
			if n < 16 || n > 24 {
				t.Errorf("%d of 60 clients are at home at %s", n, ip)
			}
		}
		for _, c := range clients {
			c.home.Close()
		}
		for ip, n := range homes(p) {
			if n != 0 {
				t.Errorf("%d clients have left %s and are counted", n, ip)
			}
		}
	})
}

// TestCallsAreBurden: who has no home goes where fewer calls are.
func TestCallsAreBurden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newCluster(t, 2).pool()
		time.Sleep(time.Minute)
		busy := p.Nodes()[0]
		for range 10 {
			l, err := busy.Lend(t.Context(), nil, true)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Release()
		}
		for range 30 {
			if n, err := p.Choose(t.Context(), nil); n == busy || err != nil {
				t.Fatalf("a call went to the busy one: %v", err)
			}
		}
	})
}

// TestClosedHomeIsNotCounted: a call that outlives its client has no home to be counted.
func TestClosedHomeIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newCluster(t, 2).pool()
		time.Sleep(time.Minute)
		late := newClient(p)
		late.home.Close()
		late.must(t)
		for ip, n := range homes(p) {
			if n != 0 {
				t.Errorf("%d clients are at home at %s", n, ip)
			}
		}
	})
}

// TestKilledNodeIsLeftAtOnce: its clients go elsewhere with the next call, and their
// shares even out again after it has come back.
func TestKilledNodeIsLeftAtOnce(t *testing.T) {
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
		m.refusing.Store(true)
		m.server.Stop()
		synctest.Wait()
		for _, client := range clients {
			if at := client.must(t); at == m.ip.String() {
				t.Error("a call was answered by the dead")
			}
		}
		if n := homes(p)[m.ip.String()]; n != 0 {
			t.Errorf("%d clients are at home with the dead", n)
		}
		m.start()
		m.refusing.Store(false)
		// It is asked for little first, and for all of its share when it is warm.
		for second := range 30 {
			time.Sleep(time.Second)
			for _, client := range clients {
				client.must(t)
			}
			back := homes(p)[m.ip.String()]
			switch {
			case second < 3 && back > 4:
				t.Errorf("%d of 30 clients are back after %d s", back, second+1)
			case second == 4 && back == 0:
				t.Error("no client is back after 5 s")
			}
		}
		for ip, n := range homes(p) {
			if n != 10 {
				t.Errorf("after its return %d of 30 clients are at home at %s", n, ip)
			}
		}
	})
}

// TestYoungConnectionIsLost: that connections of a node are lost that has just answered is
// no failure to connect, however young they are. Calls wait for the next.
func TestYoungConnectionIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		p := c.pool(c.list(1))
		m := c.member(0)
		for range 5 {
			time.Sleep(500 * time.Millisecond) // HealthCheck is answered at once
			old := m.server
			m.start() // so that nobody is ever refused
			old.Stop()
			synctest.Wait()
			newClient(p).must(t)
		}
	})
}

// TestFewClientsComeBack: that there are few is no reason to leave a node alone.
func TestFewClientsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		p := c.pool(c.list(3))
		m := c.member(2)
		m.refusing.Store(true)
		m.server.Stop()
		time.Sleep(time.Minute)
		var clients []*client
		for range 4 {
			clients = append(clients, newClient(p))
			clients[len(clients)-1].must(t)
		}
		m.start()
		m.refusing.Store(false)
		eventually(t, "one of four clients is back", 7*time.Second, func() bool {
			for _, client := range clients {
				client.must(t)
			}
			return homes(p)[m.ip.String()] == 1
		})
		// And then all stay where they are.
		before := homes(p)
		for range 30 {
			time.Sleep(time.Second)
			for _, client := range clients {
				client.must(t)
			}
			if now := homes(p); !maps.Equal(now, before) {
				t.Fatalf("clients were at home at %v, and are at %v", before, now)
			}
		}
	})
}

// TestNoWaitWhereOthersAreReady: a call whose node has just lost its connections is sent
// elsewhere, unless it has to stay.
func TestNoWaitWhereOthersAreReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2))
		time.Sleep(time.Minute)
		n, m := p.Nodes()[0], c.member(0)
		m.hung.Store(true) // so that connecting takes its time
		m.server.Stop()
		synctest.Wait()
		start := time.Now()
		_, err := n.Lend(t.Context(), nil, false)
		if lost, ok := errors.AsType[*pool.LostError](err); !ok || lost.Sent || time.Since(start) > 0 {
			t.Errorf("it ended with %v after %v", err, time.Since(start))
		}
		_, err = n.Lend(t.Context(), nil, true)
		if _, ok := errors.AsType[*pool.ConnectError](err); !ok || time.Since(start) != 2*time.Second {
			t.Errorf("one that has to stay ended with %v after %v", err, time.Since(start))
		}
	})
}

// TestHungNodeIsFound: one whose sockets are open and that answers nothing is left
// within seconds, and its return is noticed.
func TestHungNodeIsFound(t *testing.T) {
	for _, kind := range []string{"the process is stopped", "calls hang", "calls are too slow"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				p := c.pool(c.list(3))
				time.Sleep(time.Minute)
				m := c.member(2)
				hung := map[string]*atomic.Bool{
					"the process is stopped": &m.hung, "calls hang": &m.stuck, "calls are too slow": &m.late,
				}[kind]
				hung.Store(true)
				start := time.Now()
				for standing(p, m) == pool.Good {
					time.Sleep(10 * time.Millisecond)
					if time.Since(start) > 6*time.Second {
						t.Fatal("it was not noticed within 6 s")
					}
				}
				t.Logf("noticed after %v", time.Since(start))
				for i, n := range p.Nodes() {
					if n.Forsaken() != (i == 2) {
						t.Errorf("%s, which is %v, is to be left: %v", n.Address(), n.Standing(), n.Forsaken())
					}
				}
				for range 30 {
					if newClient(p).must(t) == m.ip.String() {
						t.Error("a client found its home there")
					}
				}
				time.Sleep(20 * time.Second)
				hung.Store(false)
				start = time.Now()
				for standing(p, m) != pool.Good {
					time.Sleep(10 * time.Millisecond)
					if time.Since(start) > 10*time.Second {
						t.Fatal("its return was not noticed within 10 s")
					}
				}
				t.Logf("its return was noticed after %v", time.Since(start))
			})
		})
	}
}

// TestForeignServer: a server at a node's address that is not Qdrant gets no calls,
// however well it answers.
func TestForeignServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2))
		time.Sleep(time.Minute)
		m := c.member(0)
		m.refusing.Store(true)
		m.server.Stop()
		time.Sleep(time.Minute)
		m.foreign.Store(true)
		m.start()
		m.refusing.Store(false)
		time.Sleep(2 * time.Second)
		if s := standing(p, m); s != pool.Sick {
			t.Errorf("a foreign server is %v", s)
		}
		for range 30 {
			newClient(p).must(t)
		}
		m.foreign.Store(false)
		eventually(t, "it is Qdrant again", 2*time.Second, func() bool { return standing(p, m) == pool.Good })
	})
}

// TestNowhereBetter: where no node is better a client stays, and a call is sent to no other.
func TestNowhereBetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		p := c.pool(c.list(3))
		time.Sleep(time.Minute)
		clients := make(map[*client]*pool.Node)
		for range 12 {
			client := newClient(p)
			n, err := p.Choose(t.Context(), client.home)
			if err != nil {
				t.Fatal(err)
			}
			clients[client] = n
		}
		for i := range 3 {
			c.member(i).stuck.Store(true)
		}
		time.Sleep(10 * time.Second)
		c.member(2).server.Stop() // as good as the rest no more
		c.member(2).refusing.Store(true)
		synctest.Wait()
		for client, home := range clients {
			n, err := p.Choose(t.Context(), client.home)
			switch {
			case err != nil:
				t.Error(err)
			case home == p.Nodes()[2] && n == home:
				t.Error("a client stays with a node that is down")
			case home != p.Nodes()[2] && n != home:
				t.Errorf("a client has left %s, which is sick, for %s, which is %v", home.Address(), n.Address(), n.Standing())
			}
		}
		for i, n := range p.Nodes() {
			if n.Forsaken() {
				t.Errorf("%s is to be left, and no other is good", n.Address())
			}
			if other := p.Other(n); i < 2 && other != n || i == 2 && other == n {
				t.Errorf("the other of %s, which is %v, is %s", n.Address(), n.Standing(), other.Address())
			}
		}
	})
}

// standing is that of a member; Gone for one that is not in the set.
func standing(p *pool.Pool, m *member) pool.Standing {
	for _, n := range p.Nodes() {
		if n.Address() == netip.AddrPortFrom(m.ip, 6334).String() {
			return n.Standing()
		}
	}
	return pool.Gone
}

// TestLastResort: with nothing better calls go to nodes that are ill.
func TestLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2))
		time.Sleep(time.Minute)
		c.member(0).refusing.Store(true)
		c.member(0).server.Stop()
		c.member(1).stuck.Store(true)
		time.Sleep(10 * time.Second)
		if s := standing(p, c.member(1)); s != pool.Sick {
			t.Fatalf("a node that hangs is %v", s)
		}
		c.member(1).stuck.Store(false)
		if at := newClient(p).must(t); at != address(1).String() {
			t.Errorf("the call went to %s", at)
		}
	})
}
