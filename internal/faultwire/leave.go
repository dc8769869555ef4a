package faultwire

import "golang.org/x/net/http2"

// A server may name in its GOAWAY any stream that it has not begun to work on
// (RFC 9113 §6.8), and its peer may then repeat what is above it without a
// second thought. A test that lets an upstream say so at random must keep that
// promise for every stream of the connection, also for those that other
// goroutines are about to serve. So both sides of it are here, under one lock.

// Begin says that the server works on the stream from here on. It returns false
// when [Conn.Leave] has already told the peer that it will not; the stream must
// then be left alone, and its peer expects nothing more on it.
func (s *Stream) Begin() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.refused || s.conn.left && s.ID > s.conn.begun {
		return false
	}
	s.begun = true
	s.conn.begun = max(s.conn.begun, s.ID)
	return true
}

// Leave sends the GOAWAY of an honest server: it names the highest stream that
// has begun, and streams above it cannot begin any more. [Conn.GoAway] is the
// one that may lie.
func (c *Conn) Leave(code http2.ErrCode, debug string) error {
	c.mu.Lock()
	c.left = true
	last := c.begun
	c.mu.Unlock()
	return c.GoAway(last, code, debug)
}

// Disclaimed reports whether the peer has been told, truly, that the server did
// nothing with the stream and never will: by REFUSED_STREAM or by
// [Conn.Leave]. What was never begun but also never disclaimed is, for the
// peer, a call that may have been served. The answer may turn from false to
// true while the stream has not begun.
func (s *Stream) Disclaimed() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.refused || !s.begun && s.conn.left && s.ID > s.conn.begun
}
