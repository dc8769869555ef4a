package pool_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/pool"
)

// TestIdleConnectionsClose: but not the last one, and none that is used.
func TestIdleConnectionsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		p := c.pool(c.list(1), func(conf *pool.Config) { conf.Size, conf.IdleTimeout = 3, time.Minute })
		var calls sync.WaitGroup
		for range 250 {
			calls.Go(func() { newClient(p).call(t.Context(), "slow") })
			synctest.Wait()
		}
		calls.Wait()
		if n := c.member(0).open.Load(); n != 3 {
			t.Fatalf("%d connections, want 3", n)
		}
		time.Sleep(20 * time.Second)
		if n := c.member(0).open.Load(); n != 3 {
			t.Errorf("%d connections are left before the time is over", n)
		}
		for range 10 { // one is used, and stays
			time.Sleep(10 * time.Second)
			newClient(p).must(t)
		}
		time.Sleep(time.Hour)
		if n := c.member(0).open.Load(); n != 1 {
			t.Errorf("%d connections are left, want 1", n)
		}
		newClient(p).must(t)
		if n := c.member(0).dialed.Load(); n != 3 {
			t.Errorf("%d connections were opened, want 3", n)
		}
	})
}

// TestUsedConnectionsStay: one is used that carries calls, or one long call.
func TestUsedConnectionsStay(t *testing.T) {
	for name, long := range map[string]bool{"calls": false, "a long call": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 1)
				p := c.pool(c.list(1), func(conf *pool.Config) { conf.IdleTimeout = time.Minute })
				time.Sleep(time.Second)
				first, err := pick(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				defer first.Release()
				for range 30 {
					second, err := pickOther(t.Context(), p, first)
					if err != nil {
						t.Fatal(err)
					}
					if second.Connection() == first.Connection() {
						t.Fatal("there is no second connection")
					}
					if long {
						time.Sleep(5 * time.Minute)
					}
					second.Release()
					time.Sleep(10 * time.Second)
					if n, ready := c.member(0).dialed.Load(), p.State().Endpoints[0].Ready(); n != 2 || ready != 2 {
						t.Fatalf("%d connections were opened, and %d take calls, want 2", n, ready)
					}
				}
			})
		})
	}
}

// TestAgesAreDrawn: connections that were opened together do not end together.
func TestAgesAreDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes, age = 10, 10 * time.Minute
		c := newCluster(t, nodes)
		p := c.pool(c.list(nodes), func(conf *pool.Config) { conf.MaxAge = age })
		time.Sleep(age - age/10 - time.Second)
		ended := make(map[string]time.Duration)
		for start := time.Now(); time.Since(start) < age/5+3*time.Second; time.Sleep(time.Second) {
			for _, e := range p.State().Endpoints {
				if _, over := ended[e.Address]; !over && e.Ended[pool.ConnOld] > 0 {
					ended[e.Address] = time.Since(start)
				}
			}
		}
		distinct := make(map[time.Duration]bool)
		for _, at := range ended {
			distinct[at.Truncate(5*time.Second)] = true
		}
		if len(ended) != nodes || len(distinct) < 3 {
			t.Errorf("they ended at %v", ended)
		}
	})
}

// TestOldConnectionsAreReplaced: whatever the size, no call fails or waits, and there
// is never a connection too many.
func TestOldConnectionsAreReplaced(t *testing.T) {
	for _, size := range []int{1, 2, 5} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 1)
			p := c.pool(c.list(1), func(conf *pool.Config) { conf.Size, conf.MaxAge = size, 10*time.Minute })
			client := newClient(p)
			for range 6 * 60 * 10 {
				start := time.Now()
				client.must(t)
				if took := time.Since(start); took > 0 {
					t.Fatalf("size %d: a call took %v", size, took)
				}
				time.Sleep(time.Second)
				for _, conn := range p.State().Endpoints[0].Connections {
					if age := time.Since(conn.Opened); conn.State == pool.Ready && age > 11*time.Minute+5*time.Second {
						t.Fatalf("size %d: a connection is %v old", size, age)
					}
				}
			}
			if n := c.member(0).dialed.Load(); n < 5 || n > 8 {
				t.Errorf("size %d: %d connections in an hour", size, n)
			}
			if n := c.member(0).most.Load(); n > int64(size) {
				t.Errorf("size %d: %d connections at once", size, n)
			}
		})
	}
}

// TestNoMomentForAnotherConnection: the only place's connection stays while there is
// always a call on it.
func TestNoMomentForAnotherConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		p := c.pool(c.list(1), func(conf *pool.Config) { conf.Size, conf.MaxAge = 1, time.Minute })
		time.Sleep(time.Second)
		var calls sync.WaitGroup
		for range 60 {
			calls.Go(func() {
				if _, err := newClient(p).call(t.Context(), "slow"); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(10 * time.Second)
		}
		if n := c.member(0).dialed.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		calls.Wait()
		time.Sleep(5 * time.Second)
		if n := c.member(0).dialed.Load(); n != 2 {
			t.Errorf("after a moment without calls there were %d connections, want 2", n)
		}
	})
}
