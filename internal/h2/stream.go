package h2

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc/mem"
)

// Stream is one HTTP/2 stream, that is one call. One goroutine reads it and one
// writes it; they may be the same. Where they are not, [Stream.Share] must say so.
//
// A stream, its header fields and what was read of it are good until its end: for
// a server's until its handler returns, for a client's until [Stream.Close].
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
	// While whole is not 0 nobody looks before the message has ended or is larger
	// than that. Storing is what its bytes are for, so the window stays open.
	whole   int
	stored  int  // bytes that count in Limits.Store
	crowded bool // there is no room for more of them
	prefix  [prefixLen]byte
	large   bool // the message is larger than whole, by what its prefix says

	// Sending.
	sendWindow  int64
	headEnd     int64 // client: up to where the queued bytes hold the header
	sentEnd     bool  // we ended our side
	waitingSend bool

	end      error       // why the stream was cut short; nil otherwise
	finished bool        // it is no longer in conn.streams
	queued   bool        // client: it waits for its turn to be reset
	onEnd    func(error) // called once when the stream is cut short

	arrived  time.Time // when the header was complete
	complete time.Time // when gotEnd was set

	// Of a server's stream. All but held never change.
	tooLarge   bool
	held       bool // not handed to the handler yet
	recognized any

	shared bool // never used again

	// Each wakes the one goroutine that reads or writes.
	readable chan struct{}
	sendable chan struct{}
	// Where blocks are kept that nobody remembers.
	ownHeader, ownTrailer Fields
}

// maxSpare is how many streams that have ended a connection keeps to be used
// again.
const maxSpare = 128

// newStreamLocked makes a stream. It is not yet in conn.streams.
func (c *conn) newStreamLocked(id uint32) *Stream {
	var s *Stream
	if n := len(c.spareStreams); n > 0 {
		s, c.spareStreams = c.spareStreams[n-1], c.spareStreams[:n-1]
	} else {
		s = &Stream{conn: c, readable: make(chan struct{}, 1), sendable: make(chan struct{}, 1)}
	}
	s.id = id
	s.window, s.sendWindow = streamWindow, c.peerStreamWindow
	return s
}

// recycleLocked lets the connection use the stream again, if nobody can have it
// any more. The one who calls it was the last.
func (s *Stream) recycleLocked() {
	c := s.conn
	if !s.finished || s.shared || s.queued || s.waitingSend || len(c.spareStreams) >= maxSpare {
		return
	}
	select {
	case <-s.readable:
	default:
	}
	select {
	case <-s.sendable:
	default:
	}
	clear(s.ownHeader)
	clear(s.ownTrailer)
	*s = Stream{
		conn:     c,
		readable: s.readable, sendable: s.sendable,
		ownHeader: s.ownHeader[:0], ownTrailer: s.ownTrailer[:0],
	}
	c.spareStreams = append(c.spareStreams, s)
}

// Share says that goroutines use the stream that may do so after its end. It must
// be called before there is a second one.
func (s *Stream) Share() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.shared = true
}

// headerLocked keeps the first block. It runs where the connection is read.
func (s *Stream) headerLocked(b *block, only bool) {
	s.gotHeader, s.headerOnly, s.arrived = true, only, s.conn.in.arrival()
	s.header = b.fields
	if !b.shared {
		s.ownHeader = append(s.ownHeader, b.fields...)
		s.header = slices.Clip(s.ownHeader)
	}
}

// trailerLocked keeps the last block of two.
func (s *Stream) trailerLocked(b *block) {
	s.trailer = b.fields
	if !b.shared {
		s.ownTrailer = append(s.ownTrailer, b.fields...)
		s.trailer = slices.Clip(s.ownTrailer)
	}
	if s.trailer == nil {
		s.trailer = Fields{} // a block without a field is a block
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
			return nil, false, Cause(ctx)
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
			c.openWindowLocked(s)
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
			return nil, Cause(ctx)
		}
	}
}

// ReadWhole waits for the peer's end and returns all bytes, which the caller
// frees, as long as they are no more than limit, which is at least 1, and there is
// room in [Limits.Store]. whole is false when there are more, or are going to be by
// the prefix of a gRPC message: what has come so far is returned, and the rest is
// read with [Stream.Read].
func (s *Stream) ReadWhole(ctx context.Context, limit int) (data mem.BufferSlice, whole bool, err error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.whole = limit
	whole, err = s.awaitWholeLocked(ctx)
	if err != nil {
		return nil, false, err
	}
	data = s.received.take(c.pool)
	c.openWindowLocked(s)
	return data, whole, nil
}

