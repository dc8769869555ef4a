package faultwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/net/http2"
)

// maxBlock bounds a received header block; what a test sends on purpose is far
// smaller, so more than this is a peer gone wrong.
const maxBlock = 1 << 20

// headerBlock collects the fragments of HEADERS and its CONTINUATION frames.
type headerBlock struct {
	stream    uint32
	endStream bool
	fragments []byte
}

// read handles frames until the connection ends and says why it did. A fault
// of the peer is answered with a GOAWAY that names it.
func (c *Conn) read() error {
	if c.accepted {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.tcp, preface); err != nil {
			return fmt.Errorf("no preface: %w", err)
		}
		if !bytes.Equal(preface, []byte(http2.ClientPreface)) {
			return fmt.Errorf("not HTTP/2: %q", preface)
		}
	}
	var block headerBlock
	for {
		frame, err := c.in.ReadFrame()
		if err != nil && !isViolation(err) {
			return err
		}
		if err == nil {
			if !c.waitWhileStalled() {
				return io.EOF // finish has run with the real reason
			}
			if err = c.handle(frame, &block); err == nil {
				continue
			}
		}
		if detail := c.in.ErrorDetail(); detail != nil {
			err = fmt.Errorf("%w: %w", err, detail)
		}
		// Sent before the reason reaches finish, which closes the socket.
		if sendErr := c.GoAway(c.LastStreamID(), http2.ErrCodeProtocol, err.Error()); sendErr != nil {
			return errors.Join(err, sendErr)
		}
		return err
	}
}

// isViolation tells a frame that breaks the protocol from a dead socket.
func isViolation(err error) bool {
	if errors.Is(err, http2.ErrFrameTooLarge) {
		return true
	}
	if _, ok := errors.AsType[http2.ConnectionError](err); ok {
		return true
	}
	_, ok := errors.AsType[http2.StreamError](err)
	return ok
}

// waitWhileStalled returns false when the connection ended meanwhile.
func (c *Conn) waitWhileStalled() bool {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	if gate == nil {
		return true
	}
	select {
	case <-gate:
		return true
	case <-c.done:
		return false
	}
}

// handle applies one frame; an error is a fault of the peer.
func (c *Conn) handle(frame http2.Frame, block *headerBlock) error {
	now := time.Now()
	switch f := frame.(type) {
	case *http2.HeadersFrame:
		*block = headerBlock{stream: f.StreamID, endStream: f.StreamEnded()}
		return c.fragment(block, f.HeaderBlockFragment(), f.HeadersEnded(), now)
	case *http2.ContinuationFrame:
		return c.fragment(block, f.HeaderBlockFragment(), f.HeadersEnded(), now)
	case *http2.DataFrame:
		return c.data(f, now)
	case *http2.RSTStreamFrame:
		c.reset(f.StreamID, Reset{At: now, Code: f.ErrCode})
	case *http2.WindowUpdateFrame:
		return c.grow(f)
	case *http2.SettingsFrame:
		return c.settings(f, now)
	case *http2.PingFrame:
		return c.ping(f, now)
	case *http2.GoAwayFrame:
		c.events.put(GoAway{At: now, LastStreamID: f.LastStreamID, Code: f.ErrCode, Debug: string(f.DebugData())})
	}
	return nil // PRIORITY and extensions mean nothing here
}

func (c *Conn) fragment(block *headerBlock, fragment []byte, last bool, now time.Time) error {
	if len(block.fragments)+len(fragment) > maxBlock {
		return fmt.Errorf("header block of stream %d is longer than %d bytes", block.stream, maxBlock)
	}
	block.fragments = append(block.fragments, fragment...)
	if !last {
		return nil
	}
	fields, err := c.decoder.DecodeFull(block.fragments)
	if err != nil {
		return fmt.Errorf("header block of stream %d: %w", block.stream, err)
	}
	return c.headers(block.stream, Headers{At: now, Fields: fields, EndStream: block.endStream})
}

// headers delivers a header block: to the stream it belongs to, or as a new
// stream on the server's end. Blocks of streams that are over are dropped;
// they were under way when the stream ended.
func (c *Conn) headers(id uint32, h Headers) error {
	c.mu.Lock()
	s := c.streams[id]
	if s != nil || id <= c.lastID {
		c.mu.Unlock()
		if s != nil {
			s.receive(h, h.EndStream)
		}
		return nil
	}
	if !c.accepted || id%2 == 0 {
		c.mu.Unlock()
		return fmt.Errorf("HEADERS on stream %d, which the peer may not open", id)
	}
	if c.lost != nil {
		c.mu.Unlock()
		return nil
	}
	c.lastID = id
	s = newStream(c)
	s.ID, s.Request = id, h
	c.register(s)
	c.mu.Unlock()

	c.tally.stream()
	if h.EndStream {
		s.remoteEnded()
	}
	c.onStream(s)
	return nil
}

func (c *Conn) data(f *http2.DataFrame, now time.Time) error {
	if err := c.credit(f.StreamID, int64(f.Length)); err != nil {
		return err
	}
	c.mu.Lock()
	s, idle := c.streams[f.StreamID], f.StreamID > c.lastID
	c.mu.Unlock()
	if idle {
		return fmt.Errorf("DATA on stream %d, which is not open", f.StreamID)
	}
	if s != nil {
		s.receive(Data{At: now, Payload: bytes.Clone(f.Data()), EndStream: f.StreamEnded()}, f.StreamEnded())
	}
	return nil
}

// reset is counted even on streams that are over: what a peer resets after the
// end is part of what tests ask about.
func (c *Conn) reset(id uint32, r Reset) {
	c.mu.Lock()
	s := c.streams[id]
	if s != nil {
		delete(c.streams, id)
		s.dead, s.reset = true, &r
		c.sendable.broadcast()
	}
	c.mu.Unlock()

	seen := ResetSeen{Reset: r, StreamID: id}
	if s != nil {
		seen.Path = s.Request.Fields.Get(":path")
	}
	c.tally.reset(seen)
	if s != nil {
		s.events.put(r)
		s.over(io.EOF)
	}
}

func (c *Conn) settings(f *http2.SettingsFrame, now time.Time) error {
	if f.IsAck() {
		c.mu.Lock()
		c.acked = true
		c.mu.Unlock()
		c.events.put(SettingsAck{At: now})
		return nil
	}
	event := Settings{At: now}
	tableSize := int64(-1)
	c.mu.Lock()
	for i := range f.NumSettings() {
		s := f.Setting(i)
		event.Values = append(event.Values, s)
		switch s.ID {
		case http2.SettingInitialWindowSize:
			for _, stream := range c.streams {
				stream.sendable += int64(s.Val) - c.sendable.initial
			}
			c.sendable.initial = int64(s.Val)
			c.sendable.broadcast()
		case http2.SettingMaxFrameSize:
			c.sendable.maxFrame = int(s.Val)
		case http2.SettingHeaderTableSize:
			tableSize = int64(s.Val)
		}
	}
	c.mu.Unlock()
	c.events.put(event)
	_, err := c.out.put(func() error {
		if tableSize >= 0 {
			c.out.encoder.SetMaxDynamicTableSizeLimit(uint32(tableSize))
		}
		return c.out.framer.WriteSettingsAck()
	})
	return err
}

func (c *Conn) ping(f *http2.PingFrame, now time.Time) error {
	if f.IsAck() {
		c.events.put(PingAck{At: now, Data: f.Data})
		return nil
	}
	c.tally.ping()
	c.events.put(Ping{At: now, Data: f.Data})
	_, err := c.out.put(func() error { return c.out.framer.WritePing(true, f.Data) })
	return err
}
