package rest

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// site is one REST API: the only one, or that of a node.
type site struct {
	upstream  pool.Endpoint
	transport *http.Transport
	breakers  *resilience.Breakers
}

func (s *Server) newSite(up pool.Endpoint) *site {
	return &site{
		upstream: up, transport: newTransport(up, &s.buffers),
		breakers: resilience.NewBreakers(resilience.BreakerConfig{OnChange: s.cfg.Observer.BreakerChanged}, up.Address, Routes()),
	}
}

// host is the host of requests over TLS.
func (t *site) host() string {
	if t.upstream.Authority != "" {
		return t.upstream.Authority
	}
	return t.upstream.Address
}

// sites are those in use.
type sites struct {
	only *site // nil where there are nodes

	mu sync.Mutex
	by map[string]*site // by the address of the node
	// threshold is that of breakers.
	threshold int
}

// apply sets the threshold of all breakers, and has connections made anew.
func (t *sites) apply(threshold int) {
	t.mu.Lock()
	t.threshold = threshold
	if t.only != nil {
		t.only.breakers.SetThreshold(threshold)
	}
	for _, one := range t.by {
		one.breakers.SetThreshold(threshold)
	}
	t.mu.Unlock()
	t.closeIdle()
}

// of returns the site of a node. Those of nodes that are gone are forgotten.
func (s *Server) siteOf(n *pool.Node) *site {
	nodes := s.cfg.Nodes.Pool.Nodes()
	s.sites.mu.Lock()
	defer s.sites.mu.Unlock()
	found := s.sites.by[n.Address()]
	if found == nil {
		for address, old := range s.sites.by {
			if !slices.ContainsFunc(nodes, func(n *pool.Node) bool { return n.Address() == address }) {
				old.transport.CloseIdleConnections()
				delete(s.sites.by, address)
			}
		}
		if s.sites.by == nil {
			s.sites.by = map[string]*site{}
		}
		found = s.newSite(s.cfg.Nodes.Upstream(n.Address()))
		found.breakers.SetThreshold(s.sites.threshold)
		s.sites.by[n.Address()] = found
	}
	found.breakers.SetAlone(len(nodes) == 1)
	return found
}

func (t *sites) closeIdle() {
	if t.only != nil {
		t.only.transport.CloseIdleConnections()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.by {
		one.transport.CloseIdleConnections()
	}
}

// choose finds an attempt its site, as the gRPC side does: that of the node where the
// client is at home, or another one for a request that failed there.
func (x *exchange) choose(ctx context.Context) (err error) {
	nodes := x.server.cfg.Nodes
	if nodes == nil {
		x.site = x.server.sites.only
		return nil
	}
	switch before := x.node; {
	case before != nil && x.route.local:
		// Another node would answer something else.
	case x.route.local && len(nodes.Pool.Nodes()) > 0:
		// What is on a node's disk is to be found again, and over HTTP/1 the next request
		// of the same client may come over another connection.
		x.node = nodes.Pool.Nodes()[0]
	case before == nil || before.Out():
		x.node, err = nodes.Pool.Choose(ctx, homeOf(ctx))
	case x.elsewhere:
		x.node = nodes.Pool.Other(before)
	}
	if err == nil {
		x.site = x.server.siteOf(x.node)
	}
	return err
}

// allow asks the breaker, and, where it refuses, those of other nodes that are well.
func (x *exchange) allow() error {
	permit, refused := x.site.breakers.Allow(x.route.index)
	if refused == nil {
		x.permit = permit
	}
	if refused == nil || x.node == nil || x.route.local {
		return refused
	}
	for _, n := range x.server.cfg.Nodes.Pool.Nodes() {
		if n == x.node || n.Standing() != pool.Good {
			continue
		}
		other := x.server.siteOf(n)
		if permit, err := other.breakers.Allow(x.route.index); err == nil {
			x.node, x.site, x.permit = n, other, permit
			return nil
		}
	}
	return refused
}

// report tells the pool what an attempt says of its node. That nothing listens on a
// node's REST port says nothing of its gRPC API.
func (x *exchange) report() {
	if x.node == nil {
		return
	}
	v := x.verdict
	switch {
	case v.Fault.Well():
		x.node.Report(false)
	case v.Fault == resilience.Upstream && (v.Cause == resilience.Lost || v.Cause == resilience.Internal || v.Cause == resilience.Unavailable):
		x.node.Report(true)
	}
}

// homeListener gives each connection of a client a home.
type homeListener struct{ net.Listener }

// Accept implements [net.Listener].
func (l homeListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &homeConn{Conn: conn}, nil
}

type homeConn struct {
	net.Conn
	home pool.Home
}

// Close ends the home, too.
func (c *homeConn) Close() error {
	c.home.Close()
	return c.Conn.Close()
}

type homeKey struct{}

// withHome has the requests of a connection find its home.
func withHome(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*homeConn); ok {
		return context.WithValue(ctx, homeKey{}, &c.home)
	}
	return ctx
}

func homeOf(ctx context.Context) *pool.Home {
	home, _ := ctx.Value(homeKey{}).(*pool.Home)
	return home
}
