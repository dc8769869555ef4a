package pool

import (
	"slices"
	"time"

	"qdrant-sidecar/internal/h2"
)

// State is a snapshot of the pool.
type State struct {
	// Size is the bound on connections to each endpoint.
	Size int
	// CallsPerConnection is how many calls a connection carries before the next
	// one is opened.
	CallsPerConnection int
	// Endpoints are the present ones, in the order of the configuration; removed ones
	// follow for as long as they drain.
	Endpoints []EndpointState
	// Unresolved is why there is no endpoint at all; nil while that is not known.
	Unresolved *ConnectError
}

// EndpointState is a snapshot of one endpoint.
type EndpointState struct {
	Address  string
	TLS      bool
	Standing Standing
	// Connections has as many entries as may be open.
	Connections []Connection
	// LastFailure is why the newest attempt to connect failed; nil when the
	// newest succeeded or none has ended yet.
	LastFailure *ConnectError
	// FailedAt is when that was; meaningless while LastFailure is nil.
	FailedAt time.Time
	// Lost is when the last connection that took calls went; zero while there is one,
	// and if there never was.
	Lost time.Time
	// Clients is how many client connections are at home here.
	Clients int
	// Ejections counts how often it was ejected.
	Ejections uint64
	// FailedChecks counts the HealthChecks that were not answered in time.
	FailedChecks uint64
	// GoAways counts those of a graceful end, those because of too many resets, and
	// others.
	GoAways, TooManyResets, OtherGoAways uint64
	// Dials counts the attempts to connect by [DialOutcome], Ended the connections that
	// have ended by [Ending].
	Dials, Ended []uint64
	// Traffic is what the connections have carried, those before included.
	Traffic h2.TrafficCount
	// CheckTook is how long the newest HealthCheck took that was answered; 0 before.
	CheckTook time.Duration
}

// Connection is a snapshot of one connection.
type Connection struct {
	ID       int
	State    ConnState
	InFlight int
	// Opened is when the connection became ready; zero while it is not open.
	Opened time.Time
	// Calls counts the calls ever sent in this place, earlier connections included.
	Calls uint64
	// RoundTrip is what the newest PING took; 0 before the first, and while the
	// connection is not open.
	RoundTrip time.Duration
}

// Ready returns how many endpoints have a connection that takes calls, or had one
// until that long ago: who is asked whether he is ready should not change his mind
// because of every reconnect.
func (s State) Ready(grace time.Duration) int {
	n := 0
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		lately := !e.Lost.IsZero() && time.Since(e.Lost) < grace
		if e.Standing > Drained && (e.Ready() > 0 || lately) {
			n++
		}
	}
	return n
}

// Drained returns how many endpoints an operator has taken out.
func (s State) Drained() int {
	n := 0
	for i := range s.Endpoints {
		if s.Endpoints[i].Standing == Drained {
			n++
		}
	}
	return n
}

// LastFailure is why the newest attempt to connect to any endpoint failed, if the
// newest failed; nil otherwise.
func (s State) LastFailure() *ConnectError {
	last := s.Unresolved
	var at time.Time
	for _, e := range s.Endpoints {
		if e.LastFailure != nil && e.FailedAt.After(at) {
			last, at = e.LastFailure, e.FailedAt
		}
	}
	return last
}

// Ready returns how many connections take calls.
func (s EndpointState) Ready() int {
	n := 0
	for _, c := range s.Connections {
		if c.State == Ready {
			n++
		}
	}
	return n
}

// State returns a snapshot. What it says of one endpoint is of one moment.
func (p *Pool) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := State{Size: p.cfg.Size, CallsPerConnection: CallsPerConnection, Unresolved: p.unresolved}
	for _, n := range p.Nodes() {
		state.Endpoints = append(state.Endpoints, n.state())
	}
	for _, n := range p.leaving {
		state.Endpoints = append(state.Endpoints, n.state())
	}
	return state
}

func (n *Node) state() EndpointState {
	n.mu.Lock()
	defer n.mu.Unlock()
	state := EndpointState{
		Address:       n.endpoint.Address,
		TLS:           n.endpoint.TLS != nil,
		Standing:      n.Standing(),
		LastFailure:   n.failure,
		FailedAt:      n.failedAt,
		Lost:          n.lost,
		Clients:       int(n.homes.Load()),
		Ejections:     n.ejection.total,
		FailedChecks:  n.health.failed,
		GoAways:       n.goAways.graceful,
		TooManyResets: n.goAways.tooManyResets,
		OtherGoAways:  n.goAways.other,
		Dials:         slices.Clone(n.dials[:]),
		Ended:         slices.Clone(n.ended[:]),
		Traffic:       n.traffic.Count(),
		CheckTook:     n.health.took,
	}
	for _, c := range n.conns {
		view := Connection{ID: c.id, State: c.state, InFlight: c.inFlight, Calls: c.calls}
		if c.transport != nil {
			view.Opened, view.RoundTrip = c.opened, time.Duration(c.transport.ping.Load())
		}
		state.Connections = append(state.Connections, view)
	}
	return state
}
