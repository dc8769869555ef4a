package h2_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/h2"
)

// sending is a body under way from the engine to the model.
type sending struct {
	id       uint32
	index    int
	orders   chan func(context.Context, *h2.Stream) // for the engine's side
	cancel   context.CancelFunc
	updates  int64 // what WINDOW_UPDATE has granted
	ordered  int   // bytes that the engine was told to send
	received int
	toEnd    bool // the engine was told to end the body
	ended    bool // and has
	over     bool // reset, by whichever side
	rst      bool // the engine's RST_STREAM came
	orderly  int  // orders that have been carried out, of those given
	given    int
}

// sender is a peer of an engine that sends. It knows to the byte what the engine
// may send, and what it must have sent once nothing moves any more.
type sender struct {
	framer *http2.Framer
	open   func(index int) // has the engine begin a body
	// gate holds a token while the peer reads. A mutex would not do: waiting for
	// one is no rest in a bubble.
	gate chan struct{}

	mu       sync.Mutex
	wrong    error
	streams  []*sending
	conn     int64   // the connection's window
	initials []int64 // the initial window in force, and those under way
	stalled  bool
}

func (m *sender) fail(format string, args ...any) {
	if m.wrong == nil {
		m.wrong = fmt.Errorf(format, args...)
	}
}

// most is the largest window of a stream that the engine may go by: SETTINGS
// that are not acknowledged may or may not be in force.
func (m *sender) most(s *sending) int64 {
	initial := m.initials[0]
	for _, other := range m.initials {
		initial = max(initial, other)
	}
	return initial + s.updates - int64(s.received)
}

func (m *sender) find(id uint32) *sending {
	for _, s := range m.streams {
		if s.id == id {
			return s
		}
	}
	return nil
}

// read takes the engine's frames.
func (m *sender) read() {
	for {
		frame, err := m.framer.ReadFrame()
		if err != nil {
			return
		}
		<-m.gate
		m.mu.Lock()
		m.take(frame)
		m.mu.Unlock()
		m.gate <- struct{}{}
	}
}

func (m *sender) take(frame http2.Frame) {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			break
		}
		// One more acknowledgement than we sent SETTINGS is for the greeting.
		if len(m.initials) > 1 {
			m.initials = m.initials[1:]
		}
	case *http2.GoAwayFrame:
		m.fail("GOAWAY %v %q", f.ErrCode, f.DebugData())
	case *http2.RSTStreamFrame:
		s := m.find(f.StreamID)
		if s == nil || !s.over {
			m.fail("stream %d was reset with %v for nothing", f.StreamID, f.ErrCode)
			break
		}
		s.rst = true
	case *http2.MetaHeadersFrame:
		m.header(f)
	case *http2.DataFrame:
		m.data(f)
	}
}

// header takes the beginning of a body, which names it, or its trailers.
func (m *sender) header(f *http2.MetaHeadersFrame) {
	if s := m.find(f.StreamID); s != nil && (f.StreamEnded() || s.ended) {
		m.end(s, f.StreamEnded())
		return
	}
	for _, field := range f.RegularFields() {
		if field.Name == "index" {
			index, _ := strconv.Atoi(field.Value)
			m.streams[index].id = f.StreamID
		}
	}
}

func (m *sender) end(s *sending, ends bool) {
	switch {
	case s.ended || s.rst:
		m.fail("a frame on stream %d behind its end", s.id)
	case ends && (!s.toEnd || s.received != s.ordered):
		m.fail("stream %d ended after %d of %d bytes", s.id, s.received, s.ordered)
	}
	s.ended = s.ended || ends
}

func (m *sender) data(f *http2.DataFrame) {
	s, data := m.find(f.StreamID), f.Data()
	if s == nil {
		m.fail("DATA on stream %d, which does not exist", f.StreamID)
		return
	}
	if window := m.most(s); len(data) > 0 && (int64(f.Length) > window || int64(f.Length) > m.conn) {
		m.fail("%d bytes on stream %d, whose window is %d, the connection's %d", f.Length, s.id, window, m.conn)
	}
	if f.Length > 16<<10 {
		m.fail("a frame of %d bytes", f.Length)
	}
	m.conn -= int64(f.Length)
	for i, b := range data {
		if b != at(s.index, s.received+i) {
			m.fail("byte %d of stream %d is wrong", s.received+i, s.id)
			break
		}
	}
	s.received += len(data)
	if s.received > s.ordered {
		m.fail("%d bytes on stream %d, which has %d", s.received, s.id, s.ordered)
	}
	m.end(s, f.StreamEnded())
}

// settle waits until nothing moves and checks that nothing is held back.
func (m *sender) settle() error {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stalled || m.wrong != nil {
		return m.wrong
	}
	for _, s := range m.streams {
		left := s.ordered - s.received
		switch window := m.most(s); {
		case s.over && s.orderly < s.given:
			m.fail("stream %d is over, and a Write still waits", s.id)
		case s.over:
		case left > 0 && window > 0 && m.conn > 0:
			m.fail("stream %d has %d bytes to send, a window of %d, the connection one of %d", s.id, left, window, m.conn)
		case left == 0 && s.ended != s.toEnd:
			m.fail("stream %d ended: %v, should have: %v", s.id, s.ended, s.toEnd)
		case left == 0 && s.orderly < s.given:
			m.fail("stream %d has sent everything, and a Write still waits", s.id)
		}
	}
	if len(m.initials) > 1 {
		m.fail("%d SETTINGS are not acknowledged", len(m.initials)-1)
	}
	return m.wrong
}

