package h2

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// ClientConn is the calling end of one connection. Its methods may be called
// concurrently.
type ClientConn struct {
	*conn
	tasks sync.WaitGroup

	// Guarded by conn.mu.
	down     chan struct{} // closed when no new stream may be opened
	isDown   bool
	settled  chan struct{} // closed by the server's first SETTINGS
	pings    map[[8]byte]chan struct{}
	nextPing uint64
}

// NewClientConn speaks HTTP/2 on nc, which it owns, and returns when the server's
// preface has arrived.
func NewClientConn(ctx context.Context, nc net.Conn, limits Limits) (*ClientConn, error) {
	c := &ClientConn{
		conn:    newConn(nc, false, limits.WithDefaults()),
		down:    make(chan struct{}),
		settled: make(chan struct{}),
		pings:   make(map[[8]byte]chan struct{}),
	}
	c.acked = c.pingAcked
	c.conn.onDownLocked = c.downLocked
	c.conn.onSettledLocked = sync.OnceFunc(func() { close(c.settled) })
	c.mu.Lock()
	c.out = append(c.out, http2.ClientPreface...)
	c.queued += int64(len(http2.ClientPreface))
	c.settingsLocked(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: c.limits.HeaderListBytes},
	)
	c.windowUpdateLocked(0, connWindow-65535)
	c.wakeLocked()
	c.mu.Unlock()
	c.tasks.Go(c.flushLoop)
	c.tasks.Go(c.readLoop)
	select {
	case <-c.settled:
		return c, nil
	case <-c.closed:
		c.Close()
		return nil, c.err
	case <-ctx.Done():
		c.Close()
		return nil, context.Cause(ctx)
	}
}

// Down returns a channel that is closed once no new stream can be opened: the
// connection is lost, or the server said GOAWAY.
func (c *ClientConn) Down() <-chan struct{} { return c.down }

func (c *ClientConn) downLocked() {
	if !c.isDown {
		c.isDown = true
		close(c.down)
	}
}

// Open opens a stream and sends its header. When it fails nothing of the stream
// was sent, and the error is a [*LostError] that says so.
func (c *ClientConn) Open(front, fields Fields, end bool) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return nil, &LostError{Err: c.err}
	case c.isDown:
		return nil, &LostError{Err: &GoAwayError{}}
	case len(c.streams) >= int(c.peerMaxStreams):
		return nil, &LostError{Err: fmt.Errorf("the server allows no more than %d streams", c.peerMaxStreams)}
	}
	s := newStream(c.conn, c.nextID)
	s.length = -1
	c.nextID += 2
	if c.nextID > 1<<31-1 {
		c.downLocked() // the ids are used up
	}
	c.streams[s.id] = s
	s.headAt = c.queued
	c.headersLocked(s.id, front, fields, end)
	s.sentEnd = end
	c.wakeLocked()
	return s, nil
}

// Ping measures a round trip.
func (c *ClientConn) Ping(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	ack := make(chan struct{})
	c.mu.Lock()
	c.nextPing++
	var data [8]byte
	copy(data[:], fmt.Sprintf("%08x", c.nextPing))
	c.pings[data] = ack
	c.pingLocked(false, data)
	c.wakeLocked()
	c.mu.Unlock()
	select {
	case <-ack:
		return time.Since(start), nil
	case <-c.closed:
		return 0, c.err
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.pings, data)
		c.mu.Unlock()
		return 0, context.Cause(ctx)
	}
}

func (c *ClientConn) pingAcked(data [8]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ack, ok := c.pings[data]; ok {
		delete(c.pings, data)
		close(ack)
	}
}

// Fail ends the connection and all of its streams for a reason that they report.
func (c *ClientConn) Fail(err error) { c.fail(err) }

// Close ends the connection and all of its streams, and returns when nothing of
// it runs any more.
func (c *ClientConn) Close() {
	c.fail(errClosed)
	c.tasks.Wait()
}

// lostLocked says what a stream of a connection that ended knows.
func (c *conn) lostLocked(s *Stream, err error) error {
	return &LostError{Sent: c.server || s.headAt < c.taken, Err: err}
}

func (c *conn) onGoAway(f *http2.GoAwayFrame) error {
	if c.server {
		return nil // clients may say so; they also close
	}
	reason := &GoAwayError{Code: f.ErrCode, Debug: string(f.DebugData())}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goingAway = true
	c.onDownLocked()
	for id, s := range c.streams {
		if id > f.LastStreamID {
			s.endLocked(&LostError{Err: reason})
		}
	}
	return nil
}

// onResponseBlock takes the header or the trailers of an answer.
func (c *conn) onResponseBlock(b *headerBlock) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[b.stream]
	if s == nil {
		if c.idleLocked(b.stream) {
			return &connError{http2.ErrCodeProtocol, "HEADERS on an idle stream"}
		}
		return nil
	}
	if s.gotEnd {
		return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeStreamClosed}
	}
	if b.overflow {
		return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeProtocol}
	}
	front, rest := pseudo(b.fields)
	if !wellFormed(rest) {
		return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeProtocol}
	}
	if s.gotHeader {
		if !b.end || len(front) > 0 {
			return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeProtocol}
		}
		s.trailer = b.fields
	} else {
		if len(front) != 1 || front[0].Name != ":status" || len(front[0].Value) != 3 {
			return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeProtocol}
		}
		if front[0].Value[0] == '1' {
			if b.end {
				return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeProtocol}
			}
			return nil // informational: another block follows
		}
		s.header, s.gotHeader = slices.Clip(b.fields), true
	}
	if b.end {
		s.gotEnd = true
		s.doneLocked()
		signal(s.sendable)
	}
	signal(s.readable)
	return nil
}
