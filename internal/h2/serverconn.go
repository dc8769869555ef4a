package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// serverConn is a connection of a Server. conn.mu guards its fields.
type serverConn struct {
	*conn
	server  *Server
	session any // of whoever serves it; never changes

	greeted   bool        // the client's preface came, and ours is queued
	first     *time.Timer // ends a connection that opens no stream
	goingAway bool        // a GOAWAY is out
	second    *time.Timer // sends the other GOAWAY when no PING comes back
	final     bool        // the other GOAWAY is out: new streams are refused
	// handlers are the streams that were not handled to the end yet. A reset ends
	// the stream at once and its handler a little later.
	handlers int
	cut      error       // see Server.Cut
	patience *time.Timer // hands over streams that are held for long
	idle     idleWatch
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
	c.watchIdleLocked()
}

func (c *serverConn) stopTimers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range []*time.Timer{c.first, c.second, c.patience, c.idle.next} {
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

// cutStreams is Server.Cut.
func (c *serverConn) cutStreams(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cause
	for _, s := range c.streams {
		s.tellLocked(cause)
	}
}

// onRequestBlock takes a request header, or trailers.
func (c *conn) onRequestBlock(a arrival, b *block) error {
	if a.stream%2 == 0 {
		return &connError{http2.ErrCodeProtocol, "a client's stream must be odd"}
	}
	c.serving.route(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[a.stream]; s != nil {
		return c.onTrailersLocked(s, a, b)
	}
	switch {
	case a.stream > c.lastID: // a new one
	case c.resetLately(a.stream):
		return nil // under way when we reset it
	default:
		return &connError{http2.ErrCodeStreamClosed, "HEADERS on a closed stream"}
	}
	malformed := !b.overflow && (!b.lengthOK || !b.request || !b.wellFormed || a.end && b.length > 0)
	if a.selfDep || malformed {
		c.lastID = a.stream
		return http2.StreamError{StreamID: a.stream, Code: http2.ErrCodeProtocol}
	}
	return c.serving.acceptLocked(a, b)
}

// route asks what is to be done with streams that begin with b.
func (c *serverConn) route(b *block) {
	if b.routed || b.overflow || !b.request {
		return
	}
	b.routed = true
	if c.server.cfg.Whole != nil {
		b.whole = c.server.cfg.Whole(b.fields)
	}
	// Only what is remembered: the fields of others are overwritten by the next
	// block, and whoever was told of them may keep them.
	if c.server.cfg.Recognize != nil && b.shared {
		b.recognized = c.server.cfg.Recognize(b.fields)
	}
}

// acceptLocked takes a new stream, or refuses it.
func (c *serverConn) acceptLocked(a arrival, b *block) error {
	if c.err != nil {
		return c.err // nobody would end the stream any more
	}
	if c.lastID == 0 {
		c.first.Stop()
	}
	c.lastID = a.stream
	// A reset frees the stream's place at once, but not yet what its handler
	// costs: whoever opens and resets at will (CVE-2023-44487) meets that limit.
	full := len(c.streams) >= int(c.limits.Streams) || c.handlers >= 2*int(c.limits.Streams)
	if full || c.final {
		c.resetLocked(a.stream, http2.ErrCodeRefusedStream)
		c.wakeLocked()
		if c.rates.over(&c.rates.resets, c.limits.Resets) {
			return &connError{http2.ErrCodeEnhanceYourCalm, "too many refused streams"}
		}
		return c.checkOutLocked()
	}
	s := c.newStreamLocked(a.stream)
	s.headerLocked(b, a.end)
	s.tooLarge, s.recognized = b.overflow, b.recognized
	if a.end {
		s.peerEndedLocked()
	}
	s.length = -1
	if b.lengthOK {
		s.length = b.length
	}
	c.handlers++
	c.streams[s.id] = s
	if b.whole == 0 || a.end {
		c.server.dispatch(s)
		return c.checkOutLocked()
	}
	s.whole, s.held = b.whole, true
	if c.patience == nil {
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
			s.handOverLocked()
		case c.patience == nil:
			c.patience = time.AfterFunc(holdPatience, c.handOver)
		}
	}
}

// handOverLocked has a stream handled that was held.
func (s *Stream) handOverLocked() {
	s.held, s.whole = false, 0
	s.conn.serving.server.dispatch(s)
}

// onTrailersLocked takes the second header block of a stream.
func (c *conn) onTrailersLocked(s *Stream, a arrival, b *block) error {
	if s.gotEnd {
		return http2.StreamError{StreamID: a.stream, Code: http2.ErrCodeStreamClosed}
	}
	if !a.end || b.overflow || !b.wellFormed || b.front > 0 || s.wrongLengthLocked(true) {
		return http2.StreamError{StreamID: a.stream, Code: http2.ErrCodeProtocol}
	}
	s.trailerLocked(b)
	s.peerEndedLocked()
	s.doneLocked()
	s.arrivedLocked()
	return nil
}

// wrongLengthLocked reports whether the body is not as long as was announced
// (RFC 9113 §8.1.1).
func (s *Stream) wrongLengthLocked(ended bool) bool {
	return s.length >= 0 && (s.total > s.length || ended && s.total < s.length)
}
