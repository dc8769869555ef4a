package pool

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/internal/h2"
)

// Node is an endpoint in use. Its methods may be called concurrently.
type Node struct {
	endpoint Endpoint
	pool     *Pool
	log      *slog.Logger
	kept     any // written before the node comes into use

	// What Choose looks at on every call.
	standing atomic.Int32 // a [Standing]
	// surplus is how many homes should move to another node.
	surplus atomic.Int64
	homes   atomic.Int64
	// failures is how many attempts have failed in a row by this node's fault.
	failures atomic.Int32
	traffic  h2.Traffic
	// suspect is where the health check is told to look at once.
	suspect chan struct{}
	// reconnecting is held by who replaces the connections.
	reconnecting chan struct{}

	// mu guards everything below, and the mutable fields of connections. It is
	// never held across a system call.
	mu    sync.Mutex
	conns []*connection
	// wanted ends when the node is removed; another one begins if it comes back.
	wanted context.Context
	remove context.CancelFunc
	gone   bool // wanted has ended
	// drained says that an operator took it out: it is in the set, but as if it were
	// gone.
	drained bool
	closed  bool
	// failure is why the newest attempt to connect failed while no other connection
	// was open, and nil from the start or the last success on. While it is nil a
	// call that finds no connection waits for the attempt under way; afterwards it
	// fails at once.
	failure   *ConnectError
	failedAt  time.Time // of failure
	complaint string    // why the newest attempt failed, whatever was open; "" as for failure
	// starving says that a call waits although there are connections.
	starving bool
	// replacing says that somebody waits for a moment without calls.
	replacing bool
	// changed is closed and replaced whenever a waiting Lend should look again.
	changed  chan struct{}
	health   health
	ejection ejection
	goAways  goAways
	dials    [dialOutcomes]uint64
	ended    [endings]uint64
	// connected says that there is a connection, and lost when the last one went.
	connected bool
	lost      time.Time
	// warm is when the node came into use again and may be asked for little first.
	warm time.Time
}

func newNode(p *Pool, e Endpoint) *Node {
	n := &Node{
		endpoint: e,
		pool:     p,
		log:      p.log.With("upstream", e.Address),
		suspect:  make(chan struct{}, 1),
		changed:  make(chan struct{}),

		reconnecting: make(chan struct{}, 1),
	}
	for id := range p.cfg.Size {
		n.conns = append(n.conns, &connection{id: id, node: n})
	}
	return n
}

// join brings the node into use, for the first time or again.
func (n *Node) join() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone, n.drained = false, false
	n.beginLocked()
}

// beginLocked has the node connect.
func (n *Node) beginLocked() {
	n.wanted, n.remove = context.WithCancel(n.pool.ctx)
	// What is counted goes on.
	n.health, n.ejection = health{failed: n.health.failed}, ejection{total: n.ejection.total}
	n.failures.Store(0)
	n.growLocked()
	n.judgeLocked()
	if n.pool.cfg.HealthInterval > 0 {
		wanted := n.wanted
		n.pool.running.Go(func() { n.checkHealth(wanted) })
	}
}

// leave ends the use of the node: its connections close with their last calls.
func (n *Node) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = true
	n.endLocked()
	if n.unusedLocked() {
		n.pool.running.Go(func() { n.pool.left(n) })
	}
}

// endLocked has the connections close with their last calls.
func (n *Node) endLocked() {
	n.ejection.stop()
	n.remove()
	n.judgeLocked()
	n.wakeLocked()
}

// close has calls that wait end. The pool's context ends the rest.
func (n *Node) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.ejection.stop()
	n.wakeLocked()
}

// Address returns the endpoint's address.
func (n *Node) Address() string { return n.endpoint.Address }

// Keep has the node keep what its owner needs for it. Only [Watch].Changed may call
// it, and only for a node that keeps nothing yet.
func (n *Node) Keep(v any) { n.kept = v }

// Kept returns what the node keeps; nil for nothing.
func (n *Node) Kept() any { return n.kept }

// Out reports whether nothing new may go to the node: it was removed, or an operator
// took it out.
func (n *Node) Out() bool { return n.Standing() <= Drained }

