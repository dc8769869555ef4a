package pool

import (
	"math/rand/v2"
	"time"
)

// Ejection by the outcomes of calls. The count is Envoy's. Its 30 s are too long for
// nodes of which a HealthCheck says within a second that they are back, so the time
// begins with less and doubles.
const (
	ejectAfter = 5 // failures in a row
	ejectBase  = 5 * time.Second
	ejectCap   = 5 * time.Minute
	// forgetAfter is how long a node must have been well for its next ejection to be
	// as short as the first.
	forgetAfter = 5 * time.Minute
	// warmUp is how long a node that came into use gets less than its share.
	warmUp = 10 * time.Second
)

// ejection is guarded by its node's mu. To eject takes the pool's, too.
type ejection struct {
	ejected bool
	count   int // in a row
	total   uint64
	until   time.Time // of the present one, or the last
	end     *time.Timer
}

func (e *ejection) stop() {
	if e.end != nil {
		e.end.Stop()
	}
}

// Report says how an attempt went that was made with the lease, as far as it says
// something about the node: failed by the node's own fault, or not. Too many failures
// in a row eject the node, for longer each time, unless it is the last that is good
// or half of all are ejected already. What a lost connection took with it is one
// failure ([LostError].First). It may be called after Release.
func (l *Lease) Report(failed bool) { l.conn.node.Report(failed) }

// Report is [Lease.Report] for an attempt that went to the node by another way.
func (n *Node) Report(failed bool) {
	if !failed {
		if n.failures.Load() != 0 {
			n.failures.Store(0)
		}
		return
	}
	n.Suspect()
	if len(n.pool.Nodes()) < 2 {
		return
	}
	if n.failures.Add(1) >= ejectAfter {
		n.pool.eject(n)
	}
}

// eject takes n out of the choice for a while, if there are enough others.
func (p *Pool) eject(n *Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	nodes := p.Nodes()
	ejected, others := 0, 0
	for _, other := range nodes {
		switch {
		case other == n:
		case other.isEjected():
			ejected++
		case other.Standing() == Good:
			others++
		}
	}
	if others == 0 || 2*(ejected+1) > len(nodes) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e := &n.ejection
	if e.ejected || n.gone || n.closed {
		return
	}
	if time.Since(e.until) > forgetAfter {
		e.count = 0
	}
	d := ejectionTime(e.count)
	e.ejected, e.until = true, time.Now().Add(d)
	e.count++
	e.total++
	e.end = time.AfterFunc(d, n.pardon)
	n.failures.Store(0)
	n.judgeLocked()
	n.log.Warn("endpoint ejected: too many calls failed there in a row", "seconds", d.Seconds())
}

// ejectionTime is drawn from the upper half of its range, so that sidecars do not
// come back together, and never at once.
func ejectionTime(before int) time.Duration {
	ceiling := min(ejectCap, ejectBase<<min(before, 10))
	return ceiling/2 + rand.N(ceiling/2+1)
}

// pardon ends an ejection. A node whose HealthCheck is not answered stays out for
// that reason.
func (n *Node) pardon() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ejection.ejected || n.closed {
		return
	}
	n.ejection.ejected = false
	n.failures.Store(0)
	n.warm = time.Now()
	n.judgeLocked()
	n.log.Info("endpoint no longer ejected")
}

func (n *Node) isEjected() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ejection.ejected
}
