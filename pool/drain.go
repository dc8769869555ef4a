package pool

import (
	"errors"
	"fmt"
	"strings"
)

// What [Pool.Drain] and its like answer.
var (
	// ErrNoEndpoint is in the error for an address that no present endpoint has.
	ErrNoEndpoint = errors.New("there is no such endpoint")
	// ErrLastGood says that no other endpoint is good.
	ErrLastGood = errors.New("no other endpoint is good, so that calls would fail")
)

// errDrained is why there is no connection to a node that an operator took out.
var errDrained = errors.New("an operator has drained it (qdrant-sidecar undrain brings it back)")

// Drain takes the endpoint at an address out: nothing new goes there, clients whose
// home it was find another, and its connections close with their last calls. It
// stays so until Undrain, or until the resolver drops the address. Unless forced it
// fails with [ErrLastGood] where no other endpoint is good. To drain one that is
// drained changes nothing.
func (p *Pool) Drain(address string, force bool) (EndpointState, error) {
	// Two that are drained at once must not each be the other's reason.
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.findLocked(address)
	if err != nil {
		return EndpointState{}, err
	}
	if !force && n.Standing() != Drained && !p.hasGood(n) {
		return EndpointState{}, ErrLastGood
	}
	if n.setDrained(true) {
		n.log.Info("endpoint drained")
	}
	return n.state(), nil
}

// Undrain brings back what Drain took out. It connects anew, in the places that no
// draining connection holds any more.
func (p *Pool) Undrain(address string) (EndpointState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.findLocked(address)
	if err != nil {
		return EndpointState{}, err
	}
	if n.setDrained(false) {
		n.log.Info("endpoint no longer drained")
	}
	return n.state(), nil
}

// findLocked returns the node of the present set at an address.
func (p *Pool) findLocked(address string) (*Node, error) {
	var known []string
	for _, n := range p.Nodes() {
		if n.endpoint.Address == address {
			return n, nil
		}
		known = append(known, n.endpoint.Address)
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("%w: there is none at all", ErrNoEndpoint)
	}
	return nil, fmt.Errorf("%w as %q, but %s", ErrNoEndpoint, address, strings.Join(known, ", "))
}

// setDrained reports whether that changed anything.
func (n *Node) setDrained(drained bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.drained == drained || n.closed {
		return false
	}
	n.drained = drained
	if drained {
		n.endLocked()
	} else {
		n.beginLocked()
	}
	return true
}

// outLocked says that the node is not to be used, for whichever reason.
func (n *Node) outLocked() bool { return n.gone || n.drained }

// nowLocked is where a call goes instead of to a node that is out.
func (n *Node) nowLocked() error {
	if !n.gone && !n.pool.hasBetter(n) {
		return &ConnectError{Address: n.endpoint.Address, Reason: errDrained.Error(), Err: errDrained}
	}
	return n.elsewhereLocked()
}
