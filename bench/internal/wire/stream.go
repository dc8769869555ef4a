package wire

import "time"

// Stream is one call on a connection. It belongs to the connection: use it with
// the lock held, and not after Close.
type Stream struct {
	// ID is the stream's number.
	ID uint32
	// In is what the peer sent so far.
	In Message
	// At is the owner's: when the call was due.
	At time.Time
	// OK is the owner's: the call went well so far.
	OK bool

	window  int64  // what the peer still takes
	unacked int    // received and not yet given back by WINDOW_UPDATE
	rest    []byte // the message, as far as it is not sent
	tail    *Block // trailers after it; nil: the last DATA ends the stream
	waiting bool   // in the connection's list of streams without window
}

// Open makes the stream. Lock is held.
func (c *Conn) Open(id uint32) *Stream {
	var s *Stream
	if n := len(c.free); n > 0 {
		s, c.free = c.free[n-1], c.free[:n-1]
		*s = Stream{}
	} else {
		s = new(Stream)
	}
	s.ID, s.window = id, c.initial
	c.streams[id] = s
	return s
}

// Stream returns the open stream of a number, or nil. Lock is held.
func (c *Conn) Stream(id uint32) *Stream { return c.streams[id] }

// Streams returns how many are open. Lock is held.
func (c *Conn) Streams() int { return len(c.streams) }

// Close forgets the stream. Lock is held.
func (c *Conn) Close(s *Stream) {
	delete(c.streams, s.ID)
	// One that waits for window is still in the list; it is left to the collector.
	if !s.waiting {
		c.free = append(c.free, s)
	}
	s.rest, s.tail = nil, nil
}

// Send sends headers, the framed message as far as the windows allow and the
// rest when they open, and then trailers, if any; the last frame ends the stream.
// Lock is held.
func (c *Conn) Send(s *Stream, headers *Block, message []byte, trailers *Block) {
	c.headers(s.ID, headers, false)
	s.rest, s.tail = message, trailers
	c.pump(s)
}

// Reject answers with one header block that ends the stream. Lock is held.
func (c *Conn) Reject(s *Stream, headers *Block) {
	c.headers(s.ID, headers, true)
}

// pump sends of the stream's message what the windows allow.
func (c *Conn) pump(s *Stream) {
	for len(s.rest) > 0 {
		n := min(int64(len(s.rest)), int64(c.maxFrame), s.window, c.window)
		if n <= 0 {
			if !s.waiting {
				s.waiting = true
				c.blocked = append(c.blocked, s)
			}
			return
		}
		last := n == int64(len(s.rest)) && s.tail == nil
		c.check(c.framer.WriteData(s.ID, last, s.rest[:n]))
		s.rest = s.rest[n:]
		s.window -= n
		c.window -= n
	}
	if tail := s.tail; tail != nil {
		s.tail = nil
		c.headers(s.ID, tail, true)
	}
	c.sent(s)
}

// sent tells the owner that the last byte of a stream is queued.
func (c *Conn) sent(s *Stream) {
	c.handler.Sent(s)
}

// unblock goes on with the streams that waited for window.
func (c *Conn) unblock() {
	waiting := c.blocked
	c.blocked = nil
	for _, s := range waiting {
		s.waiting = false
		if c.streams[s.ID] == s {
			c.pump(s)
		}
	}
}
