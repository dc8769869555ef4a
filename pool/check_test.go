package pool_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
)

// TestWhatHealthChecksSay: any answer says that Qdrant is there, but for those of somebody
// else, and those of who did not get to it. One of the former is enough, and of the
// latter it takes two.
func TestWhatHealthChecksSay(t *testing.T) {
	for code, test := range map[codes.Code]struct {
		want   pool.Standing
		checks uint64 // that failed before
	}{
		codes.OK:               {pool.Good, 0},
		codes.Unauthenticated:  {pool.Good, 0},
		codes.PermissionDenied: {pool.Good, 0},
		codes.Internal:         {pool.Good, 0},
		codes.Unavailable:      {pool.Sick, 2},
		codes.DeadlineExceeded: {pool.Sick, 2},
		codes.Canceled:         {pool.Sick, 2},
		codes.Unimplemented:    {pool.Sick, 1},
	} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var says atomic.Uint32
				u := newUpstream(t, func(context.Context, string) (string, error) {
					return "", status.Error(codes.Code(says.Load()), "as told")
				}, tolerant)
				p := pool.New(pool.Config{
					Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: u.dial}},
					Size:      1, HealthInterval: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
				})
				t.Cleanup(p.Close)
				time.Sleep(time.Minute)
				says.Store(uint32(code))
				for range 1000 {
					time.Sleep(10 * time.Millisecond)
					if e := p.State().Endpoints[0]; e.Standing != pool.Good {
						if e.FailedChecks != test.checks {
							t.Errorf("%v after %d checks, want %d", e.Standing, e.FailedChecks, test.checks)
						}
						break
					}
				}
				if s := p.Nodes()[0].Standing(); s != test.want {
					t.Fatalf("it is %v, want %v", s, test.want)
				}
				if test.want == pool.Good {
					return
				}
				// Two answers are half a second apart.
				says.Store(uint32(codes.OK))
				start := time.Now()
				eventually(t, "it is well", 1100*time.Millisecond, func() bool { return p.Nodes()[0].Standing() == pool.Good })
				if took := time.Since(start); took <= 500*time.Millisecond {
					t.Errorf("it was well after %v, which is one answer", took)
				}
			})
		})
	}
}

// tolerant has a server take any number of PINGs.
var tolerant = grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true})

// TestOneCheckIsMissed, which is no sickness.
func TestOneCheckIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, tolerant)
		p := c.pool(c.list(1))
		time.Sleep(time.Minute)
		c.member(0).late.Store(true)
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			e := p.State().Endpoints[0]
			if e.FailedChecks > 0 {
				c.member(0).late.Store(false)
			}
			if e.Standing != pool.Good {
				t.Fatalf("it is %v after %d", e.Standing, e.FailedChecks)
			}
		}
		if n := p.State().Endpoints[0].FailedChecks; n != 1 {
			t.Errorf("%d checks have failed, want 1", n)
		}
	})
}

// TestDeadConnectionIsFound by a HealthCheck long before its next PING, whichever it is,
// and the other one stays.
func TestDeadConnectionIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, echo, tolerant)
		var lines []*member
		p := pool.New(pool.Config{
			Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: func(ctx context.Context) (net.Conn, error) {
				conn, err := u.dial(ctx)
				lines = append(lines, new(member))
				return &hangingConn{Conn: conn, m: lines[len(lines)-1]}, err
			}}},
			Size: 2, HealthInterval: 2 * time.Second, PingInterval: time.Hour, Logger: slog.New(slog.DiscardHandler),
		})
		t.Cleanup(p.Close)
		time.Sleep(time.Second)
		first, err := pick(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Release()
		second, err := pickOther(t.Context(), p, first)
		if err != nil {
			t.Fatal(err)
		}
		second.Release()
		time.Sleep(time.Minute)
		lines[1].hung.Store(true)
		// It is asked every other time, and has 1 s for the answer, and 5 s for the PING.
		eventually(t, "it is found to be dead", 11*time.Second, func() bool { return p.State().Endpoints[0].Ended[pool.ConnDead] > 0 })
		time.Sleep(10 * time.Second)
		if ended := p.State().Endpoints[0].Ended; ended[pool.ConnDead] != 1 || ended[pool.ConnLost] != 0 {
			t.Errorf("connections have ended: %v", ended)
		}
	})
}

// TestReadinessIsAskedOnce of each process that has said so, and not for ever of one that
// says neither yes nor no.
func TestReadinessIsAskedOnce(t *testing.T) {
	for code, want := range map[int]int64{http.StatusOK: 1, http.StatusForbidden: 3} {
		var asked, checks atomic.Int64
		rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(code)
		}))
		t.Cleanup(rest.Close)
		u := newUpstream(t, func(context.Context, string) (string, error) {
			checks.Add(1)
			return "", nil
		})
		p := pool.New(pool.Config{
			Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: u.dial, ReadyURL: rest.URL + "/readyz"}},
			Size:      1, HealthInterval: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		})
		t.Cleanup(p.Close)
		for process := range int64(2) {
			before := checks.Load()
			for deadline := time.Now().Add(30 * time.Second); checks.Load() < before+10; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("there are no HealthChecks")
				}
			}
			// On a slow machine an answer may come too late, and then there is another question.
			if n, least := asked.Load(), (process+1)*want; n < least || n > least+4 {
				t.Errorf("a /readyz that says %d was asked %d times, want %d of each of %d processes", code, n, want, process+1)
			}
			old := u.server
			u.start()
			old.Stop()
		}
	}
}

// TestSuccessorDoesNotWait for the last call of a connection that the server wants to
// close, where there is a place for it.
func TestSuccessorDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		p := c.pool(c.list(1))
		time.Sleep(time.Minute)
		m := c.member(0)
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := newClient(p).call(t.Context(), "slow"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		old := m.server
		m.start()
		calls.Go(old.GracefulStop)
		synctest.Wait()
		start := time.Now()
		newClient(p).must(t)
		if took := time.Since(start); took > 0 {
			t.Errorf("a call took %v", took)
		}
		calls.Wait()
	})
}
