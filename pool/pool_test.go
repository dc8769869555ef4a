package pool_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
)

func TestCallsShareOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, echo)
		p := u.pool(t, 5)
		for range 20 {
			if got, err := call(t.Context(), p, "hello"); got != "hello" || err != nil {
				t.Fatalf("call = %q, %v", got, err)
			}
		}
		if n := u.dialed.Load(); n != 1 {
			t.Errorf("20 calls one after the other used %d connections, want 1", n)
		}
	})
}

// TestGrowsInOrderUpToSize holds calls open and watches which connection takes
// the next.
func TestGrowsInOrderUpToSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, echo)
		p := u.pool(t, 3)
		var leases []*pool.Lease
		for i := range 450 {
			lease, err := pick(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			leases = append(leases, lease)
			synctest.Wait() // a connection that was asked for is ready now
			// The first calls beyond a full connection go along with it while the
			// next one is being opened.
			if want := i / 100; i%100 > 2 && i < 300 && lease.Connection() != want {
				t.Fatalf("call %d went to connection %d, want %d", i, lease.Connection(), want)
			}
		}
		if n := u.most.Load(); n != 3 {
			t.Errorf("450 calls at once opened %d connections, want exactly 3", n)
		}
		for _, c := range p.State().Endpoints[0].Connections {
			if c.InFlight < 100 || c.InFlight > 200 {
				t.Errorf("connection %d carries %d of 450 calls: not spread by load", c.ID, c.InFlight)
			}
		}
		for _, lease := range leases {
			lease.Release()
		}
		lease, err := pick(t.Context(), p)
		if err != nil || lease.Connection() != 0 {
			t.Errorf("after all calls ended the next went to connection %d, %v; want the first", lease.Connection(), err)
		}
		lease.Release()
	})
}

// TestServersLimitIsWaitedFor makes more calls than the server allows on all
// connections together: they wait, longer than for a connection, and none fails.
func TestServersLimitIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var arrived atomic.Int64
		release := make(chan struct{})
		u := newUpstream(t, func(_ context.Context, request string) (string, error) {
			arrived.Add(1)
			<-release
			return request, nil
		}, grpc.MaxConcurrentStreams(10))
		p := u.pool(t, 2)
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				if _, err := call(t.Context(), p, "x"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		if n := arrived.Load(); n != 20 {
			t.Errorf("%d calls arrived, want 10 on each of 2 connections", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := pick(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call that may not wait any longer got %v", err)
		}
		close(release)
		calls.Wait()
	})
}

func TestNothingReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		p := newPool(t, pool.Endpoint{
			Address: "qdrant.test:6334",
			Dial: func(context.Context) (net.Conn, error) {
				time.Sleep(time.Second)
				return nil, refused
			},
		}, 5)

		start := time.Now()
		_, err := pick(t.Context(), p)
		connect, ok := errors.AsType[*pool.ConnectError](err)
		if !ok || connect.Reason != "connection refused" || connect.Address != "qdrant.test:6334" || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("Pick = %v", err)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("the first call waited %v for the attempt under way, want its 1s", waited)
		}
		// From now on an attempt is known to have failed.
		start = time.Now()
		if _, err := pick(t.Context(), p); err == nil || time.Since(start) != 0 {
			t.Errorf("a later call got %v after %v, want a failure at once", err, time.Since(start))
		}
	})
}

func TestSilentUpstreamFailsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, pool.Endpoint{
			Address: "qdrant.test:6334",
			Dial: func(context.Context) (net.Conn, error) {
				near, far := net.Pipe()
				go func() { // reads everything and never speaks
					buf := make([]byte, 1<<10)
					for {
						if _, err := far.Read(buf); err != nil {
							far.Close()
							return
						}
					}
				}()
				return near, nil
			},
		}, 1)
		start := time.Now()
		_, err := pick(t.Context(), p)
		if err == nil || time.Since(start) > 3*time.Second {
			t.Fatalf("Pick = %v after %v", err, time.Since(start))
		}
		if connect, ok := errors.AsType[*pool.ConnectError](err); !ok || connect.Reason != "no answer within 2s, although the port is open" {
			t.Errorf("Pick = %v", err)
		}
	})
}

func TestPickEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, pool.Endpoint{
			Address: "qdrant.test:6334",
			Dial:    func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		}, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := pick(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Pick = %v, want the deadline", err)
		}
	})
}

// TestReturnsAfterRestart stops the upstream and starts it again.
func TestReturnsAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, echo)
		p := u.pool(t, 2)
		if _, err := call(t.Context(), p, "before"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // long enough for its loss to be no failed attempt
		u.server.Stop()
		synctest.Wait()
		if _, err := call(t.Context(), p, "while down"); err == nil {
			t.Fatal("a call succeeded without an upstream")
		}
		u.start()
		time.Sleep(3 * time.Second) // the longest pause between attempts
		synctest.Wait()
		if got, err := call(t.Context(), p, "after"); got != "after" || err != nil {
			t.Errorf("after the restart: %q, %v", got, err)
		}
		if n := u.most.Load(); n > 2 {
			t.Errorf("%d connections at once, want at most 2", n)
		}
	})
}

