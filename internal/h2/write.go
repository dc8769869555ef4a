package h2

import (
	"context"
	"io"
	"slices"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"
)

const frameHeaderLen = 9

// frameLocked queues the header of a frame of n bytes.
func (c *conn) frameLocked(n int, kind http2.FrameType, flags http2.Flags, stream uint32) {
	c.out.write([]byte{
		byte(n >> 16), byte(n >> 8), byte(n), byte(kind), byte(flags),
		byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream),
	})
	c.queued += int64(frameHeaderLen + n)
}

func (c *conn) uint32Locked(v uint32) {
	c.out.write([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func (c *conn) settingsLocked(settings ...http2.Setting) {
	c.frameLocked(6*len(settings), http2.FrameSettings, 0, 0)
	for _, s := range settings {
		c.out.write([]byte{byte(s.ID >> 8), byte(s.ID)})
		c.uint32Locked(s.Val)
	}
}

func (c *conn) pingLocked(ack bool, data [8]byte) {
	var flags http2.Flags
	if ack {
		flags = http2.FlagPingAck
	}
	c.frameLocked(len(data), http2.FramePing, flags, 0)
	c.out.write(data[:])
}

func (c *conn) windowUpdateLocked(stream uint32, n int) {
	c.frameLocked(4, http2.FrameWindowUpdate, 0, stream)
	c.uint32Locked(uint32(n))
}

// maxWeReset is how many of the streams that we reset are remembered.
const maxWeReset = 64

func (c *conn) resetLocked(stream uint32, code http2.ErrCode) {
	c.limits.Traffic.resetSent(code)
	c.frameLocked(4, http2.FrameRSTStream, 0, stream)
	c.uint32Locked(uint32(code))
	if len(c.weReset) < maxWeReset {
		c.weReset = append(c.weReset, stream)
		return
	}
	c.weReset[c.weResetNext] = stream
	c.weResetNext = (c.weResetNext + 1) % maxWeReset
}

func (c *conn) goAwayLocked(last uint32, code http2.ErrCode, debug string) {
	c.frameLocked(8+len(debug), http2.FrameGoAway, 0, 0)
	c.uint32Locked(last)
	c.uint32Locked(uint32(code))
	c.out.write([]byte(debug))
}

// headersLocked compresses fields and queues them, in as many frames as need be. Frames larger than the default are not sent whatever the peer
// allows: they would only delay other streams.
func (c *conn) headersLocked(stream uint32, pseudo, fields Fields, end bool) {
	block := c.encodeLocked(pseudo, fields)
	kind, flags := http2.FrameHeaders, http2.Flags(0)
	if end {
		flags |= http2.FlagHeadersEndStream
	}
	for first := true; first || len(block) > 0; first = false {
		n := min(len(block), maxFrame)
		if n == len(block) {
			flags |= http2.FlagHeadersEndHeaders // the same bit in CONTINUATION
		}
		c.frameLocked(n, kind, flags, stream)
		c.out.write(block[:n])
		block = block[n:]
		kind, flags = http2.FrameContinuation, 0
	}
}

// turnBytes is how much a stream sends while others wait to.
const turnBytes = 4 * maxFrame

// dataLocked sends as much of data as windows, frame size and the queue allow. The
// last frame ends the stream if end.
func (c *conn) dataLocked(s *Stream, data *reader, end bool) {
	stop := 0 // where its turn ends
	if len(c.waiting) > 0 {
		stop = data.n - turnBytes
	}
	for data.n > max(stop, 0) && s.sendWindow > 0 && !c.fullLocked() {
		n := int(min(int64(data.n), maxFrame, s.sendWindow, c.sendWindow))
		if n >= worthwhileDataLen || n == data.n {
			c.toll.paid()
		}
		var flags http2.Flags
		if end && n == data.n {
			flags = http2.FlagDataEndStream
			s.sentEnd = true
		}
		c.frameLocked(n, http2.FrameData, flags, s.id)
		data.queue(&c.out, n)
		s.sendWindow -= int64(n)
		c.sendWindow -= int64(n)
	}
}

// fullLocked reports whether no stream may send DATA now.
func (c *conn) fullLocked() bool { return c.sendWindow <= 0 || c.out.n >= outLimit }

// endDataLocked ends the stream with an empty DATA frame, which needs no window.
func (c *conn) endDataLocked(s *Stream) {
	c.frameLocked(0, http2.FrameData, http2.FlagDataEndStream, s.id)
	s.sentEnd = true
}

// reader walks over the bytes of a message. It does not own them.
type reader struct {
	cur  []byte // of buf
	buf  mem.Buffer
	rest mem.BufferSlice
	n    int
}

// queue puts the next n bytes into o.
func (r *reader) queue(o *outbox, n int) {
	r.n -= n
	for n > 0 {
		for len(r.cur) == 0 {
			r.buf, r.rest = r.rest[0], r.rest[1:]
			r.cur = r.buf.ReadOnlyData()
		}
		k := min(n, len(r.cur))
		o.writeFrom(r.buf, r.cur[:k])
		r.cur = r.cur[k:]
		n -= k
	}
}

// WriteHeader sends a header block: the first one, or the trailers with end.
// pseudo fields go before the others. It does not wait.
func (s *Stream) WriteHeader(pseudo, fields Fields, end bool) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.writeHeaderLocked(pseudo, fields, end)
}

func (s *Stream) writeHeaderLocked(pseudo, fields Fields, end bool) error {
	c := s.conn
	if err := s.sendErrLocked(); err != nil {
		return err
	}
	c.headersLocked(s.id, pseudo, fields, end)
	if end {
		s.sentEnd = true
		s.doneLocked()
	}
	c.wakeLocked()
	return nil
}

// Write sends data, which must not change any more and whose ownership it does not
// take, and waits until flow control has let all of it through or ctx ends. With end it also ends our side
// of the stream. io.EOF says that the server has ended the call and wants no more
// of the request.
func (s *Stream) Write(ctx context.Context, data mem.BufferSlice, end bool) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.writeLocked(ctx, data, end)
}

// writeLocked is Write. It unlocks mu while it waits.
func (s *Stream) writeLocked(ctx context.Context, data mem.BufferSlice, end bool) error {
	c := s.conn
	rest := reader{rest: data, n: data.Len()}
	for {
		err := s.sendErrLocked()
		if err == nil {
			c.dataLocked(s, &rest, end)
			if rest.n == 0 && end && !s.sentEnd {
				c.endDataLocked(s)
			}
			c.wakeLocked()
		}
		if err != nil || rest.n == 0 {
			s.doneLocked()
			c.leaveLocked(s)
			return err
		}
		c.standLocked(s)
		c.mu.Unlock()
		select {
		case <-s.sendable:
			c.mu.Lock()
		case <-ctx.Done():
			c.mu.Lock()
			c.leaveLocked(s)
			return Cause(ctx)
		}
	}
}

// Respond sends a whole answer, of whose body it takes no ownership, and ends the
// stream; without a trailer when that is nil. Otherwise it is as [Stream.Write].
func (s *Stream) Respond(ctx context.Context, header Fields, body mem.BufferSlice, trailer Fields) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if err := s.writeHeaderLocked(nil, header, false); err != nil {
		return err
	}
	if err := s.writeLocked(ctx, body, trailer == nil); err != nil || trailer == nil {
		return err
	}
	return s.writeHeaderLocked(nil, trailer, true)
}

