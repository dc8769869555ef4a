package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Backoff between attempts to connect: 100 ms · 2ⁿ, jittered so that many
// sidecars do not return to a restarted Qdrant in step, and at most
// 1.5 s, so that calls succeed within 2 s of its return.
const (
	backoffBase = 100 * time.Millisecond
	backoffCap  = 1500 * time.Millisecond
)

// backoffDelay draws the pause after the n-th failure in a row, n from 0, from
// the upper half of its range: the other half keeps a refused port from being
// hammered.
func backoffDelay(n int) time.Duration {
	ceiling := min(backoffCap, backoffBase<<min(n, 10))
	return ceiling/2 + rand.N(ceiling/2+1)
}

// ConnState is where a connection is in its life.
type ConnState int

// The states of a connection. Unused is the zero value.
const (
	Unused     ConnState = iota // not needed so far
	Connecting                  // an attempt to connect is under way
	Backoff                     // the last attempt failed; pausing before the next
	Ready                       // takes calls
	Draining                    // takes no new calls; the last ones are ending
)

// String returns the state's lower-case name, as metrics and the admin API show it.
func (s ConnState) String() string {
	return [...]string{"unused", "connecting", "backoff", "ready", "draining"}[s]
}

// connection is one of a node's places for an HTTP/2 connection. It counts
// as one whatever its state, so that Size bounds sockets exactly: the next
// connection in its place is not opened before the last is closed.
type connection struct {
	id   int
	node *Node

	// Guarded by node.mu.
	state     ConnState
	transport *transport // set while Ready or Draining
	opened    time.Time  // when transport was set
	inFlight  int
	calls     uint64 // ever lent
	// callsBefore is what calls was when transport was set.
	callsBefore uint64
	idle        chan struct{}
	// retired is closed when another connection is to take this one's place. Set with
	// transport.
	retired chan struct{}
}

// settled is how long a connection has to live for its loss to be news and not
// one more failed attempt to connect.
const settled = time.Second

// run keeps the connection open for as long as it and its node are wanted.
func (c *connection) run(wanted context.Context) {
	defer c.ended()
	failures := 0
	for wanted.Err() == nil {
		t, err := c.node.endpoint.connect(wanted, c.node.pool.cfg.PingInterval, &c.node.traffic)
		if err != nil {
			c.failed(err)
			c.pause(wanted, backoffDelay(failures))
			failures++
			continue
		}
		retired := c.ready(t)
		end := c.serve(wanted, t, retired)
		lived, carried := c.drain(t, end)
		switch {
		case (end == ConnOld || end == ConnRetired) && c.dispensable():
			return
		case end == ConnIdle:
			return
		case end != ConnLost || lived >= settled || wanted.Err() != nil:
			failures = 0
			continue
		}
		// Too soon for a loss that is no failure. Calls need not hear of it,
		// though, when the connection was good for some, or the node has just answered:
		// whoever resets all connections now and again also resets those that are new.
		if carried == 0 && !c.node.answeredLately() {
			c.failed(&ConnectError{
				Address: c.node.endpoint.Address,
				Reason:  "the server ended the connection right after it was opened",
				Err:     errGone,
				outcome: Connected,
			})
		}
		c.pause(wanted, backoffDelay(failures))
		failures++
	}
}

// ended gives the place back.
func (c *connection) ended() {
	n := c.node
	n.mu.Lock()
	c.state = Unused
	if n.readyLocked() == 0 {
		n.growLocked() // the node was removed and has come back meanwhile
	}
	n.judgeLocked()
	n.wakeLocked()
	unused := n.unusedLocked()
	n.mu.Unlock()
	if unused {
		n.pool.left(n)
	}
}

func (c *connection) ready(t *transport) (retired <-chan struct{}) {
	n := c.node
	n.mu.Lock()
	n.dials[Connected]++
	first := n.readyLocked() == 0
	c.state, c.transport, c.opened, c.callsBefore = Ready, t, time.Now(), c.calls
	c.retired = make(chan struct{})
	retired = c.retired
	n.failure, n.complaint = nil, ""
	if first {
		n.warm = c.opened
		n.health.seen, n.health.unknown = false, 0 // it may be another process
	}
	n.judgeLocked()
	n.wakeLocked()
	n.mu.Unlock()
	n.log.Info("connected", "connection", c.id)
	if first {
		n.Suspect() // that it listens is not all
		n.pool.watch.Load().Recovered(n)
	}
	return retired
}

// failed notes why there is no connection and lets waiting calls fail with it.
func (c *connection) failed(err error) {
	why, ok := errors.AsType[*ConnectError](err)
	if !ok { // nobody wants it any more
		return
	}
	n := c.node
	// The address may have become another one.
	n.pool.resolveSoon()
	n.mu.Lock()
	defer n.mu.Unlock()
	if why.outcome != Connected { // it is not that the connection did not last
		n.dials[why.outcome]++
	}
	// A refused port would say the same several times a second.
	if n.complaint != why.Reason {
		n.complaint = why.Reason
		n.log.Warn("cannot connect", "connection", c.id, "reason", why.Reason)
	}
	// That one more connection is not to be had says nothing against the node while
	// others are open: a call that finds none later may still wait.
	if n.readyLocked() == 0 {
		n.failure, n.failedAt = why, time.Now()
	}
	n.judgeLocked()
	n.wakeLocked()
}

// pause waits before the next attempt.
func (c *connection) pause(wanted context.Context, d time.Duration) {
	c.node.mu.Lock()
	c.state = Backoff
	c.node.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wanted.Done():
	}
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	c.state = Connecting
}

// drain takes the connection out of service, waits for its last call to end,
// closes it, and returns how long it was open and how many calls it carried.
func (c *connection) drain(t *transport, end Ending) (lived time.Duration, carried uint64) {
	n := c.node
	n.mu.Lock()
	lived, carried = time.Since(c.opened), c.calls-c.callsBefore
	c.state = Draining
	c.idle = make(chan struct{})
	if c.inFlight == 0 {
		close(c.idle)
	}
	idle, inFlight := c.idle, c.inFlight
	// With a place to spare the successor need not wait for the last call here.
	if n.readyLocked() == 0 {
		n.growLocked()
	}
	n.judgeLocked()
	n.wakeLocked()
	n.mu.Unlock()

	if end == ConnLost {
		n.pool.resolveSoon() // it may have gone for good, and another one come
	}
	ctx := n.pool.ctx
	if ctx.Err() == nil {
		end = n.noteEnd(end, t.conn.Why())
		n.log.Info("connection ended", "connection", c.id, "because", end.String(), "in_flight", inFlight, "open_seconds", lived.Seconds())
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
	t.close()

	n.mu.Lock()
	defer n.mu.Unlock()
	c.transport, c.idle, c.state = nil, nil, Connecting
	return lived, carried
}

// release ends one call's use of the connection.
func (c *connection) release() {
	n := c.node
	n.mu.Lock()
	defer n.mu.Unlock()
	c.inFlight--
	if n.starving || n.replacing && c.inFlight == 0 {
		n.starving = false
		n.wakeLocked()
	}
	if c.inFlight == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}