// awaitWholeLocked waits until the message has ended, which it reports, or is
// larger than s.whole. It unlocks mu while it waits.
func (s *Stream) awaitWholeLocked(ctx context.Context) (whole bool, err error) {
	c := s.conn
	for !s.gotEnd && s.fitsLocked() && s.end == nil {
		c.openWindowLocked(s)
		c.mu.Unlock()
		select {
		case <-s.readable:
			c.mu.Lock()
		case <-ctx.Done():
			c.mu.Lock()
			return false, Cause(ctx)
		}
	}
	more := s.received.n > s.whole || !s.fitsLocked() && s.end == nil
	s.whole = 0
	if more { // it is passed on, and no longer stored
		c.limits.Store.giveBack(s.stored)
		s.stored = 0
	}
	if !more && !s.gotEnd {
		return false, s.end
	}
	return !more, nil
}

// prefixLen is how long the prefix of a gRPC message is: whether it is compressed,
// and its size.
const prefixLen = 5

// storeLocked accounts for bytes, the next ones of the body, that are stored for
// s.whole.
func (s *Stream) storeLocked(p []byte) {
	s.stored += len(p)
	s.crowded = !s.conn.limits.Store.take(len(p))
	if s.total < prefixLen {
		copy(s.prefix[s.total:], p)
		// Who knows now that there is more than is stored need not wait for that.
		s.large = s.total+int64(len(p)) >= prefixLen &&
			int64(binary.BigEndian.Uint32(s.prefix[1:])) > int64(s.whole-prefixLen)
	}
}

// fitsLocked reports whether there may be all of the message within s.whole and
// the room that there is.
func (s *Stream) fitsLocked() bool {
	return s.received.n <= s.whole && !s.crowded && !s.large
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
func (c *conn) openWindowLocked(s *Stream) {
	n := streamWindow - s.window
	if s.whole == 0 {
		n -= int64(s.received.n)
	}
	if n < streamWindow/2 || s.gotEnd || s.end != nil {
		return
	}
	c.windowUpdateLocked(s.id, int(n))
	s.window += n
	c.wakeLocked()
}

// arrivedLocked tells whoever reads the stream, if there is something for it.
func (s *Stream) arrivedLocked() {
	if s.whole > 0 && !s.gotEnd && s.fitsLocked() && s.end == nil {
		return
	}
	if s.held {
		s.handOverLocked()
		return
	}
	signal(s.readable)
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
	s.tellLocked(nil)
}

// tellLocked calls what was given to OnEnd.
func (s *Stream) tellLocked(cause error) {
	if s.onEnd != nil {
		s.onEnd(cause)
		s.onEnd = nil
	}
}

// OnEnd has f called when a server's stream is cut short: with nil when it is
// reset by either side or lost with its connection, and with the cause that was
// given to [Server.Cut]. When that has happened already, f is called at once. f
// must not block or use the stream.
func (s *Stream) OnEnd(f func(cause error)) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.onEnd = f
	switch {
	case s.end != nil:
		s.tellLocked(nil)
	case c.serving.cut != nil:
		s.tellLocked(c.serving.cut)
	}
}

// Close ends a client's stream that is of no use any more: whatever was received
// and not read is freed, and if the stream has not ended by itself the server is
// told to. It must be called once all else is done with the stream. A stream that
// is shared may be closed at any time.
func (s *Stream) Close() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.closeLocked()
}

func (s *Stream) closeLocked() {
	s.discardLocked()
	s.conn.calling.giveUpLocked(s)
	s.recycleLocked()
}

// discardLocked frees what was received, and has what still comes thrown away.
func (s *Stream) discardLocked() {
	s.discard = true
	s.conn.limits.Store.giveBack(s.stored)
	s.stored = 0
	s.received.free(s.conn.pool)
}

// Arrived returns when the header was complete; of a client's stream once
// [Stream.Header] has returned it.
func (s *Stream) Arrived() time.Time { return s.arrived }

// Complete returns when the peer's last bytes had arrived, once [Stream.ReadWhole]
// has returned them whole or [Stream.Read] io.EOF.
func (s *Stream) Complete() time.Time { return s.complete }

// Received returns how many bytes the peer has sent, without frames and padding.
func (s *Stream) Received() int64 {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.total
}

// TooLarge reports whether the header block was beyond the limits, so that only
// the start of it is there. Of server streams only.
func (s *Stream) TooLarge() bool { return s.tooLarge }

// Recognized returns what [ServerConfig.Recognize] has made of the header; nil
// when it was not asked.
func (s *Stream) Recognized() any { return s.recognized }

// Session returns what was given to [Server.ServeConn] with the stream's connection:
// all streams of one share it. Of server streams only.
func (s *Stream) Session() any { return s.conn.serving.session }

// RemoteAddr returns the peer's address.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.nc.RemoteAddr() }

// peerEndedLocked notes that the peer has ended its side. It runs where the
// connection is read.
func (s *Stream) peerEndedLocked() { s.gotEnd, s.complete = true, s.conn.in.arrival() }

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
