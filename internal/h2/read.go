package h2

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"golang.org/x/net/http2"
)

// readLoop handles frames until the connection is over. It never writes itself:
// two peers that both wait for the other to read would wait for ever.
func (c *conn) readLoop() {
	for {
		err := c.readFrame()
		if err == nil {
			continue
		}
		if stream, ok := errors.AsType[http2.StreamError](err); ok {
			c.streamError(stream.StreamID, stream.Code)
			continue
		}
		c.stopReading(err)
		return
	}
}

// stopReading ends the connection for err, and tells the peer when it is to blame.
func (c *conn) stopReading(err error) {
	if violation, ok := errors.AsType[*connError](err); ok {
		c.abort(violation.code, violation.reason)
		return
	}
	if violation, ok := errors.AsType[http2.ConnectionError](err); ok {
		c.abort(http2.ErrCode(violation), "")
		return
	}
	if errors.Is(err, http2.ErrFrameTooLarge) {
		c.abort(http2.ErrCodeFrameSize, "frame too large")
		return
	}
	c.fail(err)
}

// streamError resets a stream for what its peer did wrong.
func (c *conn) streamError(id uint32, code http2.ErrCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resetLocked(id, code)
	c.wakeLocked()
	if s := c.streams[id]; s != nil {
		s.endLocked(&ResetError{Code: code, ByUs: true})
	}
}

func (c *conn) readFrame() error {
	// DATA is most of the bytes: it goes from the read buffer into the stream's
	// without a stop in the framer's.
	if head, err := c.br.Peek(frameHeaderLen); err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	} else if http2.FrameType(head[3]) == http2.FrameData && c.block.stream == 0 {
		return c.readData(head)
	}
	frame, err := c.fr.ReadFrame()
	if err != nil {
		return err
	}
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		return c.onHeaders(frame)
	case *http2.ContinuationFrame:
		return c.onContinuation(frame)
	case *http2.SettingsFrame:
		return c.onSettings(frame)
	case *http2.WindowUpdateFrame:
		return c.onWindowUpdate(frame)
	case *http2.PingFrame:
		return c.onPing(frame)
	case *http2.RSTStreamFrame:
		return c.onReset(frame)
	case *http2.GoAwayFrame:
		return c.onGoAway(frame)
	case *http2.PushPromiseFrame:
		return &connError{http2.ErrCodeProtocol, "PUSH_PROMISE"}
	case *http2.PriorityFrame:
		if frame.StreamDep == frame.StreamID {
			return http2.StreamError{StreamID: frame.StreamID, Code: http2.ErrCodeProtocol}
		}
	}
	// PRIORITY means nothing to us, and unknown frames are to be ignored.
	if c.rates.over(&c.rates.controls, maxControls) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many frames of no use"}
	}
	return nil
}

// readData takes one DATA frame, whose header is head, from the read buffer.
func (c *conn) readData(head []byte) error {
	size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	flags := http2.Flags(head[4])
	id := binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1)
	if _, err := c.br.Discard(frameHeaderLen); err != nil {
		return err
	}
	if size > maxFrame {
		return &connError{http2.ErrCodeFrameSize, "frame too large"}
	}
	if id == 0 {
		return &connError{http2.ErrCodeProtocol, "DATA on stream 0"}
	}
	padding, left := 0, size
	if flags.Has(http2.FlagDataPadded) {
		if size == 0 {
			return &connError{http2.ErrCodeFrameSize, "padded DATA without a length"}
		}
		b, err := c.br.ReadByte()
		if err != nil {
			return err
		}
		left--
		if padding = int(b); padding > left {
			return &connError{http2.ErrCodeProtocol, "more padding than DATA"}
		}
	}
	end := flags.Has(http2.FlagDataEndStream)
	if left-padding == 0 && !end && c.rates.over(&c.rates.empty, maxEmpty) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many empty DATA frames"}
	}
	s, refused := c.admitData(id, size)
	if fatal, ok := errors.AsType[*connError](refused); ok {
		return fatal
	}
	for n := left - padding; n > 0; {
		chunk, err := c.br.Peek(min(n, max(c.br.Buffered(), 1)))
		if err != nil {
			return err
		}
		if s != nil {
			c.store(s, chunk)
		}
		n -= len(chunk)
		_, _ = c.br.Discard(len(chunk))
	}
	if _, err := c.br.Discard(padding); err != nil {
		return err
	}
	if refused != nil {
		return refused // of the stream only, so its bytes had to be read
	}
	return c.dataDone(s, size, left-padding, end)
}

// admitData finds the stream of a DATA frame and charges the windows. The
// stream is nil when its bytes are to be thrown away.
func (c *conn) admitData(id uint32, size int) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil {
		if c.idleLocked(id) {
			return nil, &connError{http2.ErrCodeProtocol, "DATA on an idle stream"}
		}
		// The bytes count for the connection's window in any case.
		c.unreturned += size
		c.returnWindowLocked()
		if !c.server || slices.Contains(c.weReset[:], id) {
			return nil, nil // they were under way when we reset the stream
		}
		return nil, http2.StreamError{StreamID: id, Code: http2.ErrCodeStreamClosed}
	}
	if s.gotEnd || !s.gotHeader && !c.server {
		return nil, http2.StreamError{StreamID: id, Code: http2.ErrCodeStreamClosed}
	}
	if s.window -= int64(size); s.window < 0 {
		return nil, http2.StreamError{StreamID: id, Code: http2.ErrCodeFlowControl}
	}
	if s.discard {
		c.openWindowLocked(s, true)
		c.unreturned += size
		c.returnWindowLocked()
		return nil, nil
	}
	return s, nil
}