// TestGoAwayLetsCallsFinish drains the server while a call is under way.
func TestGoAwayLetsCallsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		u := newUpstream(t, func(_ context.Context, request string) (string, error) {
			<-release
			return request, nil
		})
		p := u.pool(t, 2)
		var result error
		var wg sync.WaitGroup
		wg.Go(func() { _, result = call(t.Context(), p, "slow") })
		synctest.Wait()

		old := u.server
		stopped := make(chan struct{})
		go func() { old.GracefulStop(); close(stopped) }()
		synctest.Wait()
		if state := p.State().Endpoints[0].Connections[0].State; state != pool.Draining {
			t.Errorf("after GOAWAY the connection is %v, want draining", state)
		}
		close(release)
		wg.Wait()
		if result != nil {
			t.Errorf("the call under way ended with %v", result)
		}
		// Qdrant waits for its connections to be closed, without a limit.
		<-stopped
	})
}

// TestReconnectsWithoutFuss loses an idle connection of a healthy upstream.
func TestReconnectsWithoutFuss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, echo)
		p := u.pool(t, 1)
		for i := range 3 {
			if _, err := call(t.Context(), p, "x"); err != nil {
				t.Fatalf("call %d: %v", i, err)
			}
			time.Sleep(time.Minute)
			old := u.server
			u.start()
			old.Stop()
			synctest.Wait()
		}
		if n := u.most.Load(); n != 1 {
			t.Errorf("%d connections at once, want 1", n)
		}
	})
}

// TestTimesOfAttempts are drawn from half of what they may be, so that sidecars do not
// come back together.
func TestTimesOfAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Time
		p := newPool(t, pool.Endpoint{Address: "qdrant.test:6334", Dial: func(context.Context) (net.Conn, error) {
			attempts = append(attempts, time.Now())
			return nil, errors.New("connection refused")
		}}, 1)
		time.Sleep(time.Minute)
		p.Close()
		pauses := make(map[time.Duration]bool)
		for i := 10; i < len(attempts); i++ { // the longest ones
			pause := attempts[i].Sub(attempts[i-1])
			if pause < 750*time.Millisecond || pause > 1500*time.Millisecond {
				t.Errorf("%v between two attempts", pause)
			}
			pauses[pause] = true
		}
		if len(pauses) < 10 {
			t.Errorf("the times between attempts were %v", pauses)
		}
	})
}

// TestUnstableUpstreamIsNotHammered: connections that end at once are as good as none.
func TestUnstableUpstreamIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, echo)
		p := newPool(t, pool.Endpoint{Address: "qdrant.test:6334", Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := u.dial(ctx)
			if err == nil {
				time.AfterFunc(time.Millisecond, func() { conn.Close() })
			}
			return conn, err
		}}, 1)
		time.Sleep(time.Minute)
		if n := u.dialed.Load(); n > 60 {
			t.Errorf("%d connections were opened within a minute", n)
		}
		eventually(t, "the pool reports a failure", time.Second, func() bool { return p.State().LastFailure() != nil })
	})
}

// TestOutcomes tells an upstream's answer from a loss.
func TestOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u *upstream
		u = newUpstream(t, func(ctx context.Context, request string) (string, error) {
			switch request {
			case "refuse":
				return "", status.Error(codes.Unavailable, "Qdrant says so")
			case "die":
				u.server.Stop()
			}
			<-ctx.Done()
			return "", ctx.Err()
		})
		p := u.pool(t, 1)
		lease, err := pick(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release()
		unary := func(ctx context.Context, message string) (*pool.Response, error) {
			response := new(pool.Response)
			t.Cleanup(response.Close)
			return response, lease.Unary(ctx, request(message), response)
		}

		if response, err := unary(t.Context(), "refuse"); err != nil || status.Code(response.Err()) != codes.Unavailable || !response.HeaderOnly {
			t.Errorf("an UNAVAILABLE answer is %+v, %v; want a Response", response, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the caller is gone")
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if _, err := unary(ctx, "wait"); !errors.Is(err, gone) {
			t.Errorf("a cancelled call ended with %v, want the cause", err)
		}
		_, err = unary(t.Context(), "die")
		if lost, ok := errors.AsType[*pool.LostError](err); !ok || !lost.Sent || lost.Code != codes.Unavailable {
			t.Errorf("a lost connection is %v, want a LostError that was sent", err)
		}
		_, err = unary(t.Context(), "too late")
		if lost, ok := errors.AsType[*pool.LostError](err); !ok || lost.Sent {
			t.Errorf("a call on a lost connection is %v, want a LostError that was not sent", err)
		}
	})
}

