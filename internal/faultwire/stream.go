package faultwire

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/net/http2"
)

// ErrReset is wrapped by what a stream's methods return once it was reset, by
// either end.
var ErrReset = errors.New("faultwire: stream reset")

// Stream is one stream of a [Conn], the same on both ends. Sending methods
// return when the kernel has the bytes; they may be called while another
// goroutine receives. One goroutine receives at a time.
type Stream struct {
	// ID is the HTTP/2 stream identifier.
	ID uint32
	// Request is what opened the stream, as received or as sent.
	Request Headers

	conn    *Conn
	events  *inbox[StreamEvent]
	ended   chan struct{} // closed by the peer's END_STREAM
	ctx     context.Context
	cancel  context.CancelCauseFunc
	partial messageBuffer // DATA received and not yet taken as messages

	// Guarded by conn.mu.
	sendable   int64
	receivable receiveWindow
	stalled    bool
	localEnd   bool
	remoteEnd  bool
	dead       bool   // nothing more can be sent: reset, or connection lost
	reset      *Reset // the peer's, nil when it sent none
	begun      bool   // see Begin
	refused    bool   // reset with REFUSED_STREAM, and truly not begun
}

func newStream(c *Conn) *Stream {
	s := &Stream{conn: c, events: newInbox[StreamEvent](), ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// Conn is the stream's connection.
func (s *Stream) Conn() *Conn { return s.conn }

// Context ends when the stream is over: ended by both ends, reset by either,
// or its connection lost. Handlers that wait must wait for this too.
func (s *Stream) Context() context.Context { return s.ctx }

// Ended is closed when the peer has sent END_STREAM.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// ResetReceived returns the RST_STREAM of the peer, if one came. It is there
// once Context has ended.
func (s *Stream) ResetReceived() (Reset, bool) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.reset == nil {
		return Reset{}, false
	}
	return *s.reset, true
}

// Next returns the next event. After END_STREAM or the peer's [Reset] it
// returns io.EOF, after our own reset [ErrReset], and when the connection went
// away [ErrConnLost].
func (s *Stream) Next(ctx context.Context) (StreamEvent, error) { return s.events.take(ctx) }

// SendHeaders sends a header block: an answer's headers, trailers, or anything.
func (s *Stream) SendHeaders(fields Fields, endStream bool) error {
	err := s.conn.out.send(func() error {
		return s.conn.out.headers(s.ID, fields, endStream, 1<<14)
	})
	s.sent(endStream)
	return err
}

// SendData sends p as one DATA frame, or as several when it is longer than a
// frame may be or than the windows allow; it then waits for the peer, until
// the stream is over. Empty p makes one empty frame.
func (s *Stream) SendData(p []byte, endStream bool) error {
	for {
		n := 0
		if len(p) > 0 {
			var err error
			if n, err = s.conn.reserve(s, len(p)); err != nil {
				return err
			}
		}
		chunk, last := p[:n], n == len(p)
		p = p[n:]
		err := s.conn.out.send(func() error {
			return s.conn.out.framer.WriteData(s.ID, endStream && last, chunk)
		})
		if err != nil {
			return err
		}
		if last {
			s.sent(endStream)
			return nil
		}
	}
}

// SendMessage sends one uncompressed gRPC message.
func (s *Stream) SendMessage(payload []byte) error { return s.SendData(Prefixed(payload), false) }

// HalfClose sends an empty DATA frame with END_STREAM.
func (s *Stream) HalfClose() error { return s.SendData(nil, true) }

// SendReset sends RST_STREAM.
func (s *Stream) SendReset(code http2.ErrCode) error {
	s.conn.mu.Lock()
	s.refused = s.refused || code == http2.ErrCodeRefusedStream && !s.begun
	s.conn.mu.Unlock()
	err := s.conn.out.send(func() error { return s.conn.out.framer.WriteRSTStream(s.ID, code) })
	s.conn.mu.Lock()
	delete(s.conn.streams, s.ID)
	s.dead = true
	s.conn.sendable.broadcast()
	s.conn.mu.Unlock()
	s.over(fmt.Errorf("%w by this end: %v", ErrReset, code))
	return err
}

// Stall withholds the stream's window updates until [Stream.Resume]. The peer
// may still send what it was granted before; see [Server.StallStreams].
func (s *Stream) Stall() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.stalled = true
}

// Resume gives the credit back that [Stream.Stall] withheld.
func (s *Stream) Resume() error {
	s.conn.mu.Lock()
	s.stalled = false
	credit := s.receivable.giveBack()
	s.conn.mu.Unlock()
	return s.conn.announce(s.ID, 0, credit)
}

// deadError says why nothing can be sent. Call it with conn.mu held.
func (s *Stream) deadError() error {
	switch {
	case s.reset != nil:
		return fmt.Errorf("%w by the peer: %v", ErrReset, s.reset.Code)
	case s.conn.lost != nil:
		return lostError(s.conn.lost)
	default:
		return fmt.Errorf("%w by this end", ErrReset)
	}
}

// sent notes what this end has finished.
func (s *Stream) sent(endStream bool) {
	if !endStream {
		return
	}
	s.conn.mu.Lock()
	s.localEnd = true
	finished := s.remoteEnd && s.forget()
	s.conn.mu.Unlock()
	if finished {
		s.over(io.EOF)
	}
}

// receive delivers one frame; called by the reading goroutine only.
func (s *Stream) receive(event StreamEvent, endStream bool) {
	s.events.put(event)
	if endStream {
		s.remoteEnded()
	}
}

func (s *Stream) remoteEnded() {
	s.conn.mu.Lock()
	again := s.remoteEnd
	s.remoteEnd = true
	finished := s.localEnd && s.forget()
	s.conn.mu.Unlock()
	if !again {
		close(s.ended)
		s.events.close(io.EOF)
	}
	if finished {
		s.over(io.EOF)
	}
}

// forget takes the stream off its connection's books and says whether it was
// on them. Call it with conn.mu held.
func (s *Stream) forget() bool {
	_, open := s.conn.streams[s.ID]
	delete(s.conn.streams, s.ID)
	return open
}

// over ends the events and the context. The order matters: whoever waits with
// the stream's own context must find the events' end, not the cancellation.
func (s *Stream) over(err error) {
	s.events.close(err)
	s.cancel(err)
}