// order has the engine's side of a stream do something after what it does now.
func (m *sender) order(s *sending, what func(context.Context, *h2.Stream)) {
	s.given++
	s.orders <- func(ctx context.Context, stream *h2.Stream) {
		if ctx.Err() == nil { // a body with a piece missing must not go on
			what(ctx, stream)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		s.orderly++
	}
}

// follow is the engine's side of a stream.
func (s *sending) follow(ctx context.Context, stream *h2.Stream) {
	for order := range s.orders {
		order(ctx, stream)
	}
}

// write orders n bytes, and the body's end with or behind them.
func (m *sender) write(s *sending, n int, end, trailer bool) {
	if s.toEnd || s.over {
		return
	}
	data := piece(s.index, s.ordered, n)
	s.ordered += n
	s.toEnd = end || trailer
	m.order(s, func(ctx context.Context, stream *h2.Stream) {
		err := stream.Write(ctx, data, end)
		if err == nil && trailer {
			err = stream.WriteHeader(nil, h2.Fields{h2.Field("end", "")}, true)
		}
		if err != nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			if !s.over {
				m.fail("writing to stream %d: %v", s.id, err)
			}
		}
	})
}

// cut ends a stream before its time, from either side.
func (m *sender) cut(s *sending, kind string) (frame func()) {
	if s.over || s.ended || s.id == 0 {
		return nil
	}
	s.over = true
	if kind == "reset" {
		id := s.id
		return func() { m.framer.WriteRSTStream(id, http2.ErrCodeCancel) }
	}
	s.cancel() // the engine's side, which then gives the stream up
	return nil
}

// do makes one thing happen. It returns the frame to write for it: the lock
// must not be held for that.
func (m *sender) do(a act) (frame func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.streams) == 0 {
		return nil
	}
	s := m.streams[a.stream%len(m.streams)]
	switch a.kind {
	case "write", "end", "trailer":
		m.write(s, a.n, a.kind == "end", a.kind == "trailer")
	case "initial":
		m.initials = append(m.initials, int64(a.n))
		return func() {
			m.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(a.n)})
		}
	case "window", "connection":
		if s.id == 0 && a.kind == "window" || a.n == 0 {
			return nil
		}
		id := s.id
		if a.kind == "connection" {
			id = 0
			m.conn += int64(a.n)
		} else {
			s.updates += int64(a.n)
		}
		return func() { m.framer.WriteWindowUpdate(id, uint32(a.n)) }
	case "reset", "give up":
		return m.cut(s, a.kind)
	case "stall":
		select {
		case <-m.gate:
			m.stalled = true
		default: // it reads this moment, or is stalled already
		}
	case "resume":
		m.resume()
	}
	return nil
}

func (m *sender) resume() {
	if m.stalled {
		m.stalled = false
		m.gate <- struct{}{}
	}
}

// play runs a script and then grants everything, so that all must end.
func (m *sender) play(script [][]act) error {
	for i, step := range script {
		for _, a := range step {
			if a.kind == "open" {
				m.begin()
			} else if frame := m.do(a); frame != nil {
				frame()
			}
		}
		if err := m.settle(); err != nil {
			return fmt.Errorf("step %d, %v: %w", i, step, err)
		}
	}
	m.mu.Lock()
	m.resume()
	m.initials = append(m.initials, 1<<20)
	m.mu.Unlock()
	m.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	synctest.Wait() // until what was not read while the peer was stalled is
	total := 1
	for i, s := range m.streams {
		total += s.ordered
		m.do(act{"end", i, 0})
		if frame := m.do(act{"window", i, s.ordered + 1}); frame != nil && !s.over {
			frame()
		}
	}
	m.do(act{"connection", 0, total})
	m.framer.WriteWindowUpdate(0, uint32(total))
	if err := m.settle(); err != nil {
		return fmt.Errorf("after everything was granted: %w", err)
	}
	for _, s := range m.streams {
		if !s.over && !s.ended {
			return fmt.Errorf("stream %d has not ended: %d of %d bytes came", s.id, s.received, s.ordered)
		}
	}
	return nil
}

func (m *sender) begin() {
	if len(m.streams) == 5 {
		return
	}
	m.mu.Lock()
	index := len(m.streams)
	m.streams = append(m.streams, &sending{index: index, orders: make(chan func(context.Context, *h2.Stream), 1000)})
	m.mu.Unlock()
	m.open(index)
}

// finish lets the engine's sides of the streams go.
func (m *sender) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resume()
	for _, s := range m.streams {
		close(s.orders)
	}
}

func newSender(nc net.Conn) *sender {
	m := &sender{framer: http2.NewFramer(nc, nc), gate: make(chan struct{}, 1), conn: 65535, initials: []int64{65535}}
	m.gate <- struct{}{}
	m.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return m
}
