package pool

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qdrant-sidecar/internal/h2"
)

// Home is where the calls of one client go. Changes of a collection show on one node
// before they do on another, and snapshots are on the node's own disk; so a client
// stays with a node for as long as that is good.
type Home struct {
	at atomic.Pointer[Node]

	mu     sync.Mutex // of changes of at
	closed bool
}

// Close ends the home with its client.
func (h *Home) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.moveLocked(nil)
}

func (h *Home) moveLocked(to *Node) {
	if to != nil {
		to.homes.Add(1)
	}
	if from := h.at.Swap(to); from != nil {
		from.homes.Add(-1)
	}
}

// Choose returns the node for a call: the client's home, or, where it has none yet or
// its home is not good any more, a new one; that is the less loaded of two random
// ones. A nil home is that of nobody. While nothing is known of any node Choose
// waits for as long as there is hope; the error is as of [Node.Lend].
func (p *Pool) Choose(ctx context.Context, h *Home) (*Node, error) {
	nodes := p.Nodes()
	if len(nodes) == 1 {
		return nodes[0], nil
	}
	if h != nil {
		if n := h.at.Load(); n != nil && n.Standing() == Good && n.surplus.Load() <= 0 {
			return n, nil
		}
	}
	if len(nodes) == 0 {
		var err error
		if nodes, err = p.await(ctx); err != nil {
			return nil, err
		}
	}
	if h == nil {
		return best(nodes, nil), nil
	}
	return h.settle(nodes), nil
}

// settle finds the client a home.
func (h *Home) settle(nodes []*Node) *Node {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.at.Load()
	var avoid *Node
	if at != nil && at.Standing() == Good {
		if at.surplus.Load() <= 0 || at.surplus.Add(-1) < 0 {
			return at // somebody else has just moved, if not this client
		}
		avoid = at
	}
	to := best(nodes, avoid)
	if to == nil || at != nil && at.Standing() >= to.Standing() && to.Standing() < Good {
		return at // it is nowhere better
	}
	if !h.closed {
		h.moveLocked(to)
	}
	return to
}

// Other returns another node for a call that should not go to n; n itself when no
// other stands at least as well, or has a connection.
func (p *Pool) Other(n *Node) *Node {
	other := best(p.Nodes(), n)
	if other == nil || other.Standing() < Good && other.Standing() <= n.Standing() {
		return n
	}
	return other
}

// best returns the less loaded of two random nodes of those that stand best; not
// the one to avoid, so nil if there is no other.
func best(nodes []*Node, avoid *Node) *Node {
	standing, count := Gone, 0
	for _, n := range nodes {
		switch s := n.Standing(); {
		case n == avoid:
		case count == 0 || s > standing:
			standing, count = s, 1
		case s == standing:
			count++
		}
	}
	if count == 0 {
		return nil
	}
	// Where two are drawn of those that stand so, without a list of them.
	first, second := rand.IntN(count), -1
	if count > 1 {
		second = (first + 1 + rand.IntN(count-1)) % count
	}
	var a, b *Node
	i := 0
	for _, n := range nodes {
		if n == avoid || n.Standing() != standing {
			continue
		}
		switch i {
		case first:
			a = n
		case second:
			b = n
		}
		i++
	}
	switch {
	case a == nil && b == nil: // all have changed meanwhile
		for _, n := range nodes {
			if n != avoid {
				return n
			}
		}
		return nil
	case a == nil:
		return b
	case b == nil || a.burden() <= b.burden():
		return a
	default:
		return b
	}
}

// burden is what a node carries, more than that while it is warming up. Clients
// count as well as their calls: those that are quiet now come back.
func (n *Node) burden() float64 {
	return (float64(n.load()) + float64(n.homes.Load()) + 1) / n.warmth()
}

// warmth is how much of its share a node is to carry: a tenth when it comes into use,
// and all of it, which is 1, when it has been there for warmUp.
func (n *Node) warmth() float64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return min(1, max(0.1, float64(time.Since(n.warm))/float64(warmUp)))
}

// hasBetter reports whether another node stands better.
func (p *Pool) hasBetter(n *Node) bool {
	s := n.Standing()
	for _, other := range p.Nodes() {
		if other != n && other.Standing() > s {
			return true
		}
	}
	return false
}

// hasGood reports whether a node is good, n aside.
func (p *Pool) hasGood(n *Node) bool {
	return slices.ContainsFunc(p.Nodes(), func(other *Node) bool { return other != n && other.Standing() == Good })
}

// balanceInterval is how often clients are counted.
const balanceInterval = time.Second

// balance has clients move that came to a node because others were missing. It moves
// no more than is needed, one by one as they make calls, and to a node that is warming
// up as it gets warm.
func (p *Pool) balance() {
	ticker := time.NewTicker(balanceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.count()
		case <-p.ctx.Done():
			return
		}
	}
}

// count finds out how many clients of which nodes should move: one goes from the node
// that has most to the one that would carry least with it, for as long as that is less
// than what it comes from. A node that is warming up carries more by the measure of
// [Node.burden], so that its clients come back one after the other; the first of them,
// and that it is used at all, within seconds. Among warm ones it ends with a difference
// of one.
func (p *Pool) count() {
	type side struct {
		node          *Node
		homes, warmth float64
		surplus       int64
	}
	var good []*side
	for _, n := range p.Nodes() {
		if n.Standing() == Good {
			good = append(good, &side{node: n, homes: float64(n.homes.Load()), warmth: n.warmth()})
		} else {
			n.surplus.Store(0)
		}
	}
	for len(good) > 0 {
		from := slices.MaxFunc(good, func(a, b *side) int { return cmp.Compare(a.homes, b.homes) })
		to := slices.MinFunc(good, func(a, b *side) int { return cmp.Compare((a.homes+1)/a.warmth, (b.homes+1)/b.warmth) })
		if (to.homes+1)/to.warmth >= from.homes {
			break
		}
		from.homes, from.surplus = from.homes-1, from.surplus+1
		to.homes++
	}
	for _, s := range good {
		s.node.surplus.Store(s.surplus)
	}
}

// await waits for a set.
func (p *Pool) await(ctx context.Context) ([]*Node, error) {
	timer := time.NewTimer(pickTimeout)
	defer timer.Stop()
	for {
		p.mu.Lock()
		nodes, changed, closed, unresolved := p.Nodes(), p.changed, p.closed, p.unresolved
		p.mu.Unlock()
		switch {
		case len(nodes) > 0:
			return nodes, nil
		case closed:
			return nil, ErrClosed
		case unresolved != nil:
			return nil, unresolved
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, h2.Cause(ctx)
		case <-timer.C:
			return nil, &ConnectError{Address: p.cfg.Resolver.address(), Reason: errSlowDNS.Error(), Err: errSlowDNS}
		}
	}
}
