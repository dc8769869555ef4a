package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
)

// cluster is a number of upstreams that are found by their address, and what the
// weather does to them.
type cluster struct {
	t       *testing.T
	options []grpc.ServerOption

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
	// refusing has connections fail, hung has them stay open and carry nothing,
	// stuck has calls hang while the transport is well, late has them end as too slow,
	// foreign has it be no Qdrant.
	refusing, hung, stuck, late, foreign atomic.Bool
	sick                                 atomic.Pointer[error]
	calls                                atomic.Int64 // less HealthChecks
	underWay                             atomic.Int64 // of these
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }

func newCluster(t *testing.T, n int, options ...grpc.ServerOption) *cluster {
	t.Helper()
	c := &cluster{t: t, options: options, nodes: make(map[netip.Addr]*member)}
	for i := range n {
		c.add(i)
	}
	return c
}

func (c *cluster) add(i int) *member {
	m := &member{ip: address(i)}
	m.upstream = newUpstream(c.t, func(ctx context.Context, request string) (string, error) {
		if m.stuck.Load() {
			<-ctx.Done()
			return "", ctx.Err()
		}
		if m.late.Load() {
			return "", status.Error(codes.Canceled, "Timeout expired")
		}
		if m.foreign.Load() {
			return "", status.Error(codes.Unimplemented, "unknown service")
		}
		if request == "" { // HealthCheck
			return "", nil
		}
		m.calls.Add(1)
		m.underWay.Add(1)
		defer m.underWay.Add(-1)
		if err := m.sick.Load(); err != nil {
			return "", *err
		}
		if request == "slow" {
			select {
			case <-time.After(30 * time.Second):
			case <-ctx.Done(): // nobody waits any more
			}
		}
		return m.ip.String(), nil
	}, c.options...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[m.ip] = m
	c.dns = append(c.dns, m.ip)
	return m
}

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

// pool makes one that asks the cluster's DNS, unless a change says otherwise.
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
	var response pool.Response
	if err := lease.Unary(ctx, request(message), &response); err != nil {
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