// All calls of a connection that is lost say so, and one of them that it is the first.
func TestLostTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		p := u.pool(t, 1)
		const calls = 20
		ended := make(chan error, calls)
		for range calls {
			go func() {
				_, err := call(t.Context(), p, "wait")
				ended <- err
			}()
		}
		synctest.Wait()
		u.server.Stop()
		first := 0
		for range calls {
			lost, ok := errors.AsType[*pool.LostError](<-ended)
			if !ok || !lost.Sent || !lost.Together {
				t.Fatalf("a call ended with %+v, want it lost with its connection", lost)
			}
			if lost.First {
				first++
			}
		}
		if first != 1 {
			t.Errorf("%d of %d calls are the first", first, calls)
		}
	})
}

func TestDoubleReleasePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease, err := pick(t.Context(), newUpstream(t, echo).pool(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		lease.Release()
		defer func() {
			if recover() == nil {
				t.Error("the second Release did not panic")
			}
		}()
		lease.Release()
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", ctx.Err() })
		p := u.pool(t, 2)
		var result error
		var wg sync.WaitGroup
		wg.Go(func() { _, result = call(t.Context(), p, "x") })
		synctest.Wait()
		p.Close()
		wg.Wait()
		if _, ok := errors.AsType[*pool.LostError](result); !ok {
			t.Errorf("a call that was cut ended with %v", result)
		}
		if _, err := pick(t.Context(), p); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("Pick after Close = %v", err)
		}
		if n := u.open.Load(); n != 0 {
			t.Errorf("%d connections are open after Close", n)
		}
	})
}

// TestPickOther: a call that failed on a connection gets another one, which is
// opened for it, and the same again only when there is no other.
func TestPickOther(t *testing.T) {
	pick := func(t *testing.T, p *pool.Pool, than *pool.Lease) *pool.Lease {
		t.Helper()
		lease, err := pickOther(t.Context(), p, than)
		if err != nil {
			t.Fatal(err)
		}
		lease.Release()
		return lease
	}
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, echo)
		p := u.pool(t, 2)
		first := pick(t, p, nil)
		if again := pick(t, p, nil); again.Connection() != first.Connection() || u.dialed.Load() != 1 {
			t.Errorf("without anything to avoid the call went to connection %d of %d", again.Connection(), u.dialed.Load())
		}
		other := pick(t, p, first)
		if other.Connection() == first.Connection() || u.dialed.Load() != 2 {
			t.Errorf("the call went to connection %d again", other.Connection())
		}
		if third := pick(t, p, other); third.Connection() != first.Connection() {
			t.Errorf("the call went to connection %d, want the first", third.Connection())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := newUpstream(t, echo).pool(t, 1)
		first := pick(t, p, nil)
		if start, again := time.Now(), pick(t, p, first); again.Connection() != first.Connection() || time.Since(start) != 0 {
			t.Errorf("there is no other, and the call got connection %d after %v", again.Connection(), time.Since(start))
		}
	})
}

// TestPickOtherTakesTheSameForWantOfAnother: an attempt to connect that fails, or
// does not end, costs a wait and no call.
func TestPickOtherTakesTheSameForWantOfAnother(t *testing.T) {
	for name, wait := range map[string]time.Duration{"fails": 100 * time.Millisecond, "hangs": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := newUpstream(t, echo)
				p := newPool(t, pool.Endpoint{Address: "qdrant.test:6334", Dial: func(ctx context.Context) (net.Conn, error) {
					if u.dialed.Load() == 0 {
						return u.dial(ctx)
					}
					if name == "hangs" {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					time.Sleep(wait)
					return nil, syscall.ECONNREFUSED
				}}, 2)
				first, err := pick(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				first.Release()
				start := time.Now()
				again, err := pickOther(t.Context(), p, first)
				if err != nil {
					t.Fatal(err)
				}
				defer again.Release()
				if took := time.Since(start); again.Connection() != first.Connection() || took != wait {
					t.Errorf("connection %d after %v, want %d after %v", again.Connection(), took, first.Connection(), wait)
				}
			})
		})
	}
}

// TestRecoveryIsTold: once for each time that there had been no connection, and by
// nobody who holds a lock.
func TestRecoveryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, echo)
		var down atomic.Bool
		p := newPool(t, pool.Endpoint{Address: "qdrant.test:6334", Dial: func(ctx context.Context) (net.Conn, error) {
			if down.Load() {
				return nil, syscall.ECONNREFUSED
			}
			return u.dial(ctx)
		}}, 2)
		synctest.Wait()
		var told atomic.Int64
		p.Watch(pool.Watch{Changed: func([]*pool.Node) {}, Recovered: func(*pool.Node) {
			told.Add(1)
			p.State()
		}})
		first, err := pick(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		first.Release()
		other, err := pickOther(t.Context(), p, first)
		if err != nil {
			t.Fatal(err)
		}
		other.Release()
		if n := told.Load(); n != 0 {
			t.Errorf("a second connection was taken for a recovery, %d times", n)
		}
		down.Store(true)
		u.server.Stop()
		time.Sleep(time.Minute)
		u.start()
		if n := told.Load(); n != 0 {
			t.Errorf("%d recoveries while nothing could be reached", n)
		}
		down.Store(false)
		time.Sleep(time.Minute)
		if n := told.Load(); n != 1 {
			t.Errorf("%d recoveries of 1", n)
		}
	})
}
