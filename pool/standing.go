package pool

import "time"

// Standing is how much is to be hoped of a node. Choose prefers the highest there
// is, so that the worst is still better than nothing: the last node is always asked,
// but for one that an operator took out.
type Standing int32

// The standings, the worst first.
const (
	Gone    Standing = iota // removed: nothing new goes there
	Drained                 // an operator took it out: likewise
	Down                    // no connection, and the last attempt failed
	Sick                    // HealthCheck is not answered, or Qdrant says that it is not ready yet
	Hopeful                 // no connection yet, but nothing speaks against the attempt under way
	Ejected                 // too many calls have failed there
	Good
)

// String returns the standing's lower-case name, as metrics and logs show it.
func (s Standing) String() string {
	return [...]string{"gone", "drained", "down", "sick", "connecting", "ejected", "good"}[s]
}

// Standing returns how the node stands.
func (n *Node) Standing() Standing { return Standing(n.standing.Load()) }

// Forsaken reports whether the node hangs or is lost while another is good: what waits
// for it has better hope there.
func (n *Node) Forsaken() bool {
	s := n.Standing()
	return (s == Down || s == Sick) && n.pool.hasGood(n)
}

// judgeLocked is called after whatever may change the standing.
func (n *Node) judgeLocked() {
	ready := n.readyLocked() > 0
	switch {
	case ready:
		n.connected, n.lost = true, time.Time{}
	case n.connected:
		n.connected, n.lost = false, time.Now()
	}
	var s Standing
	switch {
	case n.gone:
		s = Gone
	case n.drained:
		s = Drained
	case !ready && n.failure != nil:
		s = Down
	case !ready:
		s = Hopeful
	case n.health.sick || n.health.starting:
		s = Sick
	case n.ejection.ejected:
		s = Ejected
	default:
		s = Good
	}
	before := Standing(n.standing.Swap(int32(s)))
	if before == s {
		return
	}
	if s < Hopeful || before < Hopeful && before > Drained {
		n.log.Debug("endpoint judged", "standing", s.String(), "before", before.String())
	}
	// Whoever waits here may be better off elsewhere now.
	if before > s {
		n.wakeLocked()
	}
}
