package h2

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"
)

// ClientConn is the calling end of one connection. Its methods may be called
// concurrently.
type ClientConn struct {
	*conn
	running sync.WaitGroup
	down    chan struct{} // closed when no new stream may be opened
	greeted chan struct{} // closed by the server's first SETTINGS

	// Guarded by conn.mu.
	why      error // why down is closed; nil while it is not
	pings    map[[8]byte]chan struct{}
	nextPing uint64
	resets   resets
}

// NewClientConn speaks HTTP/2 on nc, which it owns, and returns when the server's
// preface has arrived. The error is a [*PrefaceError].
func NewClientConn(ctx context.Context, nc net.Conn, limits Limits) (*ClientConn, error) {
	c := &ClientConn{
		down:    make(chan struct{}),
		greeted: make(chan struct{}),
		pings:   make(map[[8]byte]chan struct{}),
	}
	limits = limits.WithDefaults()
	c.conn = newConn(nc, false, &limits, &c.running)
	c.calling = c
	c.mu.Lock()
	c.out.write([]byte(http2.ClientPreface))
	c.queued += int64(len(http2.ClientPreface))
	c.settingsLocked(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: c.limits.HeaderListBytes},
	)
	c.resets.acks = 1
	c.windowUpdateLocked(0, connWindow-65535)
	c.wakeLocked()
	c.mu.Unlock()
	c.running.Go(c.readLoop)
	select {
	case <-c.greeted:
		return c, nil
	case <-c.closed:
		c.Close()
		return nil, &PrefaceError{c.first, c.err}
	case <-ctx.Done():
		c.Close()
		return nil, &PrefaceError{c.first, context.Cause(ctx)}
	}
}

// Down returns a channel that is closed once no new stream can be opened: the
// connection is lost, or the server said GOAWAY.
func (c *ClientConn) Down() <-chan struct{} { return c.down }

// Why returns why the channel of [ClientConn.Down] is closed, a [*GoAwayError] if
// the server said so; nil while it is not.
func (c *ClientConn) Why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

func (c *ClientConn) downLocked(why error) {
	if c.why == nil {
		c.why = why
		close(c.down)
	}
}

func (c *ClientConn) greetedLocked() {
	select {
	case <-c.greeted:
	default:
		close(c.greeted)
	}
}

// Open opens a stream and sends its header, pseudo-fields first. With end there
// is nothing more to send. When it fails nothing of the stream was sent, and the
// error is a [*LostError] that says so.
func (c *ClientConn) Open(pseudo, fields Fields, end bool) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.openLocked(pseudo, fields, end)
	c.wakeLocked()
	return s, err
}

func (c *ClientConn) openLocked(pseudo, fields Fields, end bool) (*Stream, error) {
	most := c.peerMaxStreams.Load()
	switch {
	case c.why != nil:
		return nil, &LostError{Err: c.why}
	case len(c.streams) >= int(most):
		return nil, &LostError{Err: fmt.Errorf("the server allows no more than %d streams", most)}
	}
	s := c.newStreamLocked(c.nextID)
	// What a proxied answer says of its length is between the two ends.
	s.length = -1
	c.nextID += 2
	if c.nextID > 1<<31-1 {
		c.downLocked(errIDs)
	}
	c.streams[s.id] = s
	c.headersLocked(s.id, pseudo, fields, end)
	s.headEnd = c.queued
	s.sentEnd = end
	return s, nil
}

// Answer is what a server answered to a [ClientConn.Call].
type Answer struct {
	// Header is the first header block, pseudo-fields included.
	Header Fields
	// HeaderOnly says that the header was the whole answer.
	HeaderOnly bool
	// Body is as much of the answer as was stored. Its owner frees it.
	Body mem.BufferSlice
	// Whole says that this was all; otherwise the rest is to be read from the
	// stream.
	Whole bool
	// Trailer is the last header block; nil when there was none, and while the
	// answer is not whole.
	Trailer Fields
	// First and Last are when the header and the end had arrived; the latter is zero
	// while the answer is not whole.
	First, Last time.Time
}