func (c *conn) store(s *Stream, chunk []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.discard && s.end == nil {
		s.received.append(chunk, c.pool)
	}
}

// dataDone accounts for a DATA frame that was read.
func (c *conn) dataDone(s *Stream, size, payload int, end bool) error {
	if s == nil {
		return nil
	}
	c.mu.Lock()
	// Padding is consumed by being read. The rest is, for the connection, too: a
	// stream that nobody reads stalls itself and no other.
	c.unreturned += size
	c.returnWindowLocked()
	s.total += int64(payload)
	if end {
		if s.wrongLengthLocked() {
			c.mu.Unlock()
			return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeProtocol}
		}
		s.gotEnd = true
		s.doneLocked()
		signal(s.sendable)
	} else {
		// Padding and what was thrown away hold nothing.
		c.openWindowLocked(s, s.held)
	}
	signal(s.readable)
	ready := s.readyLocked()
	c.mu.Unlock()
	if ready {
		c.onStream(s)
	}
	return nil
}

// returnWindowLocked opens the connection's window again, in steps.
func (c *conn) returnWindowLocked() {
	if c.unreturned >= connWindow/2 {
		c.windowUpdateLocked(0, c.unreturned)
		c.unreturned = 0
		c.wakeLocked()
	}
}

// idleLocked reports whether a stream was never used.
func (c *conn) idleLocked(id uint32) bool {
	if c.server {
		return id%2 == 0 || id > c.lastID
	}
	return id%2 == 0 || id >= c.nextID
}

func (c *conn) onSettings(f *http2.SettingsFrame) error {
	if c.rates.over(&c.rates.controls, maxControls) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many SETTINGS"}
	}
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		c.applyLocked(s)
		return nil
	})
	if err != nil {
		return err
	}
	if c.onSettledLocked != nil {
		c.onSettledLocked()
	}
	c.settingsAckLocked()
	c.wakeSendersLocked()
	c.wakeLocked()
	return c.checkOutLocked()
}

func (c *conn) applyLocked(s http2.Setting) {
	switch s.ID {
	case http2.SettingHeaderTableSize:
		c.enc.SetMaxDynamicTableSizeLimit(s.Val)
	case http2.SettingMaxConcurrentStreams:
		c.peerMaxStreams = s.Val
	case http2.SettingMaxFrameSize:
		// Larger frames than the default would only delay other streams.
		c.peerMaxFrame = int(min(s.Val, maxFrame))
	case http2.SettingInitialWindowSize:
		// The change counts for streams that exist too, and may put them below
		// zero (RFC 9113 §6.9.2).
		delta := int64(s.Val) - int64(c.peerStreamWindow)
		c.peerStreamWindow = int32(s.Val)
		for _, stream := range c.streams {
			stream.sendWindow += delta
		}
	}
}

func (c *conn) onWindowUpdate(f *http2.WindowUpdateFrame) error {
	if c.rates.over(&c.rates.updates, maxUpdates) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many WINDOW_UPDATE"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.StreamID == 0 {
		if c.sendWindow += int64(f.Increment); c.sendWindow > 1<<31-1 {
			return &connError{http2.ErrCodeFlowControl, "the connection's window overflows"}
		}
		c.wakeSendersLocked()
		return nil
	}
	s := c.streams[f.StreamID]
	if s == nil {
		if c.idleLocked(f.StreamID) {
			return &connError{http2.ErrCodeProtocol, "WINDOW_UPDATE on an idle stream"}
		}
		return nil
	}
	if s.sendWindow += int64(f.Increment); s.sendWindow > 1<<31-1 {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
	}
	signal(s.sendable)
	return nil
}

func (c *conn) onPing(f *http2.PingFrame) error {
	if f.IsAck() {
		if c.acked != nil {
			c.acked(f.Data)
		}
		return nil
	}
	if c.rates.over(&c.rates.controls, maxControls) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many PINGs"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pingLocked(true, f.Data)
	c.wakeLocked()
	return c.checkOutLocked()
}

func (c *conn) onReset(f *http2.RSTStreamFrame) error {
	if c.server && c.rates.over(&c.rates.resets, maxResets) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many resets"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[f.StreamID]
	if s == nil {
		if c.idleLocked(f.StreamID) {
			return &connError{http2.ErrCodeProtocol, "RST_STREAM on an idle stream"}
		}
		return nil
	}
	// A server that is done with a call before the caller is says so with
	// NO_ERROR after a whole answer: that is no failure.
	if f.ErrCode == http2.ErrCodeNo && s.gotEnd {
		s.sentEnd = true
		s.doneLocked()
		signal(s.sendable)
		return nil
	}
	s.endLocked(&ResetError{Code: f.ErrCode})
	return nil
}