// Lend lends a connection, which the caller releases. With connections it waits
// only while each carries as many calls as Qdrant allows. Without, it waits,
// hardly longer than an attempt to connect may take, only while nothing speaks
// against the attempt under way; otherwise it fails at once with a
// [*ConnectError] that says why nothing is reachable, with [ErrClosed], or with
// the cause of ctx's end.
//
// A call that has failed on a connection, that of the lease than, which may be
// released by now, is better off on another one. If no other is ready it has one
// opened and waits for it; only when that is not to be had it gets the same again.
// A nil lease avoids nothing.
//
// Unless the call is to stay here, there is no wait for a connection while another
// node has one: then the error is a [*LostError] of a call that was not sent.
func (n *Node) Lend(ctx context.Context, than *Lease, stay bool) (*Lease, error) {
	var avoid *transport
	if than != nil {
		avoid = than.transport
	}
	lease, changed, err := n.try(avoid, stay)
	if lease != nil || err != nil {
		return lease, err
	}
	from := time.Now()
	timer := time.NewTimer(pickTimeout)
	defer timer.Stop()
	for lease == nil && err == nil {
		select {
		case <-changed:
			lease, changed, err = n.try(avoid, stay)
		case <-ctx.Done():
			err = h2.Cause(ctx)
		case <-timer.C:
			avoid = nil
			if lease, changed, err = n.try(nil, stay); lease == nil && err == nil {
				err = n.tooLong()
			}
		}
	}
	if lease != nil {
		lease.waited = time.Since(from)
	}
	return lease, err
}

// tooLong says why a call that has waited for pickTimeout waits no longer; nil
// when it may wait on, because there are connections.
func (n *Node) tooLong() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.readyLocked() > 0 {
		return nil
	}
	// With every place taken by a connection that drains behind a long call, no
	// attempt is under way that would ever fail.
	return &ConnectError{Address: n.endpoint.Address, Reason: "no connection became usable in time", Err: errNoAnswer}
}

// try returns a lease, or what to wait for, or why not to.
func (n *Node) try(avoid *transport, stay bool) (*Lease, <-chan struct{}, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, nil, ErrClosed
	}
	if n.outLocked() && !stay {
		return nil, nil, n.nowLocked()
	}
	c, full := n.chooseLocked(avoid)
	if c != nil {
		c.inFlight++
		c.calls++
		return &Lease{conn: c, transport: c.transport}, nil, nil
	}
	n.starving = full
	switch {
	case full:
	case n.outLocked():
		return nil, nil, n.nowLocked()
	case n.failure != nil:
		return nil, nil, n.failure
	case !stay && n.pool.hasBetter(n):
		return nil, nil, n.elsewhereLocked()
	}
	return nil, n.changed, nil
}

// elsewhereLocked sends a call to another node.
func (n *Node) elsewhereLocked() error {
	return &LostError{Address: n.endpoint.Address, Code: codes.Unavailable, Err: errNotHere}
}

// chooseLocked returns the first ready connection with room. When all have
// reached CallsPerConnection it asks for one more and returns the least loaded
// that the server allows another call. Otherwise it returns nil, and whether that
// is because all are full. The connection to avoid is as good as not there,
// unless there is no hope for another.
func (n *Node) chooseLocked(avoid *transport) (choice *connection, full bool) {
	var least, avoided *connection
	for _, c := range n.conns {
		if c.state != Ready || c.transport.isDown() {
			continue // its own goroutine may not have noticed yet
		}
		if c.transport == avoid {
			avoided = c
			continue
		}
		full = true
		limit := c.transport.maxCalls()
		if c.inFlight < min(limit, CallsPerConnection) {
			return c, false
		}
		if c.inFlight < limit && (least == nil || c.inFlight < least.inFlight) {
			least = c
		}
	}
	if full || avoided != nil {
		n.growLocked()
	}
	if least != nil || avoided == nil {
		return least, full && least == nil
	}
	if !full && n.complaint == "" && n.connectingLocked() {
		return nil, false
	}
	if avoided.inFlight < avoided.transport.maxCalls() {
		return avoided, false
	}
	return nil, true
}

// connectingLocked reports whether an attempt to connect is under way.
func (n *Node) connectingLocked() bool {
	return slices.ContainsFunc(n.conns, func(c *connection) bool { return c.state == Connecting })
}

// growLocked starts the first unused connection, unless one is on its way. It
// reports whether one is.
func (n *Node) growLocked() bool {
	var unused *connection
	for _, c := range n.conns {
		if c.state == Connecting || c.state == Backoff {
			return true
		}
		if c.state == Unused && unused == nil {
			unused = c
		}
	}
	if unused == nil || n.closed || n.outLocked() {
		return false
	}
	unused.state = Connecting
	wanted := n.wanted
	n.pool.running.Go(func() { unused.run(wanted) })
	return true
}

// readyLocked counts the connections that take calls.
func (n *Node) readyLocked() int {
	ready := 0
	for _, c := range n.conns {
		if c.state == Ready {
			ready++
		}
	}
	return ready
}

// unused reports whether nothing is left of the connections.
func (n *Node) unused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.unusedLocked()
}

func (n *Node) unusedLocked() bool {
	return n.gone && !slices.ContainsFunc(n.conns, func(c *connection) bool { return c.state != Unused })
}

// load is how many calls are in flight.
func (n *Node) load() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	calls := 0
	for _, c := range n.conns {
		calls += c.inFlight
	}
	return calls
}

// wakeLocked makes every waiting Lend look again.
func (n *Node) wakeLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}
