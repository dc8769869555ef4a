package run

import "time"

// Direct is the name of the row without a proxy.
const Direct = "direct"

// Table is what a cell measured. Rows are in the order of targets, Direct first.
type Table struct {
	Cell Cell
	Rows []Row
}

// Row is one target in a cell.
type Row struct {
	Target string
	// Rounds has an entry for each round, by number, so that rows can be compared
	// within a round. It is shorter when Failure is set.
	Rounds []Round
	// Memory is set in cells about memory.
	Memory *Memory
	// Failure says why there is nothing, or less than asked.
	Failure string
}

// Round is one measured window.
type Round struct {
	Calls    int           // that ended well within the window; no other is in a round
	Rate     float64       // calls a second
	MB       float64       // 10⁶ bytes of messages a second, in the larger direction
	CPU      time.Duration // of the proxy, a call; 0 for Direct
	P50, P99 time.Duration
}

// Memory is what a proxy holds resident, in bytes.
type Memory struct {
	// Base is after some calls, before the connections or calls in question.
	Base int64
	// Opened is with idle connections that made no call yet; Peak is the most, with
	// idle connections after a call on each, or with calls in flight.
	Opened, Peak int64
	// After is when all have been gone for a while.
	After int64
	// Rate is calls a second while they were in flight.
	Rate float64
}

// Row returns the row of a target, if it has one that did not fail.
func (t Table) Row(target string) (Row, bool) {
	for _, r := range t.Rows {
		if r.Target == target && r.Failure == "" {
			return r, true
		}
	}
	return Row{}, false
}