// standLocked has a sender that cannot go on now woken when it can. Only those
// stand in the queue that have a window of their own: one whose window is shut
// is woken when that opens, and must not be by everything that the others send.
func (c *conn) standLocked(s *Stream) {
	if s.sendWindow > 0 && !s.waitingSend {
		s.waitingSend = true
		c.waiting = append(c.waiting, s)
	}
	c.wakeSenderLocked()
}

// leaveLocked takes a sender out of the queue. When it had been called already,
// its turn is somebody else's.
func (c *conn) leaveLocked(s *Stream) {
	if s.waitingSend {
		s.waitingSend = false
		c.waiting = slices.DeleteFunc(c.waiting, func(w *Stream) bool { return w == s })
	}
	c.wakeSenderLocked()
}

// wakeSenderLocked calls the first sender of the queue, if there is room for its
// DATA. It calls the next one itself, by standing or leaving: waking all at once
// costs more than sending when there are a thousand.
func (c *conn) wakeSenderLocked() {
	if len(c.waiting) == 0 || c.fullLocked() {
		return
	}
	s := c.waiting[0]
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
	s.waitingSend = false
	signal(s.sendable)
}

// sendErrLocked returns why nothing can be sent any more.
func (s *Stream) sendErrLocked() error {
	switch {
	case s.gotEnd && !s.conn.server && s.end != errReset: //nolint:errorlint // it is stored as it is
		// The server has answered without the rest of the request. However the
		// stream or the connection ended after that, the answer is there.
		return io.EOF
	case s.end != nil:
		return s.end
	case s.sentEnd:
		return io.ErrClosedPipe
	default:
		return nil
	}
}
