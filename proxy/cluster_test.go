package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
	"qdrant-sidecar/resilience"
)

const nodeLocal = "/qdrant.Snapshots/List"

// nodes are some upstreams that answer with their number, and a Server before them.
type nodes struct {
	*rig
	front *bufconn.Listener
	pool  *pool.Pool
	calls [3]atomic.Int64
	// lines are the connections to each; nil while it can not be reached.
	lines [3]atomic.Pointer[lines]
	// said is how many of them DNS knows.
	said atomic.Int64
}

// lines are connections that can be cut together.
type lines struct{ cut chan struct{} }

// reach has a node be reached, or not any more, by nobody.
func (c *nodes) reach(node int, reached bool) {
	if !reached {
		close(c.lines[node].Swap(nil).cut)
		return
	}
	c.lines[node].Store(&lines{make(chan struct{})})
}

// line is a connection that ends when its lines are cut.
func (l *lines) line(conn net.Conn) net.Conn {
	over := make(chan struct{})
	go func() {
		select {
		case <-l.cut:
			conn.Close()
		case <-over:
		}
	}()
	return &line{conn, sync.OnceFunc(func() { close(over) })}
}

type line struct {
	net.Conn
	over func()
}

// Close implements [net.Conn].
func (l *line) Close() error {
	l.over()
	return l.Conn.Close()
}

// newNodes makes three. Each does with a call what handle says, which is told the
// node's number.
func newNodes(t *testing.T, policy *proxy.Resilience, handle func(node int, method string) error) *nodes {
	t.Helper()
	return newCheckedNodes(t, policy, 0, handle)
}

// newCheckedNodes is newNodes with HealthChecks.
func newCheckedNodes(t *testing.T, policy *proxy.Resilience, interval time.Duration, handle func(node int, method string) error) *nodes {
	t.Helper()
	c := &nodes{rig: &rig{t: t}}
	c.said.Store(int64(len(c.calls)))
	dials := make(map[netip.Addr]func(context.Context) (net.Conn, error))
	var ips []netip.Addr
	for i := range c.calls {
		c.reach(i, true)
		lis := bufconn.Listen(1 << 16)
		tolerant := keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}
		server := grpc.NewServer(grpc.ForceServerCodecV2(rawgrpc.Codec{}), grpc.KeepaliveEnforcementPolicy(tolerant), grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
			var request rawgrpc.Message
			if err := ss.RecvMsg(&request); err != nil {
				return err
			}
			request.Free()
			c.calls[i].Add(1)
			method, _ := grpc.MethodFromServerStream(ss)
			if err := handle(i, method); err != nil {
				return err
			}
			return ss.SendMsg(&rawgrpc.Reply{Data: mem.BufferSlice{mem.SliceBuffer(fmt.Sprint(i))}})
		}))
		go server.Serve(lis)
		t.Cleanup(server.Stop)
		ips = append(ips, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
		dials[ips[i]] = func(ctx context.Context) (net.Conn, error) {
			reached := c.lines[i].Load()
			if reached == nil {
				return nil, errors.New("connection refused")
			}
			conn, err := lis.DialContext(ctx)
			if err != nil {
				return nil, err
			}
			return reached.line(conn), nil
		}
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	c.pool = pool.New(pool.Config{Size: 2, HealthInterval: interval, Logger: log, Resolver: &pool.Resolver{
		Name: "qdrant.test", Port: 6334,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return append([]netip.Addr(nil), ips[:c.said.Load()]...), nil
		},
		Endpoint: func(at netip.AddrPort) pool.Endpoint {
			return pool.Endpoint{Address: at.String(), Dial: dials[at.Addr()]}
		},
	}})
	t.Cleanup(c.pool.Close)
	c.server = proxy.New(proxy.Config{Pool: c.pool, Resilience: policy, Logger: log})
	c.front = bufconn.Listen(1 << 16)
	go c.server.Serve(c.front)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.server.Drain(ctx)
	})
	time.Sleep(time.Minute) // all are connected, and warm
	return c
}

// caller is an application with one connection of its own.
func (c *nodes) caller() *rig {
	client := pool.New(pool.Config{
		Endpoints: []pool.Endpoint{{Address: "sidecar.test", Dial: c.front.DialContext}},
		Size:      1, Logger: slog.New(slog.DiscardHandler),
	})
	c.t.Cleanup(client.Close)
	return &rig{t: c.t, client: client}
}

// ask returns which node answered.
func (c *nodes) ask(from *rig, method string) string {
	c.t.Helper()
	a := from.call(method)
	if a.code != codes.OK {
		c.t.Errorf("%s: %v %q", method, a.code, a.message)
	}
	return a.text
}

