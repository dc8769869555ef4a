package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Backoff between attempts to connect: 100 ms · 2ⁿ, jittered so that many
// sidecars do not return to a restarted Qdrant in step, and at most 3 s, so
// that its return is noticed in seconds.
const (
	backoffBase = 100 * time.Millisecond
	backoffCap  = 3 * time.Second
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

// connection is one of the pool's places for an HTTP/2 connection. It counts
// as one whatever its state, so that Size bounds sockets exactly: the next
// connection in its place is not opened before the last is closed.
type connection struct {
	id   int
	pool *Pool
	ctx  context.Context // ends with the pool

	// Guarded by pool.mu.
	state     ConnState
	transport *transport // set while Ready or Draining
	opened    time.Time  // when transport was set
	inFlight  int
	calls     uint64 // ever lent
	// callsBefore is what calls was when transport was set.
	callsBefore uint64
	idle        chan struct{}
}

// run keeps the connection open until the pool is closed.
func (c *connection) run() {
	failures := 0
	for c.ctx.Err() == nil {
		t, err := c.pool.endpoint.connect(c.ctx)
		if err != nil {
			c.failed(err)
			c.pause(backoffDelay(failures))
			failures++
			continue
		}
		c.ready(t)
		t.awaitDown(c.ctx)
		lived, carried := c.drain(t)
		if lived >= settled || c.ctx.Err() != nil {
			failures = 0
			continue
		}
		// Too soon for a loss that is no failure. Calls need not hear of it,
		// though, when the connection was good for some.
		if carried == 0 {
			c.failed(&ConnectError{
				Address: c.pool.endpoint.Address,
				Reason:  "the server ended the connection right after it was opened",
				Err:     errGone,
			})
		}
		c.pause(backoffDelay(failures))
		failures++
	}
}

func (c *connection) ready(t *transport) {
	p := c.pool
	p.mu.Lock()
	var tell func()
	if p.failure != nil || p.readyLocked() == 0 {
		tell = p.onRecovered
	}
	c.state, c.transport, c.opened, c.callsBefore = Ready, t, time.Now(), c.calls
	p.failure = nil
	p.wakeLocked()
	p.mu.Unlock()
	p.log.Info("connected", "connection", c.id)
	if tell != nil {
		tell()
	}
}

// failed notes why there is no connection and lets waiting calls fail with it.
func (c *connection) failed(err error) {
	why, ok := errors.AsType[*ConnectError](err)
	if !ok { // the pool is being closed
		return
	}
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	// A refused port would say the same several times a second.
	if news := p.failure == nil || p.failure.Reason != why.Reason; news {
		p.log.Warn("cannot connect", "connection", c.id, "reason", why.Reason)
	}
	p.failure, p.failedAt = why, time.Now()
	p.wakeLocked()
}

// pause waits before the next attempt.
func (c *connection) pause(d time.Duration) {
	c.pool.mu.Lock()
	c.state = Backoff
	c.pool.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.state = Connecting
}

// drain takes the connection out of service, waits for its last call to end,
// closes it, and returns how long it was open and how many calls it carried.
func (c *connection) drain(t *transport) (lived time.Duration, carried uint64) {
	p := c.pool
	p.mu.Lock()
	lived, carried = time.Since(c.opened), c.calls-c.callsBefore
	c.state = Draining
	c.idle = make(chan struct{})
	if c.inFlight == 0 {
		close(c.idle)
	}
	idle, inFlight := c.idle, c.inFlight
	// With a place to spare the successor need not wait for the last call here.
	if p.readyLocked() == 0 {
		p.growLocked()
	}
	p.wakeLocked()
	p.mu.Unlock()

	if c.ctx.Err() == nil {
		p.log.Info("connection ended", "connection", c.id, "in_flight", inFlight, "open_seconds", lived.Seconds())
	}
	select {
	case <-idle:
	case <-c.ctx.Done():
	}
	t.close()

	p.mu.Lock()
	defer p.mu.Unlock()
	c.transport, c.idle, c.state = nil, nil, Connecting
	return lived, carried
}

// release ends one call's use of the connection.
func (c *connection) release() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.inFlight--
	if c.pool.starving {
		c.pool.starving = false
		c.pool.wakeLocked()
	}
	if c.inFlight == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}
