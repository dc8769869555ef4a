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
	"sync"
	"time"
)

// callsPerConnection is how many calls a connection carries before the next one
// is opened. HTTP/2 servers commonly limit a connection to 100 streams (RFC
// 9113 §6.5.2 advises no less), so a connection with more could queue inside
// the server's limit while another sits empty.
const callsPerConnection = 100

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
	// changed is closed and replaced whenever a waiting Pick should look again.
	changed chan struct{}
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

// Pick lends a connection, which the caller releases. It waits, hardly longer
// than an attempt to connect may take, only while nothing speaks against the attempt
// under way; otherwise it fails at once with a [*ConnectError] that says why
// nothing is reachable, with [ErrClosed], or with the cause of ctx's end.
func (p *Pool) Pick(ctx context.Context) (*Lease, error) {
	lease, changed, err := p.tryPick()
	if lease != nil || err != nil {
		return lease, err
	}
	// With every place taken by a connection that drains behind a long call,
	// no attempt is under way that would ever fail.
	expired := &ConnectError{Address: p.endpoint.Address, Reason: "no connection became usable in time", Err: errNoAnswer}
	ctx, cancel := context.WithTimeoutCause(ctx, pickTimeout, expired)
	defer cancel()
	for lease == nil && err == nil {
		select {
		case <-changed:
			lease, changed, err = p.tryPick()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return lease, err
}

func (p *Pool) tryPick() (*Lease, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	if c := p.chooseLocked(); c != nil {
		c.inFlight++
		c.calls++
		return &Lease{conn: c, transport: c.transport}, nil, nil
	}
	if p.failure != nil {
		return nil, nil, p.failure
	}
	return nil, p.changed, nil
}

// chooseLocked returns the first ready connection with room. When all are full
// it asks for one more and returns the least loaded. It returns nil when none
// is ready.
func (p *Pool) chooseLocked() *connection {
	var least *connection
	for _, c := range p.conns {
		if c.state != Ready || c.transport.isDown() {
			continue // its own goroutine may not have noticed yet
		}
		if c.inFlight < callsPerConnection {
			return c
		}
		if least == nil || c.inFlight < least.inFlight {
			least = c
		}
	}
	if least != nil {
		p.growLocked()
	}
	return least
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
