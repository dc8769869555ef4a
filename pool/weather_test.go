package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
)

// weather is what happens to a cluster in a day.
type weather struct {
	*cluster
	t       *testing.T
	random  *rand.Rand
	pool    *pool.Pool
	size    int
	clients []*client
	calls   sync.WaitGroup
	ended   atomic.Int64
}

const members = 5

// event changes something.
func (w *weather) event() {
	m := w.member(w.random.IntN(members))
	switch w.random.IntN(12) {
	case 0: // killed
		m.refusing.Store(true)
		m.server.Stop()
	case 1: // restarted in good order
		if old := m.server; !m.refusing.Load() {
			m.start()
			w.calls.Go(old.GracefulStop)
		}
	case 2:
		m.hung.Store(true)
	case 3:
		m.stuck.Store(true)
	case 4:
		err := status.Error(codes.Internal, "sick")
		m.sick.Store(&err)
	case 5, 6, 7: // all is well with it again
		w.heal(m)
	case 8:
		w.says([]error{errors.New("SERVFAIL"), context.DeadlineExceeded, nil}[w.random.IntN(3)])
	case 9, 10:
		var there []int
		for i := range members {
			if w.random.IntN(3) > 0 {
				there = append(there, i)
			}
		}
		w.says(nil, there...)
	case 11: // an app that comes or goes
		i := w.random.IntN(len(w.clients))
		w.clients[i].home.Close()
		w.clients[i] = newClient(w.pool)
	}
}

func (w *weather) heal(m *member) {
	if m.refusing.Load() {
		m.start()
	}
	m.refusing.Store(false)
	m.hung.Store(false)
	m.stuck.Store(false)
	m.sick.Store(nil)
}

// call is one that may fail, but not last.
func (w *weather) call() {
	c := w.clients[w.random.IntN(len(w.clients))]
	patience := time.Duration(w.random.IntN(10_000)) * time.Millisecond
	text := []string{"x", "x", "x", "slow"}[w.random.IntN(4)]
	w.calls.Go(func() {
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		defer cancel()
		start := time.Now()
		c.call(ctx, text)
		w.ended.Add(1)
		if took := time.Since(start); took > patience {
			w.t.Errorf("a call took %v, and had %v", took, patience)
		}
	})
}

// check is what holds at all times.
func (w *weather) check() {
	state := w.pool.State()
	homes := 0
	for _, e := range state.Endpoints {
		homes += e.Clients
		if len(e.Connections) != w.size {
			w.t.Errorf("%s has %d places, want %d", e.Address, len(e.Connections), w.size)
		}
		for _, conn := range e.Connections {
			open := conn.State == pool.Ready || conn.State == pool.Draining
			switch {
			case conn.InFlight < 0, conn.InFlight > 0 && !open:
				w.t.Errorf("%s: %d calls on a connection that is %v", e.Address, conn.InFlight, conn.State)
			case conn.State == pool.Ready && time.Since(conn.Opened) > 45*time.Minute:
				w.t.Errorf("%s: a connection is %v old", e.Address, time.Since(conn.Opened))
			}
		}
	}
	if homes > len(w.clients) {
		w.t.Errorf("%d homes of %d clients", homes, len(w.clients))
	}
	for i := range members {
		if n := w.member(i).most.Load(); n > int64(w.size) {
			w.t.Errorf("there were %d connections to %s at once", n, address(i))
		}
	}
}

// TestWeather is a day of it, in fake time; less under the race detector.
func TestWeather(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, members)
		w := &weather{t: t, cluster: c, random: rand.New(rand.NewPCG(seed, 0)), size: 3}
		w.pool = c.pool(func(conf *pool.Config) {
			conf.Size, conf.IdleTimeout, conf.MaxAge = w.size, 5*time.Minute, 30*time.Minute
			// Often enough to matter, and seldom enough for a test that is to end.
			conf.HealthInterval, conf.PingInterval = time.Minute, 2*time.Minute
			conf.Logger = slog.New(slog.DiscardHandler) // a day's are too many to read
		})
		for range 8 {
			w.clients = append(w.clients, newClient(w.pool))
		}
		for start := time.Now(); time.Since(start) < span; {
			if w.random.IntN(3) == 0 {
				w.event()
			}
			for range w.random.IntN(6) {
				w.call()
			}
			time.Sleep(time.Duration(w.random.IntN(120_000)) * time.Millisecond)
			if w.check(); t.Failed() {
				t.Fatalf("seed %d, after %v", seed, time.Since(start))
			}
		}
		w.calls.Wait()

		// And when it clears up, everything is as it was.
		var all []int
		for i := range members {
			w.heal(w.member(i))
			all = append(all, i)
		}
		w.says(nil, all...)
		time.Sleep(10 * time.Minute)
		for i := range members {
			if s := standing(w.pool, w.member(i)); s != pool.Good {
				t.Errorf("%s is %v in the end", address(i), s)
			}
		}
		for _, client := range w.clients {
			client.must(t)
			client.home.Close()
		}
		for _, e := range w.pool.State().Endpoints {
			for _, conn := range e.Connections {
				if conn.InFlight != 0 {
					t.Errorf("%s counts %d calls in the end", e.Address, conn.InFlight)
				}
			}
			if e.Clients != 0 {
				t.Errorf("%s counts %d clients in the end", e.Address, e.Clients)
			}
		}
		t.Logf("%d calls", w.ended.Load())
	})
}
