package h2

import (
	"context"
	"io"
	"net"
	"time"

	"google.golang.org/grpc/mem"
)

// Stream is one HTTP/2 stream, that is one call. One goroutine reads it and one
// writes it; they may be the same.
type Stream struct {
	conn *conn
	id   uint32

	// Guarded by conn.mu. Receiving:
	header     Fields // first header block without 1xx
	trailer    Fields // nil when none came
	received   body
	window     int64 // what the peer may still send
	length     int64 // announced bytes of the body; -1 when none were
	total      int64 // received bytes of the body
	gotHeader  bool
	headerOnly bool // the first block was the last frame, too
	gotEnd     bool // the peer ended its side
	discard    bool // whatever still arrives is thrown away

	// Sending.
	sendWindow  int64
	headEnd     int64 // client: up to where the queued bytes hold the header
	sentEnd     bool  // we ended our side
	waitingSend bool

	end      error  // why the stream was cut short; nil otherwise
	finished bool   // it is no longer in conn.streams
	onEnd    func() // called once when the stream is cut short

	// Of a server's stream. All but held never change.
	arrived  time.Time // when the header was complete
	tooLarge bool
	hold     int  // how many bytes are stored before the stream is handled
	held     bool // not handed to the handler yet

	// Each wakes the one goroutine that reads or writes.
	readable chan struct{}
	sendable chan struct{}
}

func newStream(c *conn, id uint32) *Stream {
	return &Stream{
		conn:       c,
		id:         id,
		window:     streamWindow,
		sendWindow: c.peerStreamWindow,
		readable:   make(chan struct{}, 1),
		sendable:   make(chan struct{}, 1),
	}
}

// Header waits for the first header block. ended says that nothing followed it:
// the same frame ended the peer's side.
func (s *Stream) Header(ctx context.Context) (header Fields, ended bool, err error) {
	c := s.conn
	for {
		c.mu.Lock()
		if s.gotHeader {
			header, ended = s.header, s.headerOnly
			c.mu.Unlock()
			return header, ended, nil
		}
		err := s.end
		c.mu.Unlock()
		if err != nil {
			return nil, false, err
		}
		select {
		case <-s.readable:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// Read waits for bytes and returns all that are there, which the caller frees.
// io.EOF says that the peer has ended its side properly; what else came is in
// [Stream.Trailer] then.
func (s *Stream) Read(ctx context.Context) (mem.BufferSlice, error) {
	c := s.conn
	for {
		c.mu.Lock()
		if s.received.n > 0 {
			data := s.received.take(c.pool)
			c.openWindowLocked(s, false)
			c.mu.Unlock()
			return data, nil
		}
		var err error
		switch {
		case s.gotEnd:
			err = io.EOF
		case s.end != nil:
			err = s.end
		}
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-s.readable:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// ReadWhole waits for the peer's end and returns all bytes, which the caller
// frees, as long as they are no more than limit. whole is false when there are
// more: what has come so far is returned, and the rest is read with
// [Stream.Read].
func (s *Stream) ReadWhole(ctx context.Context, limit int) (data mem.BufferSlice, whole bool, err error) {
	c := s.conn
	for {
		c.mu.Lock()
		switch {
		case s.gotEnd && s.received.n <= limit:
			data := s.received.take(c.pool)
			c.openWindowLocked(s, false)
			c.mu.Unlock()
			return data, true, nil
		case s.received.n > limit:
			data := s.received.take(c.pool)
			c.openWindowLocked(s, false)
			c.mu.Unlock()
			return data, false, nil
		case s.end != nil:
			err := s.end
			c.mu.Unlock()
			return nil, false, err
		}
		// Storing is what the bytes are for: the window opens again at once.
		c.openWindowLocked(s, true)
		c.mu.Unlock()
		select {
		case <-s.readable:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// Trailer returns the last header block, once Read has returned io.EOF; nil when
// there was none beside the first.
func (s *Stream) Trailer() Fields {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.trailer
}

// openWindowLocked lets the peer send on, in steps. Bytes that were received and
// not taken hold the window shut, unless storing them is what they are for.
func (c *conn) openWindowLocked(s *Stream, storing bool) {
	n := streamWindow - s.window
	if !storing {
		n -= int64(s.received.n)
	}
	if n < streamWindow/2 || s.gotEnd || s.end != nil {
		return
	}
	c.windowUpdateLocked(s.id, int(n))
	s.window += n
	c.wakeLocked()
}

// endLocked ends the stream before its time.
func (s *Stream) endLocked(err error) {
	if !s.finished {
		s.endKeepLocked(err)
		s.removeLocked()
	}
}

// endKeepLocked ends the stream for those who use it. To the peer it is open
// until it is removed.
func (s *Stream) endKeepLocked(err error) {
	if s.end != nil {
		return
	}
	s.end = err
	if s.held {
		// No handler is going to free what was stored for it.
		s.held = false
		s.conn.serving.handlers--
		s.discardLocked()
	}
	signal(s.readable)
	signal(s.sendable)
	if s.onEnd != nil {
		s.onEnd()
		s.onEnd = nil
	}
}

// OnEnd has f called when the stream is cut short: reset by either side, or lost
// with its connection. When that has happened already, f is called at once. f must
// not block or use the stream.
func (s *Stream) OnEnd(f func()) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.end != nil {
		f()
		return
	}
	s.onEnd = f
}

// Abort ends a client's stream that is of no use any more: whatever was received
// and not read is freed, and if the stream has not ended by itself the server is
// told to. It must be called once all else is done with the stream, and may be
// called at any time.
func (s *Stream) Abort() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.discardLocked()
	c.calling.giveUpLocked(s)
}

// discardLocked frees what was received, and has what still comes thrown away.
func (s *Stream) discardLocked() {
	s.discard = true
	s.received.free(s.conn.pool)
}

// Arrived returns when the header was complete. Of server streams only.
func (s *Stream) Arrived() time.Time { return s.arrived }

// TooLarge reports whether the header block was beyond the limits, so that only
// the start of it is there. Of server streams only.
func (s *Stream) TooLarge() bool { return s.tooLarge }

// RemoteAddr returns the peer's address.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.nc.RemoteAddr() }

// doneLocked takes the stream out of the connection once both sides ended it.
func (s *Stream) doneLocked() {
	if s.gotEnd && s.sentEnd {
		s.removeLocked()
	}
}

func (s *Stream) removeLocked() {
	if s.finished {
		return
	}
	s.finished = true
	c := s.conn
	delete(c.streams, s.id)
	c.streamEndedLocked()
}
