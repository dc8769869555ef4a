// Package pool keeps exactly bounded numbers of HTTP/2 connections to the nodes of
// an upstream and lends them to calls.
//
// An [Endpoint] is a place to connect to; a [Node] is one that is in use, with its
// connections. Connections are opened in the background, never on a call's path, and
// filled in order: few calls share few connections, which was measured to be
// cheaper than spreading them. A call has a node chosen first ([Pool.Choose]) and
// then borrows one of its connections ([Node.Lend]); between the two its owner may
// have a say.
package pool

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// CallsPerConnection is how many calls a connection carries before the next one
// is opened. HTTP/2 servers commonly limit a connection to 100 streams (RFC
// 9113 §6.5.2 advises no less). Where a server allows fewer, its limit counts.
const CallsPerConnection = 100

// pickTimeout bounds the wait for a connection. An attempt to connect that is
// given up says why, so it gets the time to do so.
const pickTimeout = connectTimeout + 500*time.Millisecond

// ErrClosed is returned by [Pool.Choose] and [Node.Lend] after [Pool.Close].
var ErrClosed = errors.New("the pool is closed")

// Config is what a Pool is made of.
type Config struct {
	// Endpoints are the nodes of the upstream, by different addresses. Without
	// Resolver there is at least one.
	Endpoints []Endpoint
	// Resolver, if set, says now and again what the endpoints are. Then Endpoints is
	// empty.
	Resolver *Resolver
	// Size bounds the connections to each endpoint, those being opened and those
	// that still drain included. At least 1.
	Size int
	// PingInterval is the time between PINGs on a connection; 0 means 20 s.
	PingInterval time.Duration
	// IdleTimeout is how long a connection must have carried no call to be closed, if
	// it is not the endpoint's last one; up to half as long again. 0 means never.
	IdleTimeout time.Duration
	// MaxAge is how old a connection gets, give or take a tenth. 0 means any age.
	MaxAge time.Duration
	// HealthInterval is the time between HealthChecks of an endpoint, give or take a
	// tenth; it is less while one is in doubt. 0 means none, so that only connections
	// and outcomes of calls tell how an endpoint is.
	HealthInterval time.Duration
	// Logger is told of endpoints that come, fail and go, and of their connections.
	Logger *slog.Logger
}

// Pool is the set of nodes. Its methods may be called concurrently.
type Pool struct {
	cfg     Config
	log     *slog.Logger
	ctx     context.Context // ends with the pool
	stop    context.CancelFunc
	running sync.WaitGroup
	hurry   chan struct{} // asks for the endpoints to be resolved now

	// nodes is the present set, in the order of the configuration. It is replaced as
	// a whole, so that to read it takes no lock.
	nodes atomic.Pointer[[]*Node]
	watch atomic.Pointer[Watch]

	// mu guards the changes of the set and who is ejected. It is taken before a
	// node's.
	mu sync.Mutex
	// leaving are the nodes that were removed and still drain, by address.
	leaving map[string]*Node
	closed  bool
	// unresolved is why there is no set; nil while the first attempt is under way.
	unresolved *ConnectError
	// changed is closed and replaced when one of the two above or the set changes.
	changed chan struct{}
}

// Watch is what the owner of a pool wants to know.
type Watch struct {
	// Changed is called with all nodes before a set of them comes into use. It may keep
	// with the new ones what it needs for them ([Node.Keep]), and must not call
	// methods of the Pool. Sets follow each other; it is not called concurrently.
	Changed func(nodes []*Node)
	// Recovered is called, under no lock, when a node is seen to get well: a
	// connection became ready although there was none or the last attempt had failed,
	// or HealthCheck is answered again.
	Recovered func(*Node)
}

// New returns a Pool that is already connecting.
func New(cfg Config) *Pool {
	ctx, stop := context.WithCancel(context.Background())
	p := &Pool{
		cfg: cfg, log: cfg.Logger, ctx: ctx, stop: stop,
		hurry:   make(chan struct{}, 1),
		leaving: make(map[string]*Node),
		changed: make(chan struct{}),
	}
	p.nodes.Store(new([]*Node))
	p.watch.Store(&Watch{Changed: func([]*Node) {}, Recovered: func(*Node) {}})
	if cfg.Resolver != nil {
		p.running.Go(p.resolve)
	} else {
		p.apply(cfg.Endpoints)
	}
	if cfg.Resolver != nil || len(cfg.Endpoints) > 1 {
		p.running.Go(p.balance)
	}
	return p
}

// Watch replaces what is called; it begins with the present set.
func (p *Pool) Watch(w Watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// In this order, for Recovered may ask for what a node keeps.
	w.Changed(p.Nodes())
	p.watch.Store(&w)
}

// Nodes returns the present set, which is not to be changed.
func (p *Pool) Nodes() []*Node { return *p.nodes.Load() }

// Ping has every connection measure its round trip now, which is the network's alone;
// [Pool.State] tells the outcome once it is there.
func (p *Pool) Ping() {
	for _, n := range p.Nodes() {
		n.pingAll()
	}
}

// apply makes these endpoints the set. What is new connects, what is gone drains,
// and what comes back while it drains goes on with the places that are free.
func (p *Pool) apply(endpoints []Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	before := make(map[string]*Node)
	for _, n := range p.Nodes() {
		before[n.endpoint.Address] = n
	}
	nodes, joining := make([]*Node, 0, len(endpoints)), []*Node{}
	for _, e := range endpoints {
		n := before[e.Address]
		delete(before, e.Address)
		if n == nil {
			if n = p.leaving[e.Address]; n == nil {
				n = newNode(p, e)
			}
			delete(p.leaving, e.Address)
			joining = append(joining, n)
		}
		nodes = append(nodes, n)
	}
	p.unresolved = nil
	p.watch.Load().Changed(nodes)
	for _, n := range joining {
		if p.cfg.Resolver != nil {
			n.log.Info("endpoint added")
		}
		n.join()
	}
	p.nodes.Store(&nodes)
	for address, n := range before {
		n.log.Info("endpoint removed")
		p.leaving[address] = n
		n.leave()
	}
	p.wakeLocked()
}

// left forgets a removed node of which nothing is left.
func (p *Pool) left(n *Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving[n.endpoint.Address] == n && n.unused() {
		delete(p.leaving, n.endpoint.Address)
	}
}

// wakeLocked makes every waiting Choose look again.
func (p *Pool) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Close closes all connections, cutting the calls that are still in flight, and
// returns when they are closed. Later calls do nothing.
func (p *Pool) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		p.wakeLocked()
		for _, n := range p.Nodes() {
			n.close()
		}
		for _, n := range p.leaving {
			n.close()
		}
	}
	p.mu.Unlock()
	p.stop()
	p.running.Wait()
}
