package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"

	"golang.org/x/net/http2"
)

// readLoop handles frames until the connection is over.
func (c *conn) readLoop() {
	defer c.nc.Close()
	defer c.in.drop()
	for {
		err := c.readFrame()
		select {
		case <-c.closed:
			c.linger()
			return
		default:
		}
		if violation, ok := errors.AsType[http2.StreamError](err); ok {
			err = c.streamError(violation)
		}
		if err != nil {
			c.stopReading(err)
			return
		}
	}
}

// stopReading ends the connection for err, and tells the peer when it is to blame.
func (c *conn) stopReading(err error) {
	if violation, ok := errors.AsType[*connError](err); ok {
		c.abort(violation)
		return
	}
	if violation, ok := errors.AsType[http2.ConnectionError](err); ok {
		c.abort(&connError{http2.ErrCode(violation), "malformed frame"})
		return
	}
	if errors.Is(err, http2.ErrFrameTooLarge) {
		c.abort(&connError{http2.ErrCodeFrameSize, "frame too large"})
		return
	}
	if errors.Is(err, io.EOF) {
		// To whoever reads a stream that says that its message is complete.
		err = errHungUp
	}
	if c.calling != nil {
		c.mu.Lock()
		err = c.calling.lossLocked(err)
		c.mu.Unlock()
	}
	c.fail(err)
}

// streamError resets a stream for what its peer did wrong.
func (c *conn) streamError(violation http2.StreamError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idleLocked(violation.StreamID) {
		return &connError{violation.Code, "a mistake on an idle stream"}
	}
	c.resetLocked(violation.StreamID, violation.Code)
	c.wakeLocked()
	if s := c.streams[violation.StreamID]; s != nil {
		s.endLocked(&ResetError{Code: violation.Code, ByUs: true})
	}
	if c.rates.over(&c.rates.faults, c.limits.StreamErrors) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many streams with mistakes"}
	}
	return c.checkOutLocked()
}

// firstBytes is how much is kept of what a peer begins with, to be named when that
// is not HTTP/2.
const firstBytes = 16

func (c *conn) readFrame() error {
	head, err := c.in.peek(frameHeaderLen)
	if got := c.in.bytes(); !c.settled && len(c.first) == 0 {
		c.first = bytes.Clone(got[:min(len(got), firstBytes)])
	}
	if err != nil {
		return cut(err, len(head) > 0)
	}
	size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	kind, flags := http2.FrameType(head[3]), http2.Flags(head[4])
	stream := binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1)
	switch {
	case !c.settled && (kind != http2.FrameSettings || flags.Has(http2.FlagSettingsAck)):
		return &connError{http2.ErrCodeProtocol, "SETTINGS must come first"}
	case size > maxFrame:
		return &connError{http2.ErrCodeFrameSize, "frame too large"}
	}
	frame, err := c.in.peek(frameHeaderLen + size)
	if err != nil {
		return cut(err, true)
	}
	defer c.in.discard(len(frame))
	payload := frame[frameHeaderLen:]
	switch {
	case c.arrival.stream != 0:
		return c.onContinuation(kind, flags, stream, payload)
	case kind == http2.FrameData:
		return c.onData(flags, stream, payload)
	case kind == http2.FrameHeaders:
		return c.onHeaders(flags, stream, payload)
	}
	return c.onOther(frame)
}

// onOther takes the frames that are few.
func (c *conn) onOther(frame []byte) error {
	c.few.Reset(frame)
	parsed, err := c.fr.ReadFrame()
	if err != nil {
		return err
	}
	switch frame := parsed.(type) {
	case *http2.SettingsFrame:
		return c.onSettings(frame)
	case *http2.WindowUpdateFrame:
		return c.onWindowUpdate(frame)
	case *http2.PingFrame:
		return c.onPing(frame)
	case *http2.RSTStreamFrame:
		return c.onReset(frame)
	case *http2.GoAwayFrame:
		// Clients may say so; they also close.
		if c.calling != nil {
			c.calling.onGoAway(frame)
		}
	case *http2.PushPromiseFrame:
		return &connError{http2.ErrCodeProtocol, "PUSH_PROMISE"}
	case *http2.PriorityFrame:
		if frame.StreamDep == frame.StreamID {
			return http2.StreamError{StreamID: frame.StreamID, Code: http2.ErrCodeProtocol}
		}
	}
	// PRIORITY means nothing to us, and unknown frames are to be ignored.
	if c.rates.over(&c.rates.controls, c.limits.Controls) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many frames of no use"}
	}
	return nil
}

// cut says of io.EOF that it came inside of something, if it did.
func cut(err error, inside bool) error {
	if inside && err == io.EOF { //nolint:errorlint // readers return it as it is
		return io.ErrUnexpectedEOF
	}
	return err
}

// onData takes a DATA frame (RFC 9113 §6.1).
func (c *conn) onData(flags http2.Flags, id uint32, payload []byte) error {
	if id == 0 {
		return &connError{http2.ErrCodeProtocol, "DATA on stream 0"}
	}
	size := len(payload) // flow control counts padding
	if flags.Has(http2.FlagDataPadded) {
		if len(payload) == 0 {
			return &connError{http2.ErrCodeFrameSize, "padded DATA without a length"}
		}
		padding := int(payload[0])
		payload = payload[1:]
		if padding > len(payload) {
			return &connError{http2.ErrCodeProtocol, "more padding than DATA"}
		}
		payload = payload[:len(payload)-padding]
	}
	end := flags.Has(http2.FlagDataEndStream)
	if len(payload) == 0 && !end && c.rates.over(&c.rates.empty, c.limits.EmptyData) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many empty DATA frames"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.admitDataLocked(id, size)
	if s == nil || err != nil {
		return err
	}
	if !s.discard && s.end == nil {
		s.received.append(payload, c.pool)
		if s.whole > 0 {
			s.storeLocked(payload)
		}
	}
	s.total += int64(len(payload))
	if s.wrongLengthLocked(end) {
		return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeProtocol}
	}
	if end {
		s.peerEndedLocked()
		s.doneLocked()
		if !s.sentEnd {
			signal(s.sendable)
		}
	} else {
		// Padding and what was thrown away hold nothing.
		c.openWindowLocked(s)
	}
	s.arrivedLocked()
	return nil
}