// Call opens a stream and sends all of a request, of which it takes no ownership.
// The answer is read with [Stream.Answer], and stored up to limit, which is at
// least 1.
func (c *ClientConn) Call(ctx context.Context, pseudo, fields Fields, body mem.BufferSlice, limit int) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.openLocked(pseudo, fields, false)
	if err != nil {
		return nil, err
	}
	s.whole = limit
	_ = s.writeLocked(ctx, body, true) // what became of it is what comes back
	return s, nil
}

// Answer waits until the answer to a [ClientConn.Call] has ended or is larger than
// its limit, and puts it into a. It is called once. Without an error the caller closes
// the stream, once it is done with the answer; with one it is closed.
//
// A call waits here for most of its time, so this and what is above of it on the
// stack is kept small, for the sake of many calls.
func (s *Stream) Answer(ctx context.Context, a *Answer) error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	whole, err := s.awaitWholeLocked(ctx)
	if err != nil {
		s.closeLocked()
		return err
	}
	*a = Answer{Header: s.header, HeaderOnly: s.headerOnly, Body: s.received.take(c.pool), Whole: whole, Trailer: s.trailer, First: s.arrived}
	if whole {
		a.Last = s.complete
	}
	c.openWindowLocked(s)
	return nil
}

// Reads returns how often something has come from the server: while the number changes, it
// is there.
func (c *ClientConn) Reads() uint64 { return c.in.reads.Load() }

// MaxStreams returns how many streams the server allows at once.
func (c *ClientConn) MaxStreams() int { return int(min(c.peerMaxStreams.Load(), maxWindow)) }

// Ping measures a round trip.
func (c *ClientConn) Ping(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	ack := make(chan struct{})
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return 0, c.err
	}
	c.nextPing++
	var data [8]byte
	binary.BigEndian.PutUint64(data[:], c.nextPing)
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

func (c *ClientConn) pingAckedLocked(data [8]byte) {
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
	c.running.Wait()
}

// onGoAway takes the server's word that it has done nothing with streams above
// the last one it names. The others go on.
func (c *ClientConn) onGoAway(f *http2.GoAwayFrame) {
	reason := &GoAwayError{Code: f.ErrCode, Debug: string(f.DebugData())}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.downLocked(reason)
	for id, s := range c.streams {
		if id > f.LastStreamID {
			s.endLocked(&LostError{Sent: s.gotHeader, Err: reason})
		}
	}
}

// lossLocked is what a connection was lost for: what the server said about it
// before, if it did.
func (c *ClientConn) lossLocked(err error) error {
	if gone, ok := c.why.(*GoAwayError); ok { //nolint:errorlint // it is stored as it is
		return gone
	}
	return err
}

// onResponseBlock takes the header or the trailers of an answer.
func (c *conn) onResponseBlock(a arrival, b *block) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[a.stream]
	if s == nil {
		if c.idleLocked(a.stream) {
			return &connError{http2.ErrCodeProtocol, "HEADERS on an idle stream"}
		}
		return nil
	}
	malformed := http2.StreamError{StreamID: a.stream, Code: http2.ErrCodeProtocol}
	switch {
	case s.gotEnd:
		return http2.StreamError{StreamID: a.stream, Code: http2.ErrCodeStreamClosed}
	case b.overflow || !b.wellFormed:
		return malformed
	case s.gotHeader:
		if !a.end || b.front > 0 {
			return malformed
		}
		s.trailerLocked(b)
	case b.status == 0:
		return malformed
	case b.status < 200: // informational: another block follows
		if a.end {
			return malformed
		}
		if c.rates.over(&c.rates.controls, c.limits.Controls) {
			return &connError{http2.ErrCodeEnhanceYourCalm, "too many informational answers"}
		}
		return nil
	default:
		s.headerLocked(b, a.end)
		c.calling.answeredLocked(s.id)
	}
	if a.end {
		s.peerEndedLocked()
		s.doneLocked()
		if !s.sentEnd {
			signal(s.sendable)
		}
	}
	s.arrivedLocked()
	return nil
}

// statusCode returns the status that the pseudo-fields of an answer say; 0 when
// they are not those of an answer.
func statusCode(front Fields) int {
	if len(front) != 1 || front[0].Name != ":status" || len(front[0].Value) != 3 {
		return 0
	}
	n, err := strconv.ParseUint(front[0].Value, 10, 16)
	if err != nil || n < 100 {
		return 0
	}
	return int(n)
}