// TestAffinity: all calls of a connection go to one node, those of several to all.
func TestAffinity(t *testing.T) {
	for state, policy := range map[string]*proxy.Resilience{"on": standard(), "off": nil} {
		t.Run(state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newNodes(t, policy, func(int, string) error { return nil })
				found := make(map[string]int)
				for range 9 {
					caller := c.caller()
					at := c.ask(caller, read)
					found[at]++
					for _, method := range []string{read, write, unsafe, health, other, nodeLocal} {
						for range 5 {
							if again := c.ask(caller, method); again != at {
								t.Fatalf("%s went to %s from a caller whose node is %s", method, again, at)
							}
						}
					}
				}
				if len(found) != 3 {
					t.Errorf("9 callers went to %v", found)
				}
			})
		})
	}
}

// TestRetriesGoElsewhere: but not those of methods that another node answers
// otherwise.
func TestRetriesGoElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick atomic.Int64
		sick.Store(-1)
		c := newNodes(t, standard(), func(node int, _ string) error {
			if int64(node) == sick.Load() {
				return status.Error(codes.Unavailable, "not now")
			}
			return nil
		})
		caller := c.caller()
		at := c.ask(caller, read)
		home := int(at[0] - '0')
		sick.Store(int64(home))
		if again := c.ask(caller, read); again == at {
			t.Error("the node that failed has answered")
		}
		before := [...]int64{c.calls[0].Load(), c.calls[1].Load(), c.calls[2].Load()}
		a := caller.call(nodeLocal)
		if a.code != codes.Unavailable {
			t.Errorf("a node-local call got %v %q", a.code, a.text)
		}
		for i := range before {
			more := c.calls[i].Load() - before[i]
			if i == home && more != 4 || i != home && more != 0 {
				t.Errorf("%d attempts of a node-local call at %d, whose caller is at home at %d", more, i, home)
			}
		}
	})
}

// TestOpenBreakerElsewhere: a method that fails at one node is asked of another.
func TestOpenBreakerElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick atomic.Int64
		sick.Store(-1)
		policy := standard()
		policy.Retry.Max, policy.BreakerThreshold = 0, 3
		c := newNodes(t, policy, func(node int, method string) error {
			if int64(node) == sick.Load() && method == read {
				return status.Error(codes.Internal, "sick")
			}
			return nil
		})
		caller := c.caller()
		at := c.ask(caller, write)
		sick.Store(int64(at[0] - '0'))
		for range 3 {
			if a := caller.call(read); a.code != codes.Internal {
				t.Errorf("got %v from a sick node", a.code)
			}
		}
		for range 10 {
			if again := c.ask(caller, read); again == at {
				t.Error("an open breaker was passed")
			}
			if again := c.ask(caller, write); again != at {
				t.Error("a method that works has moved")
			}
		}
	})
}

// TestSickNodeIsEjected: by what its answers are, and not by those about others.
func TestSickNodeIsEjected(t *testing.T) {
	const messenger = "Service internal error: Tonic status error: code: 'The service is currently unavailable', message: \"tcp connect error\", source: x"
	for text, want := range map[string]pool.Standing{"out of cheese": pool.Ejected, messenger: pool.Good} {
		synctest.Test(t, func(t *testing.T) {
			var sick atomic.Int64
			sick.Store(-1)
			policy := standard()
			policy.Retry.Max, policy.BreakerThreshold = 0, 0
			c := newNodes(t, policy, func(node int, _ string) error {
				if int64(node) == sick.Load() {
					return status.Error(codes.Internal, text)
				}
				return nil
			})
			caller := c.caller()
			home := int(c.ask(caller, read)[0] - '0')
			sick.Store(int64(home))
			for range 5 {
				caller.call(read)
			}
			if got := c.pool.Nodes()[home].Standing(); got != want {
				t.Errorf("after %q the node is %v, want %v", text, got, want)
			}
		})
	}
}

// TestRemovedEndpoint: nothing of it stays in the metrics, and the admission follows
// the number of nodes.
func TestRemovedEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := standard()
		policy.Admission.Limit, policy.LimitEach = 10, true
		c := newNodes(t, policy, func(int, string) error { return nil })
		c.ask(c.caller(), read)
		page := func() (series int, limit float64) {
			found, err := c.server.Gatherer().Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, family := range found {
				for _, m := range family.GetMetric() {
					if family.GetName() == "qdrant_sidecar_admission_limit" {
						limit = m.GetGauge().GetValue()
					}
					for _, l := range m.GetLabel() {
						if l.GetName() == "endpoint" && strings.HasPrefix(l.GetValue(), "10.0.0.2:") {
							series++
						}
					}
				}
			}
			return series, limit
		}
		if series, limit := page(); series == 0 || limit != 30 {
			t.Errorf("%d series of the third node, and a limit of %v", series, limit)
		}
		c.said.Store(2)
		time.Sleep(12 * time.Second)
		if series, limit := page(); series != 0 || limit != 20 {
			t.Errorf("%d series of the node that was removed, and a limit of %v", series, limit)
		}
	})
}

