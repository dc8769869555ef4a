package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
)

// TestEjection: failures in a row eject a node, longer each time, but never more than
// half of all and never the last.
func TestEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		p := c.pool(c.list(4))
		time.Sleep(time.Minute)
		failure := status.Error(codes.Internal, "sick")
		for i := range 3 {
			c.member(i).sick.Store(&failure)
		}
		ejected := func() (n int) {
			for i := range 4 {
				if standing(p, c.member(i)) == pool.Ejected {
					n++
				}
			}
			return n
		}
		most := 0
		for range 200 {
			newClient(p).call(t.Context(), "x")
			time.Sleep(time.Millisecond)
			most = max(most, ejected())
		}
		if most != 2 {
			t.Errorf("%d of 4 were ejected, want half of them", most)
		}
		for i := range 3 {
			c.member(i).sick.Store(nil)
		}
		time.Sleep(5 * time.Second)
		if n := ejected(); n != 0 {
			t.Errorf("%d are still ejected after 5 s", n)
		}
		if at := standing(p, c.member(3)); at != pool.Good {
			t.Errorf("the one that is well is %v", at)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		p := c.pool(c.list(1))
		failure := status.Error(codes.Internal, "sick")
		c.member(0).sick.Store(&failure)
		client := newClient(p)
		for range 100 {
			client.call(t.Context(), "x")
		}
		if s := standing(p, c.member(0)); s != pool.Good {
			t.Errorf("the only node is %v", s)
		}
	})
}

// TestLastIsNotEjected: neither the only node, nor the only one that is left.
func TestLastIsNotEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		p := c.pool(c.list(3))
		time.Sleep(time.Minute)
		for i := range 2 {
			c.member(i).refusing.Store(true)
			c.member(i).server.Stop()
		}
		failure := status.Error(codes.Internal, "sick")
		c.member(2).sick.Store(&failure)
		synctest.Wait()
		client := newClient(p)
		for range 100 {
			client.call(t.Context(), "x")
		}
		if s := standing(p, c.member(2)); s != pool.Good {
			t.Errorf("the only node that is left is %v", s)
		}
	})
}

// TestEjectionsGrow: a node that is sick whenever it is asked is asked less and less.
func TestEjectionsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2))
		time.Sleep(time.Minute)
		failure := status.Error(codes.Internal, "sick")
		c.member(0).sick.Store(&failure)
		count := func() int64 { return c.member(0).calls.Load() }
		spell := func() int64 {
			before := count()
			for range 600 {
				client := newClient(p)
				client.call(t.Context(), "x")
				client.home.Close()
				time.Sleep(100 * time.Millisecond)
			}
			return count() - before
		}
		early := spell()
		var late int64
		for range 5 {
			late = spell()
		}
		if early == 0 || late >= early/2 {
			t.Errorf("%d calls to the sick node in the first minute, %d in the last", early, late)
		}
	})
}

// TestFailuresInARow: five eject, and one success between them begins anew.
func TestFailuresInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2))
		time.Sleep(time.Minute)
		n := p.Nodes()[0]
		for range 2 {
			for range 4 {
				n.Report(true)
			}
			if s := n.Standing(); s != pool.Good {
				t.Fatalf("after four failures it is %v", s)
			}
			n.Report(false)
		}
		for range 5 {
			n.Report(true)
		}
		if s := n.Standing(); s != pool.Ejected {
			t.Errorf("after five failures in a row it is %v", s)
		}
	})
}

// TestTimesOfEjections: they double from 5 s to 5 min, less up to half that is drawn, and
// begin anew when the node has been well for 5 min.
func TestTimesOfEjections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2))
		time.Sleep(time.Minute)
		n := p.Nodes()[0]
		eject := func() time.Duration {
			for range 5 {
				n.Report(true)
			}
			start := time.Now()
			for n.Standing() == pool.Ejected {
				time.Sleep(time.Millisecond)
			}
			return time.Since(start)
		}
		drawn := make(map[int]bool) // twentieths of the most
		for _, most := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300, 300} {
			most *= time.Second
			took := eject()
			if took < most/2 || took > most+time.Millisecond {
				t.Errorf("%v, want between %v and %v", took, most/2, most)
			}
			drawn[int(20*took/(most+2*time.Millisecond))] = true
			time.Sleep(4 * time.Minute)
		}
		if len(drawn) < 2 {
			t.Errorf("nothing is drawn: %v", drawn)
		}
		time.Sleep(time.Minute + time.Second)
		if took := eject(); took > 5*time.Second+time.Millisecond {
			t.Errorf("%v for a node that was well for 5 min", took)
		}
	})
}

// TestFailuresHaveTheNodeChecked long before it is time for that.
func TestFailuresHaveTheNodeChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		p := c.pool(c.list(2), func(conf *pool.Config) { conf.HealthInterval = time.Hour })
		time.Sleep(time.Minute)
		c.member(0).hung.Store(true)
		p.Nodes()[0].Report(true)
		eventually(t, "it is sick", 2100*time.Millisecond, func() bool { return standing(p, c.member(0)) == pool.Sick })
	})
}

// TestPardonedIsWarmedUp: and so is one that has hung. Clients come back one by one.
func TestPardonedIsWarmedUp(t *testing.T) {
	for name, fall := range map[string]func(*pool.Node, *member) (back func()){
		"ejected": func(n *pool.Node, _ *member) (back func()) {
			for range 5 {
				n.Report(true)
			}
			return func() {}
		},
		"hung": func(_ *pool.Node, m *member) (back func()) {
			m.stuck.Store(true)
			return func() { m.stuck.Store(false) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3, tolerant)
				p := c.pool(c.list(3))
				time.Sleep(time.Minute)
				n, m := p.Nodes()[1], c.member(1)
				back := fall(n, m)
				eventually(t, "it falls", 6*time.Second, func() bool { return n.Standing() != pool.Good })
				var clients []*client
				for range 30 {
					clients = append(clients, newClient(p))
					clients[len(clients)-1].must(t)
				}
				back()
				eventually(t, "it is good", 6*time.Second, func() bool { return n.Standing() == pool.Good })
				for second := range 15 {
					time.Sleep(time.Second)
					for _, client := range clients {
						client.must(t)
					}
					if there := homes(p)[m.ip.String()]; second < 3 && there > 4 || second == 14 && there != 10 {
						t.Errorf("%d of 30 clients are there after %d s", there, second+1)
					}
				}
			})
		})
	}
}
