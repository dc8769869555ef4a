package pool_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/pool"
)

// busy has clients make calls until it is stopped. What was not sent they send again,
// as everybody does.
func busy(t *testing.T, p *pool.Pool, clients int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for client := newClient(p); ctx.Err() == nil; {
				_, err := client.call(t.Context(), "x")
				if lost, ok := errors.AsType[*pool.LostError](err); ok && !lost.Sent {
					_, err = client.call(t.Context(), "x")
				}
				if err != nil {
					t.Errorf("a call failed: %v", err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// TestReconnect replaces all connections under load, whatever the size, loses no call
// and opens none too many.
func TestReconnect(t *testing.T) {
	for _, size := range []int{1, 2, 5} {
		for _, open := range []int{1, size} {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 2)
				p := c.pool(c.list(2), func(conf *pool.Config) { conf.Size = size })
				time.Sleep(time.Minute)
				var slow sync.WaitGroup
				for i := range 2 * 100 * open { // as many connections
					slow.Go(func() { newClient(p).call(t.Context(), "slow") })
					if i%20 == 0 {
						synctest.Wait()
					}
				}
				slow.Wait()
				stop := busy(t, p, 4)
				time.Sleep(time.Second)
				start := time.Now()
				time.Sleep(time.Second)
				replaced, err := p.Reconnect(t.Context(), "")
				if err != nil || replaced < 2*open {
					t.Errorf("size %d: %d replaced: %v", size, replaced, err)
				}
				time.Sleep(time.Second)
				for _, e := range p.State().Endpoints {
					for _, conn := range e.Connections {
						if conn.State == pool.Ready && conn.Opened.Before(start) {
							t.Errorf("size %d: a connection is from before", size)
						}
					}
					if e.Ready() == 0 {
						t.Errorf("size %d: no connection", size)
					}
				}
				stop()
				for i := range 2 {
					if most := c.member(i).most.Load(); most > int64(size) {
						t.Errorf("size %d: %d connections at once", size, most)
					}
					// As many as there were, and no more than one for growth besides.
					if n := int(c.member(i).dialed.Load()); n > 2*size+1 {
						t.Errorf("size %d: %d connections were opened in all", size, n)
					}
				}
			})
		}
	}
}

// TestReconnectOpensFirst: while a new connection cannot be had the old one serves.
func TestReconnectOpensFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		p := c.pool(c.list(1))
		stop := busy(t, p, 3)
		defer stop()
		time.Sleep(5 * time.Second)
		m := c.member(0)
		m.refusing.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if n, err := p.Reconnect(ctx, at(0)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d replaced: %v", n, err)
		}
		done := make(chan error)
		go func() {
			_, err := p.Reconnect(t.Context(), at(0))
			done <- err
		}()
		time.Sleep(5 * time.Second)
		m.refusing.Store(false)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestReconnectTakesOneAtATime where there is no place for successors: the least busy one
// first, and the next when that one has its own, however often it is asked for.
func TestReconnectTakesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 3
		c := newCluster(t, 1)
		p := c.pool(c.list(1), func(conf *pool.Config) { conf.Size = size })
		time.Sleep(time.Second)
		var slow sync.WaitGroup
		for range (size-1)*pool.CallsPerConnection + 10 { // the last one has 10
			slow.Go(func() {
				if _, err := newClient(p).call(t.Context(), "slow"); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if n := p.State().Endpoints[0].Ready(); n != size {
			t.Fatalf("%d connections, want %d", n, size)
		}
		done := make(chan struct{})
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if n, err := p.Reconnect(t.Context(), ""); n < size-1 || err != nil {
					t.Errorf("%d replaced: %v", n, err)
				}
			})
		}
		go func() { both.Wait(); close(done) }()
		synctest.Wait()
		if state := p.State().Endpoints[0].Connections[size-1].State; state != pool.Draining {
			t.Errorf("the least busy one is %v", state)
		}
		for over := false; !over; {
			if n := p.State().Endpoints[0].Ready(); n < size-1 {
				t.Fatalf("%d connections take calls", n)
			}
			select {
			case <-done:
				over = true
			case <-time.After(100 * time.Millisecond):
			}
		}
		slow.Wait()
	})
}

// TestReconnectWaitsForLongCalls where there is no place for a successor, and cuts
// none.
func TestReconnectWaitsForLongCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		p := c.pool(c.list(1), func(conf *pool.Config) { conf.Size = 1 })
		time.Sleep(time.Second)
		var slow sync.WaitGroup
		slow.Go(func() {
			if _, err := newClient(p).call(t.Context(), "slow"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		if n, err := p.Reconnect(t.Context(), ""); n != 1 || err != nil {
			t.Errorf("%d replaced: %v", n, err)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("it took %v, and the call takes 30s", took)
		}
		slow.Wait()
		newClient(p).must(t)
		if most := c.member(0).most.Load(); most != 1 {
			t.Errorf("%d connections at once", most)
		}
	})
}

// TestReconnectEndsWithPool also where it waits.
func TestReconnectEndsWithPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		p := c.pool(c.list(1))
		time.Sleep(time.Second)
		c.member(0).refusing.Store(true)
		done := make(chan error)
		go func() {
			_, err := p.Reconnect(t.Context(), "")
			done <- err
		}()
		time.Sleep(time.Second)
		p.Close()
		if err := <-done; err != nil && !errors.Is(err, pool.ErrClosed) {
			t.Error(err)
		}
	})
}
