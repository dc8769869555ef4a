package pool

import (
	"context"

	"qdrant-sidecar/internal/h2"
)

// Reconnect replaces the connections that are open now to the endpoint at an address,
// or to all for "", one after another. The next one is opened before an old one takes
// no more calls, as long as there is a place for it. Where there is none an old one
// goes first, if others are there to take the calls; one that is alone goes in a
// moment without calls. So no call is cut, hardly one waits, and the bound on
// connections holds.
//
// It returns how many were replaced: when none of the old ones takes calls any more,
// or when ctx ends, with its cause. What is not replaced by then stays. Connections
// that cannot be opened anew are waited for, and the old ones stay meanwhile.
func (p *Pool) Reconnect(ctx context.Context, address string) (replaced int, err error) {
	nodes := p.Nodes()
	if address != "" {
		p.mu.Lock()
		n, err := p.findLocked(address)
		p.mu.Unlock()
		if err != nil {
			return 0, err
		}
		nodes = []*Node{n}
	}
	// Those that come while others are replaced are new already.
	old := make([]map[*transport]bool, len(nodes))
	for i, n := range nodes {
		old[i] = n.transports()
	}
	for i, n := range nodes {
		count, err := n.replace(ctx, old[i])
		replaced += count
		if err != nil {
			return replaced, err
		}
	}
	return replaced, nil
}

// transports are those of the connections that take calls.
func (n *Node) transports() map[*transport]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := make(map[*transport]bool)
	for _, c := range n.conns {
		if c.state == Ready {
			found[c.transport] = true
		}
	}
	return found
}

// replace does for one node what Reconnect does for all.
func (n *Node) replace(ctx context.Context, old map[*transport]bool) (replaced int, err error) {
	// Two at a time would each count on the connections that the other retires.
	select {
	case n.reconnecting <- struct{}{}:
		defer func() { <-n.reconnecting }()
	case <-ctx.Done():
		return 0, h2.Cause(ctx)
	}
	defer n.stopReplacing()
	retired := 0
	for {
		changed, over := n.retireNext(old, &retired)
		if over {
			return len(old), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return retired, h2.Cause(ctx)
		case <-n.pool.ctx.Done():
			return retired, ErrClosed
		}
	}
}

func (n *Node) stopReplacing() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.replacing = false
}

// retireNext retires the least busy of the old connections, if that is possible now.
// It returns what to wait for before asking again; over says that there is none left.
func (n *Node) retireNext(old map[*transport]bool, retired *int) (changed <-chan struct{}, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var next *connection
	fresh := 0
	for _, c := range n.conns {
		switch {
		case c.state != Ready:
		case !old[c.transport]:
			fresh++
		case next == nil || c.inFlight < next.inFlight:
			next = c
		}
	}
	if next == nil {
		return nil, true
	}
	n.replacing = true
	if n.mayRetireLocked(next, fresh, *retired) {
		next.state = Draining
		close(next.retired)
		*retired++
		n.wakeLocked() // also for ourselves
	}
	return n.changed, false
}

// mayRetireLocked says whether calls can do without the connection, after so many
// have been retired and so many are new.
func (n *Node) mayRetireLocked(c *connection, fresh, retired int) bool {
	if fresh <= retired && n.growLocked() {
		return false // its successor is on its way
	}
	if n.readyLocked() > 1 {
		// With no place for a successor it goes first; but after those before it have
		// theirs, which may take as long as their last calls.
		return fresh >= retired
	}
	return c.inFlight == 0
}