// TestReadsLeaveAHungNode: those whose callers set no deadline, and so have no time for
// two attempts, once it is known that their node hangs; what may not be made
// elsewhere stays, and so does everything where there is no better node.
func TestReadsLeaveAHungNode(t *testing.T) {
	usual := resilience.DefaultDeadlines()
	hasty := usual
	hasty.Read, hasty.Try = 20*time.Second, 2*time.Second
	for _, test := range []struct {
		name, method string
		checked      time.Duration
		all          bool // hang
		many         int
		ok           int
		deadlines    resilience.Deadlines
	}{
		{"a read", read, 2 * time.Second, false, 1, 1, usual},
		{"long before the next check", read, time.Hour, false, 1, 1, usual},
		{"many reads", read, 2 * time.Second, false, 90, 90, usual},
		{"many that were refused another attempt before", read, 2 * time.Second, false, 90, 90, hasty},
		{"a read of that node", nodeLocal, 2 * time.Second, false, 1, 0, usual},
		{"all hang", read, 2 * time.Second, true, 1, 0, usual},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hung atomic.Int64
				hung.Store(-1)
				over := make(chan struct{})
				defer close(over)
				policy := standard()
				policy.Deadlines = test.deadlines
				c := newCheckedNodes(t, policy, test.checked, func(node int, _ string) error {
					if at := hung.Load(); at == int64(node) || at == 3 {
						<-over
					}
					return nil
				})
				caller := c.caller()
				at := c.ask(caller, read)
				hung.Store(int64(at[0] - '0'))
				if test.all {
					hung.Store(3)
				}
				var calls sync.WaitGroup
				var ok atomic.Int64
				for range test.many {
					calls.Go(func() {
						got := caller.call(test.method)
						if got.code == codes.OK && got.text != at && got.took < 5*time.Second {
							ok.Add(1)
						} else if got.code != codes.DeadlineExceeded {
							t.Errorf("%+v", got)
						}
					})
				}
				calls.Wait()
				if n := ok.Load(); n != int64(test.ok) {
					t.Errorf("%d of %d were answered elsewhere, want %d", n, test.many, test.ok)
				}
			})
		})
	}
}

// TestShortDeadlinesInACluster: that an attempt has its node looked at now and again does
// not make a caller wait who has less time than that.
func TestShortDeadlinesInACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		c := newCheckedNodes(t, standard(), time.Hour, func(_ int, method string) error {
			if method == read {
				<-over
			}
			return nil
		})
		got := c.caller().call(read, "grpc-timeout", "20m")
		if got.code != codes.DeadlineExceeded || got.took != 20*time.Millisecond {
			t.Errorf("%+v", got)
		}
	})
}

// TestMoreThanTheBudgetLeave: those that are too many for the budget when their node is
// found to hang leave it as soon as it has more.
func TestMoreThanTheBudgetLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many, each = 300, 75
		var hung atomic.Int64
		hung.Store(-1)
		over := make(chan struct{})
		defer close(over)
		c := newCheckedNodes(t, standard(), 2*time.Second, func(node int, _ string) error {
			if hung.Load() == int64(node) {
				<-over
			}
			return nil
		})
		var there []*rig
		var elsewhere *rig
		for len(there) < many/each || elsewhere == nil {
			caller := c.caller()
			if at := c.ask(caller, read); at == "0" {
				there = append(there, caller)
			} else {
				elsewhere = caller
			}
		}
		for range 450 { // of the 500 that there are for what is lost together; 60 a second come back
			c.server.Budget().TakeTogether(time.Now())
			c.server.Budget().Return()
		}
		hung.Store(0)
		var calls sync.WaitGroup
		took := make(chan time.Duration, many)
		for _, caller := range there[:many/each] {
			for range each {
				calls.Go(func() {
					got := caller.call(read)
					if got.code != codes.OK {
						t.Errorf("%+v", got)
					}
					took <- got.took
				})
			}
		}
		for range 5 * 300 { // for these the budget has more
			c.ask(elsewhere, read)
			time.Sleep(time.Second / 300)
		}
		calls.Wait()
		close(took)
		var times []time.Duration
		for d := range took {
			times = append(times, d)
		}
		slices.Sort(times)
		// Looks at the node are 250 ms apart.
		if at, most, last := times[0], times[many/2], times[many-1]; most > at+250*time.Millisecond || last < at+250*time.Millisecond {
			t.Errorf("the first left after %v, half of them after %v, and the last after %v", at, most, last)
		}
	})
}
