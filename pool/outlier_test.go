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
