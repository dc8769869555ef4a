// Package pool keeps a small, exactly bounded number of HTTP/2 connections to
// an upstream and lends them to calls.
//
// An [Endpoint] is a place to connect to; a connection is one HTTP/2 connection
// there. Connections are opened in the background, never on a call's path, and
// filled in order: few calls share few connections, which was measured to be
// cheaper than spreading them.
package pool

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"qdrant-sidecar/internal/h2"
)

// CallsPerConnection is how many calls a connection carries before the next one
// is opened. HTTP/2 servers commonly limit a connection to 100 streams (RFC
// 9113 §6.5.2 advises no less). Where a server allows fewer, its limit counts.
const CallsPerConnection = 100

// settled is how long a connection has to live for its loss to be news and not
// one more failed attempt to connect.
const settled = time.Second

// pickTimeout bounds the wait for a connection. An attempt to connect that is
// given up says why, so it gets the time to do so.
const pickTimeout = connectTimeout + 500*time.Millisecond

// ErrClosed is returned by [Pool.Pick] after [Pool.Close].
var ErrClosed = errors.New("the pool is closed")

// Config is what a Pool is made of.
type Config struct {
	Endpoint Endpoint
	// Size bounds the connections to the endpoint, those being opened and those
	// that still drain included. At least 1.
	Size int
	// Logger is told of connections that open, end, and fail to open.
	Logger *slog.Logger
}

// Pool lends connections to calls. Its methods may be called concurrently.
type Pool struct {
	endpoint Endpoint
	log      *slog.Logger
	stop     context.CancelFunc
	running  sync.WaitGroup

	// mu guards everything below, and the mutable fields of connections. It is
	// never held across a system call.
	mu     sync.Mutex
	conns  []*connection
	closed bool
	// failure is why the newest attempt to connect failed, and nil from the
	// start or the last success on. While it is nil a call that finds no
	// connection waits for the attempt under way; afterwards it fails at once.
	failure  *ConnectError
	failedAt time.Time // of failure
	// starving says that a call waits although there are connections.
	starving bool
	// changed is closed and replaced whenever a waiting Pick should look again.
	changed chan struct{}
	// onRecovered is told when there are connections again.
	onRecovered func()
}

// New returns a Pool that is already connecting.
func New(cfg Config) *Pool {
	ctx, stop := context.WithCancel(context.Background())
	p := &Pool{
		endpoint: cfg.Endpoint,
		log:      cfg.Logger.With("upstream", cfg.Endpoint.Address),
		stop:     stop,
		changed:  make(chan struct{}),
	}
	for id := range cfg.Size {
		p.conns = append(p.conns, &connection{id: id, pool: p, ctx: ctx})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.growLocked()
	return p
}

// OnRecovered has f called, under no lock, whenever a connection becomes ready of
// which it is news that it can be had: there was none, or the last attempt to
// connect had failed. It replaces what was given before.
func (p *Pool) OnRecovered(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onRecovered = f
}

// Pick lends a connection, which the caller releases. With connections it waits
// only while each carries as many calls as Qdrant allows. Without, it waits,
// hardly longer than an attempt to connect may take, only while nothing speaks
// against the attempt under way; otherwise it fails at once with a
// [*ConnectError] that says why nothing is reachable, with [ErrClosed], or with
// the cause of ctx's end.
func (p *Pool) Pick(ctx context.Context) (*Lease, error) { return p.PickOther(ctx, nil) }

// PickOther is Pick for a call that has failed on a connection, that of a lease
// which may be released by now, and is better off on another one. If no other is
// ready it has one opened and waits for it as Pick does; only when that is not to
// be had it gets the same again. A nil lease avoids nothing.
func (p *Pool) PickOther(ctx context.Context, than *Lease) (*Lease, error) {
	var avoid *transport
	if than != nil {
		avoid = than.transport
	}
	lease, changed, err := p.tryPick(avoid)
	if lease != nil || err != nil {
		return lease, err
	}
	timer := time.NewTimer(pickTimeout)
	defer timer.Stop()
	for lease == nil && err == nil {
		select {
		case <-changed:
			lease, changed, err = p.tryPick(avoid)
		case <-ctx.Done():
			err = h2.Cause(ctx)
		case <-timer.C:
			avoid = nil
			if lease, changed, err = p.tryPick(nil); lease == nil && err == nil {
				err = p.tooLong()
			}
		}
	}
	return lease, err
}

// tooLong says why a call that has waited for pickTimeout waits no longer; nil
// when it may wait on, because there are connections.
func (p *Pool) tooLong() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readyLocked() > 0 {
		return nil
	}
	// With every place taken by a connection that drains behind a long call, no
	// attempt is under way that would ever fail.
	return &ConnectError{Address: p.endpoint.Address, Reason: "no connection became usable in time", Err: errNoAnswer}
}

func (p *Pool) tryPick(avoid *transport) (*Lease, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	c, full := p.chooseLocked(avoid)
	if c != nil {
		c.inFlight++
		c.calls++
		return &Lease{conn: c, transport: c.transport}, nil, nil
	}
	p.starving = full
	if p.failure != nil && !full {
		return nil, nil, p.failure
	}
	return nil, p.changed, nil
}

// chooseLocked returns the first ready connection with room. When all have
// reached CallsPerConnection it asks for one more and returns the least loaded
// that the server allows another call. Otherwise it returns nil, and whether that
// is because all are full. The connection to avoid is as good as not there,
// unless there is no hope for another.
func (p *Pool) chooseLocked(avoid *transport) (choice *connection, full bool) {
	var least, avoided *connection
	for _, c := range p.conns {
		if c.state != Ready || c.transport.isDown() {
			continue // its own goroutine may not have noticed yet
		}
		if c.transport == avoid {
			avoided = c
			continue
		}
		full = true
		limit := c.transport.maxCalls()
		if c.inFlight < min(limit, CallsPerConnection) {
			return c, false
		}
		if c.inFlight < limit && (least == nil || c.inFlight < least.inFlight) {
			least = c
		}
	}
	if full || avoided != nil {
		p.growLocked()
	}
	if least != nil || avoided == nil {
		return least, full && least == nil
	}
	if !full && p.failure == nil && p.connectingLocked() {
		return nil, false
	}
	if avoided.inFlight < avoided.transport.maxCalls() {
		return avoided, false
	}
	return nil, true
}

// connectingLocked reports whether an attempt to connect is under way.
func (p *Pool) connectingLocked() bool {
	return slices.ContainsFunc(p.conns, func(c *connection) bool { return c.state == Connecting })
}

// growLocked starts the first unused connection, unless one is on its way.
func (p *Pool) growLocked() {
	var unused *connection
	for _, c := range p.conns {
		if c.state == Connecting || c.state == Backoff {
			return
		}
		if c.state == Unused && unused == nil {
			unused = c
		}
	}
	if unused == nil || p.closed {
		return
	}
	unused.state = Connecting
	p.running.Go(unused.run)
}

// wakeLocked makes every waiting Pick look again.
func (p *Pool) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Close closes all connections, cutting the calls that are still in flight, and
// returns when they are closed. Later calls do nothing.
func (p *Pool) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		p.wakeLocked()
	}
	p.mu.Unlock()
	p.stop()
	p.running.Wait()
}
