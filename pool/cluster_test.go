package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
)

// cluster is a number of upstreams that are found by their address, and what the
// weather does to them.
type cluster struct {
	t *testing.T

	mu    sync.Mutex
	nodes map[netip.Addr]*member
	dns   []netip.Addr
	fail  error // of DNS
	asked int
}

// member is an upstream of a cluster. It answers with its own address.
type member struct {
	*upstream
	ip netip.Addr
	// refusing has connections fail, hung has them stay open and carry nothing, and
	// stuck has calls hang while the transport is well.
	refusing, hung, stuck atomic.Bool
	sick                  atomic.Pointer[error]
	calls                 atomic.Int64 // less HealthChecks
	thaw                  chan struct{}
	thawing               sync.Once
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, nodes: make(map[netip.Addr]*member)}
	for i := range n {
		c.add(i)
	}
	return c
}

func (c *cluster) add(i int) *member {
	m := &member{ip: address(i), thaw: make(chan struct{})}
	m.upstream = newUpstream(c.t, func(ctx context.Context, request string) (string, error) {
		if m.stuck.Load() {
			<-ctx.Done()
			return "", ctx.Err()
		}
		if request == "" { // HealthCheck
			return "", nil
		}
		m.calls.Add(1)
		if err := m.sick.Load(); err != nil {
			return "", *err
		}
		if request == "slow" {
			time.Sleep(30 * time.Second)
		}
		return m.ip.String(), nil
	})
	c.t.Cleanup(m.melt)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[m.ip] = m
	c.dns = append(c.dns, m.ip)
	return m
}

func (m *member) melt() { m.thawing.Do(func() { close(m.thaw) }) }

func (c *cluster) member(i int) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[address(i)]
}

// says changes the answer of DNS.
func (c *cluster) says(fail error, members ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail, c.dns = fail, nil
	for _, i := range members {
		c.dns = append(c.dns, address(i))
	}
}

func (c *cluster) lookup(ctx context.Context, _ string) ([]netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if errors.Is(c.fail, context.DeadlineExceeded) {
		c.mu.Unlock()
		<-ctx.Done()
		c.mu.Lock()
		return nil, ctx.Err()
	}
	return append([]netip.Addr(nil), c.dns...), c.fail
}

// endpoint is how the pool reaches a member.
func (c *cluster) endpoint(at netip.AddrPort) pool.Endpoint {
	return pool.Endpoint{Address: at.String(), Dial: func(ctx context.Context) (net.Conn, error) {
		c.mu.Lock()
		m := c.nodes[at.Addr()]
		c.mu.Unlock()
		switch {
		case m == nil || m.refusing.Load():
			return nil, errors.New("connection refused")
		case m.hung.Load():
			<-ctx.Done()
			return nil, ctx.Err()
		}
		conn, err := m.dial(ctx)
		if err != nil {
			return nil, err
		}
		return &hangingConn{Conn: conn, m: m}, nil
	}}
}

// hangingConn swallows what is written and brings nothing while its member is hung.
type hangingConn struct {
	net.Conn
	m *member
}

func (h *hangingConn) Write(p []byte) (int, error) {
	if h.m.hung.Load() {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

// dns makes a pool that asks the cluster's DNS.
func (c *cluster) pool(change ...func(*pool.Config)) *pool.Pool {
	c.t.Helper()
	conf := pool.Config{
		Resolver: &pool.Resolver{Name: "qdrant.test", Port: 6334, Lookup: c.lookup, Endpoint: c.endpoint},
		Size:     2, HealthInterval: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(c.t.Output(), nil)),
	}
	for _, f := range change {
		f(&conf)
	}
	p := pool.New(conf)
	c.t.Cleanup(p.Close)
	return p
}

// list makes the pool one of a fixed list.
func (c *cluster) list(members int) func(*pool.Config) {
	return func(conf *pool.Config) {
		conf.Resolver = nil
		for i := range members {
			conf.Endpoints = append(conf.Endpoints, c.endpoint(netip.AddrPortFrom(address(i), 6334)))
		}
	}
}

// client is a caller with a home.
type client struct {
	pool *pool.Pool
	home *pool.Home
}

func newClient(p *pool.Pool) *client { return &client{p, new(pool.Home)} }

// call makes a call, tells how it went, and returns which member answered.
func (c *client) call(ctx context.Context, message string) (string, error) {
	n, err := c.pool.Choose(ctx, c.home)
	if err != nil {
		return "", err
	}
	lease, err := n.Lend(ctx, nil, false)
	if err != nil {
		return "", err
	}
	defer lease.Release()
	response, err := lease.Unary(ctx, request(message))
	if err != nil {
		if lost, ok := errors.AsType[*pool.LostError](err); !ok || lost.Sent && (lost.First || !lost.Together) {
			lease.Report(true)
		}
		return "", err
	}
	defer response.Close()
	if err := response.Err(); err != nil {
		lease.Report(true)
		return "", err
	}
	lease.Report(false)
	body := response.Body.Materialize()
	return string(body[5:]), nil
}

// must is call where nothing can go wrong.
func (c *client) must(t *testing.T) string {
	t.Helper()
	answer, err := c.call(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// homes counts the homes at each endpoint.
func homes(p *pool.Pool) map[string]int {
	found := make(map[string]int)
	for _, e := range p.State().Endpoints {
		host, _, _ := net.SplitHostPort(e.Address)
		found[host] = e.Clients
	}
	return found
}

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
		time.Sleep(15 * time.Second)
		for range 30 {
			time.Sleep(time.Second)
			for _, client := range clients {
				client.must(t)
			}
		}
		for ip, n := range homes(p) {
			if n < 8 || n > 12 {
				t.Errorf("after its return %d of 30 clients are at home at %s", n, ip)
			}
		}
	})
}

// TestHungNodeIsFound: one whose sockets are open and that answers nothing is left
// within seconds, and its return is noticed.
func TestHungNodeIsFound(t *testing.T) {
	for _, kind := range []string{"the process is stopped", "calls hang"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				p := c.pool(c.list(3))
				time.Sleep(time.Minute)
				m := c.member(2)
				hung := &m.stuck
				if kind == "the process is stopped" {
					hung = &m.hung
				}
				hung.Store(true)
				start := time.Now()
				for standing(p, m) == pool.Good {
					time.Sleep(10 * time.Millisecond)
					if time.Since(start) > 6*time.Second {
						t.Fatal("it was not noticed within 6 s")
					}
				}
				t.Logf("noticed after %v", time.Since(start))
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
			c.member(i).refusing.Store(true)
			c.member(i).server.Stop()
		}
		c.says(nil, 2)
		start := time.Now()
		eventually(t, "the new address", 2*time.Second, func() bool { return standing(p, c.member(2)) == pool.Good })
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