// admitDataLocked finds the stream of a DATA frame and charges the windows. The
// stream is nil when its bytes are to be thrown away.
func (c *conn) admitDataLocked(id uint32, size int) (*Stream, error) {
	s := c.streams[id]
	if s == nil && c.idleLocked(id) {
		return nil, &connError{http2.ErrCodeProtocol, "DATA on an idle stream"}
	}
	// For the connection's window bytes are consumed by being read, whatever
	// becomes of them: a stream that nobody reads stalls itself and no other.
	c.unreturned += size
	c.returnWindowLocked()
	switch {
	case s == nil && (!c.server || c.resetLately(id)):
		return nil, nil // they were under way when we reset the stream
	case s == nil || s.gotEnd:
		return nil, http2.StreamError{StreamID: id, Code: http2.ErrCodeStreamClosed}
	case !s.gotHeader:
		return nil, http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	case s.window < int64(size):
		return nil, http2.StreamError{StreamID: id, Code: http2.ErrCodeFlowControl}
	}
	s.window -= int64(size)
	return s, nil
}

// resetLately reports whether the peer may not have seen yet that we reset a
// stream. Call it with mu held.
func (c *conn) resetLately(id uint32) bool { return slices.Contains(c.weReset, id) }

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
	if c.rates.over(&c.rates.controls, c.limits.Controls) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many SETTINGS"}
	}
	if f.IsAck() {
		if c.calling != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.calling.settledLocked()
		}
		return nil
	}
	if !c.settled {
		c.settled = true
		_ = c.nc.SetReadDeadline(time.Time{})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	window := c.peerStreamWindow
	c.said = nil // the table may change
	err := f.ForeachSetting(func(s http2.Setting) error {
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.enc.SetMaxDynamicTableSizeLimit(s.Val)
			c.enc.SetMaxDynamicTableSize(min(s.Val, tableSize))
		case http2.SettingMaxConcurrentStreams:
			c.peerMaxStreams.Store(s.Val)
		case http2.SettingInitialWindowSize:
			window = int64(s.Val)
		}
		return s.Valid()
	})
	if err == nil {
		err = c.shiftWindowsLocked(window)
	}
	if err != nil {
		return err
	}
	if c.calling != nil {
		c.calling.greetedLocked()
	}
	c.frameLocked(0, http2.FrameSettings, http2.FlagSettingsAck, 0)
	c.wakeLocked()
	return c.checkOutLocked()
}

// shiftWindowsLocked applies a changed initial window. The change counts for
// streams that exist, too, and may put them below zero (RFC 9113 §6.9.2).
func (c *conn) shiftWindowsLocked(window int64) error {
	delta := window - c.peerStreamWindow
	c.peerStreamWindow = window
	if delta == 0 {
		return nil
	}
	for _, s := range c.streams {
		if s.sendWindow += delta; s.sendWindow > maxWindow {
			return &connError{http2.ErrCodeFlowControl, "SETTINGS make a stream's window overflow"}
		}
		signal(s.sendable)
	}
	return nil
}

func (c *conn) onWindowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.toll.over(&c.toll.updates, c.limits.WindowUpdates) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many WINDOW_UPDATE"}
	}
	if f.StreamID == 0 {
		if c.sendWindow += int64(f.Increment); c.sendWindow > maxWindow {
			return &connError{http2.ErrCodeFlowControl, "the connection's window overflows"}
		}
		c.wakeSenderLocked()
		return nil
	}
	s := c.streams[f.StreamID]
	if s == nil {
		if c.idleLocked(f.StreamID) {
			return &connError{http2.ErrCodeProtocol, "WINDOW_UPDATE on an idle stream"}
		}
		return nil
	}
	if s.sendWindow += int64(f.Increment); s.sendWindow > maxWindow {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
	}
	signal(s.sendable)
	return nil
}

func (c *conn) onPing(f *http2.PingFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.IsAck() {
		switch {
		case c.calling != nil:
			c.calling.pingAckedLocked(f.Data)
		case f.Data == drainPing:
			c.serving.goAwayFinallyLocked()
		}
		return nil
	}
	if c.toll.over(&c.toll.pings, c.limits.Pings) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "too many PINGs"}
	}
	c.pingLocked(true, f.Data)
	c.wakeLocked()
	return c.checkOutLocked()
}

func (c *conn) onReset(f *http2.RSTStreamFrame) error {
	c.limits.Traffic.resetReceived(f.ErrCode)
	if c.server && c.rates.over(&c.rates.resets, c.limits.Resets) {
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
	// A server that is done with a call before its caller is says so with
	// NO_ERROR after a whole answer: that is no failure (RFC 9113 §8.1).
	if !c.server && f.ErrCode == http2.ErrCodeNo && s.gotEnd {
		s.sentEnd = true
		s.doneLocked()
		signal(s.sendable)
		return nil
	}
	s.endLocked(&ResetError{Code: f.ErrCode, begun: !c.server && s.gotHeader})
	return nil
}
