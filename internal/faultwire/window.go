package faultwire

import (
	"fmt"

	"golang.org/x/net/http2"
)

const (
	defaultWindow    = 65535 // what RFC 9113 §6.9.2 starts every window with
	maxWindow        = 1<<31 - 1
	connectionWindow = 1 << 20 // what a Qdrant grants a connection
)

// sendWindows is what the peer lets a connection send. Guarded by Conn.mu.
type sendWindows struct {
	conn     int64
	initial  int64 // of a new stream
	maxFrame int
	changed  chan struct{} // closed and replaced when any window grows or a stream ends
}

func (w *sendWindows) broadcast() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// reserve waits until at least one of want bytes may be sent on s and takes as
// many as fit in one frame.
func (c *Conn) reserve(s *Stream, want int) (int, error) {
	for {
		c.mu.Lock()
		if s.dead || c.lost != nil {
			err := s.deadError()
			c.mu.Unlock()
			return 0, err
		}
		n := min(int64(want), int64(c.sendable.maxFrame), c.sendable.conn, s.sendable)
		if n > 0 {
			c.sendable.conn -= n
			s.sendable -= n
			c.mu.Unlock()
			return int(n), nil
		}
		changed := c.sendable.changed
		c.mu.Unlock()
		<-changed // finish and every reset broadcast, so this ends with the stream
	}
}

// grow applies a WINDOW_UPDATE.
func (c *Conn) grow(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	window := &c.sendable.conn
	if f.StreamID != 0 {
		s := c.streams[f.StreamID]
		if s == nil {
			return nil // ended; updates may still be under way
		}
		window = &s.sendable
	}
	if *window += int64(f.Increment); *window > maxWindow {
		return fmt.Errorf("WINDOW_UPDATE on stream %d lifts the window to %d", f.StreamID, *window)
	}
	c.sendable.broadcast()
	return nil
}

// receiveWindow is what we let the peer send. Guarded by Conn.mu.
type receiveWindow struct {
	open  int64 // what the peer may still send
	owed  int64 // received, not yet given back
	batch int64 // owed is given back once it is this much
	slack int64 // what the peer may exceed open by, not knowing our settings yet
}

func newReceiveWindow(size int64) receiveWindow {
	return receiveWindow{open: size, batch: max(1, size/2)}
}

// take accounts for n received bytes and says whether the peer was allowed
// to send them.
func (w *receiveWindow) take(n int64) bool {
	w.open -= n
	w.owed += n
	return w.open+w.slack >= 0
}

// giveBack returns the credit to announce now, 0 when it can wait.
func (w *receiveWindow) giveBack() uint32 {
	if w.owed < w.batch {
		return 0
	}
	n := w.owed
	w.open += n
	w.owed = 0
	return uint32(n)
}

// credit accounts for a DATA frame of n bytes (padding included) and gives
// credit back for it: at once, since events are queued without bound, unless
// the stream is stalled.
func (c *Conn) credit(id uint32, n int64) error {
	c.mu.Lock()
	if !c.receivable.take(n) {
		excess := -c.receivable.open
		c.mu.Unlock()
		return fmt.Errorf("DATA on stream %d exceeds the connection's window by %d bytes", id, excess)
	}
	connCredit := c.receivable.giveBack()
	var streamCredit uint32
	if s := c.streams[id]; s != nil {
		if !s.receivable.take(n) {
			excess := -s.receivable.open
			c.mu.Unlock()
			return fmt.Errorf("DATA on stream %d exceeds its window by %d bytes", id, excess)
		}
		if !s.stalled {
			streamCredit = s.receivable.giveBack()
		}
	}
	c.mu.Unlock()
	return c.announce(id, connCredit, streamCredit)
}

// announce queues the WINDOW_UPDATE frames that are due.
func (c *Conn) announce(id, connCredit, streamCredit uint32) error {
	if connCredit == 0 && streamCredit == 0 {
		return nil
	}
	_, err := c.out.put(func() error {
		if connCredit > 0 {
			if err := c.out.framer.WriteWindowUpdate(0, connCredit); err != nil {
				return err
			}
		}
		if streamCredit > 0 {
			return c.out.framer.WriteWindowUpdate(id, streamCredit)
		}
		return nil
	})
	return err
}
