package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// serverConn is a connection of a Server. conn.mu guards its fields.
type serverConn struct {
	*conn
	server *Server

	greeted   bool        // the client's preface came, and ours is queued
	first     *time.Timer // ends a connection that opens no stream
	goingAway bool        // a GOAWAY is out
	second    *time.Timer // sends the other GOAWAY when no PING comes back
	final     bool        // the other GOAWAY is out: new streams are refused
	// handlers are the streams that were not handled to the end yet. A reset ends
	// the stream at once and its handler a little later.
	handlers int
	patience *time.Timer // hands over streams that are held for long
}

// greet queues our side's preface.
func (c *serverConn) greet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greeted = true
	c.settingsLocked(
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: c.limits.Streams},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: c.limits.HeaderListBytes},
	)
	c.windowUpdateLocked(0, connWindow-65535)
	c.wakeLocked()
	c.first = time.AfterFunc(c.limits.FirstStream, c.goAway)
}

func (c *serverConn) stopTimers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range []*time.Timer{c.first, c.second, c.patience} {
		if t != nil {
			t.Stop()
		}
	}
}

// drainPing is the PING between the two GOAWAYs of a graceful end.
var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n'}

// drainPatience is how long the answer to it is waited for.
const drainPatience = time.Second

// goAway begins a graceful end in two steps (RFC 9113 §6.8): first a GOAWAY that
// refuses nothing, then, once the client must have seen it, the real one.
// Streams that were under way are served; none is lost in between.
func (c *serverConn) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goingAway || c.err != nil {
		return
	}
	c.goingAway = true
	if !c.greeted {
		// It has nothing to lose, and may not even speak HTTP/2.
		go c.fail(errClosed)
		return
	}
	c.goAwayLocked(1<<31-1, http2.ErrCodeNo, "")
	c.pingLocked(false, drainPing)
	c.wakeLocked()
	c.second = time.AfterFunc(drainPatience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.goAwayFinallyLocked()
	})
}

func (c *serverConn) goAwayFinallyLocked() {
	if !c.goingAway || c.final || c.err != nil {
		return
	}
	c.final = true
	c.goAwayLocked(c.lastID, http2.ErrCodeNo, "")
	c.wakeLocked()
	c.streamEndedLocked()
}

// onRequestBlock takes a request header, or trailers.
func (c *conn) onRequestBlock(b *headerBlock) error {
	if b.stream%2 == 0 {
		return &connError{http2.ErrCodeProtocol, "a client's stream must be odd"}
	}
	c.mu.Lock()
	s, isNew := c.streams[b.stream], b.stream > c.lastID
	underWay := !isNew && c.resetLately(b.stream)
	c.mu.Unlock()
	switch {
	case s != nil:
		return c.onTrailers(s, b)
	case underWay:
		return nil
	case !isNew:
		return &connError{http2.ErrCodeStreamClosed, "HEADERS on a closed stream"}
	}
	front, rest := pseudo(b.fields)
	length, lengthOK := contentLength(rest)
	if !lengthOK {
		length = -1
	}
	malformed := !b.overflow && (!lengthOK || !wellFormedRequest(front) || !wellFormed(rest) || b.end && length > 0)
	if b.selfDep || malformed {
		c.mu.Lock()
		c.lastID = b.stream
		c.mu.Unlock()
		return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeProtocol}
	}
	hold := 0
	if !b.end && !b.overflow && c.serving.server.cfg.Whole != nil {
		hold = c.serving.server.cfg.Whole(b.fields)
	}
	s = newStream(c, b.stream)
	s.header, s.gotHeader, s.headerOnly, s.gotEnd = b.fields, true, b.end, b.end
	s.length, s.tooLarge, s.arrived = length, b.overflow, time.Now()
	s.hold, s.held = hold, hold > 0
	return c.serving.accept(s)
}

// accept takes a new stream, or refuses it.
func (c *serverConn) accept(s *Stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err // nobody would end the stream any more
	}
	if c.lastID == 0 {
		c.first.Stop()
	}
	c.lastID = s.id
	// A reset frees the stream's place at once, but not yet what its handler
	// costs: whoever opens and resets at will (CVE-2023-44487) meets that limit.
	full := len(c.streams) >= int(c.limits.Streams) || c.handlers >= 2*int(c.limits.Streams)
	if full || c.final {
		c.resetLocked(s.id, http2.ErrCodeRefusedStream)
		c.wakeLocked()
		if c.rates.over(&c.rates.resets, maxResets) {
			return &connError{http2.ErrCodeEnhanceYourCalm, "too many refused streams"}
		}
		return c.checkOutLocked()
	}
	c.handlers++
	c.streams[s.id] = s
	if !s.held {
		c.server.dispatch(s)
	} else if c.patience == nil {
		c.patience = time.AfterFunc(holdPatience, c.handOver)
	}
	return c.checkOutLocked()
}

// holdPatience is how long a stream may be held incomplete: only a handler
// watches over the caller's deadline.
const holdPatience = time.Second

// handOver dispatches the streams that have been held for long.
func (c *serverConn) handOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patience = nil
	if c.err != nil {
		return
	}
	now := time.Now()
	for _, s := range c.streams {
		switch {
		case !s.held:
		case now.Sub(s.arrived) >= holdPatience:
			s.held = false
			c.server.dispatch(s)
		case c.patience == nil:
			c.patience = time.AfterFunc(holdPatience, c.handOver)
		}
	}
}

// onTrailers takes the second header block of a stream.
func (c *conn) onTrailers(s *Stream, b *headerBlock) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gotEnd {
		return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeStreamClosed}
	}
	if !b.end || b.overflow || !wellFormed(b.fields) || s.wrongLengthLocked(true) {
		return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeProtocol}
	}
	s.trailer = b.fields
	if s.trailer == nil {
		s.trailer = Fields{} // a block without a field is a block
	}
	s.gotEnd = true
	s.doneLocked()
	signal(s.readable)
	s.handOverLocked()
	return nil
}

// handOverLocked has a stream that was held handled, if it is time.
func (s *Stream) handOverLocked() {
	if s.held && (s.gotEnd || s.received.n > s.hold) {
		s.held = false
		s.conn.serving.server.dispatch(s)
	}
}

// wrongLengthLocked reports whether the body is not as long as was announced
// (RFC 9113 §8.1.1).
func (s *Stream) wrongLengthLocked(ended bool) bool {
	return s.length >= 0 && (s.total > s.length || ended && s.total < s.length)
}
