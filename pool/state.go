package pool

import "time"

// State is a snapshot of the pool.
type State struct {
	Address string
	TLS     bool
	// Size is the bound on connections; Connections has that many entries.
	Size int
	// CallsPerConnection is how many calls a connection carries before the next
	// one is opened.
	CallsPerConnection int
	Connections        []Connection
	// LastFailure is why the newest attempt to connect failed; nil when the
	// newest succeeded or none has ended yet.
	LastFailure *ConnectError
	// FailedAt is when that was; meaningless while LastFailure is nil.
	FailedAt time.Time
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
}

// Ready returns how many connections take calls.
func (s State) Ready() int {
	n := 0
	for _, c := range s.Connections {
		if c.State == Ready {
			n++
		}
	}
	return n
}

// State returns a snapshot.
func (p *Pool) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := State{
		Address:            p.endpoint.Address,
		TLS:                p.endpoint.TLS != nil,
		Size:               len(p.conns),
		CallsPerConnection: CallsPerConnection,
		LastFailure:        p.failure,
		FailedAt:           p.failedAt,
	}
	for _, c := range p.conns {
		view := Connection{ID: c.id, State: c.state, InFlight: c.inFlight, Calls: c.calls}
		if c.transport != nil {
			view.Opened = c.opened
		}
		state.Connections = append(state.Connections, view)
	}
	return state
}

// readyLocked counts the connections that take calls.
func (p *Pool) readyLocked() int {
	n := 0
	for _, c := range p.conns {
		if c.state == Ready {
			n++
		}
	}
	return n
}
