package h2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// The ways in which the engine's side takes a body.
const (
	eager = iota // reads all the time
	whole        // has it stored up to wholeLimit, and then reads
	lazy         // reads once when the script says so
	never        // does not read, until everything else is over
	manners
)

// wholeLimit is more than a window.
const wholeLimit = 3 << 19

// receiving is a body under way from the model to the engine.
type receiving struct {
	id     uint32
	index  int
	manner int
	window int64
	turns  chan struct{} // one lets a lazy side read once; closed, it reads to the end
	cancel context.CancelFunc
	sent   int
	ended  bool
	over   bool // reset, by whichever side
	left   bool // the engine's side has given it up

	got   int
	begun bool // the engine's side reads, or waits to
	done  bool // and has finished
	err   error
}

// receiver is a peer of an engine that receives. It knows what the engine may
// hold back, and what it must let go on.
type receiver struct {
	framer *http2.Framer
	open   func(s *receiving)

	mu      sync.Mutex
	wrong   error
	streams []*receiving
	conn    int64
	// What the engine has announced: the most that may ever be open.
	initial, most int64
	greeted       bool
}

func (m *receiver) fail(format string, args ...any) {
	if m.wrong == nil {
		m.wrong = fmt.Errorf(format, args...)
	}
}

func (m *receiver) read() {
	for {
		frame, err := m.framer.ReadFrame()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.take(frame)
		m.mu.Unlock()
	}
}

func (m *receiver) take(frame http2.Frame) {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
			m.initial = int64(v)
		}
	case *http2.GoAwayFrame:
		m.fail("GOAWAY %v %q", f.ErrCode, f.DebugData())
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			if m.conn += int64(f.Increment); m.greeted && m.conn > m.most {
				m.fail("the connection's window was opened to %d; it was %d at first", m.conn, m.most)
			}
			return
		}
		for _, s := range m.streams {
			if s.id == f.StreamID {
				s.window += int64(f.Increment)
			}
		}
	case *http2.RSTStreamFrame:
		for _, s := range m.streams {
			if s.id == f.StreamID {
				s.over = true
			}
		}
	case *http2.MetaHeadersFrame: // of an engine's client
		if index := f.RegularFields(); len(index) > 0 && index[0].Name == "index" {
			i, _ := strconv.Atoi(index[0].Value)
			m.streams[i].id, m.streams[i].window = f.StreamID, m.initial
		}
	}
}

// room is how much DATA may be sent on a stream, in a frame.
func (m *receiver) room(s *receiving) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.over || s.ended || s.id == 0 {
		return 0
	}
	return int(min(s.window, m.conn, 16<<10))
}

// send sends n bytes, padded by pad unless that is 0, for as long as the engine
// grants windows. The last frame ends the body if end.
func (m *receiver) send(s *receiving, n, pad int, end bool) {
	if m.room(s) == 0 && (n > 0 || m.dead(s)) {
		return
	}
	for waited := false; ; {
		overhead := 0
		if pad > 0 {
			overhead = 1 + pad
		}
		k := min(n, m.room(s)-overhead)
		if k <= 0 && n > 0 {
			if waited {
				return // it is stalled
			}
			synctest.Wait()
			waited = true
			continue
		}
		waited = false
		if k < 0 { // an end has no padding when there is no window for that
			k, overhead = 0, 0
		}
		data := make([]byte, k)
		for i := range data {
			data[i] = at(s.index, s.sent+i)
		}
		m.mu.Lock()
		n -= k
		s.sent += k
		s.window -= int64(k + overhead)
		m.conn -= int64(k + overhead)
		s.ended = end && n == 0
		last := s.ended
		m.mu.Unlock()
		if overhead > 0 {
			m.framer.WriteDataPadded(s.id, last, data, make([]byte, pad))
		} else {
			m.framer.WriteData(s.id, last, data)
		}
		if n == 0 {
			return
		}
	}
}

func (m *receiver) dead(s *receiving) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.over || s.ended || s.id == 0
}

// consume notes what the engine's side has read.
func (m *receiver) consume(s *receiving, data mem.BufferSlice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range data.Materialize() {
		if b != at(s.index, s.got) {
			m.fail("byte %d of stream %d is wrong", s.got, s.id)
			break
		}
		s.got++
	}
	data.Free()
}

// serve is the engine's side of a stream.
func (m *receiver) serve(ctx context.Context, s *receiving, stream *h2.Stream) {
	m.mu.Lock()
	s.begun = true
	m.mu.Unlock()
	var err error
	if s.manner == whole {
		var data mem.BufferSlice
		data, _, err = stream.ReadWhole(ctx, wholeLimit)
		m.consume(s, data)
	}
	for err == nil {
		if s.manner == lazy || s.manner == never {
			select {
			case <-s.turns:
			case <-ctx.Done():
			}
		}
		var data mem.BufferSlice
		if data, err = stream.Read(ctx); err == nil {
			m.consume(s, data)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.err, s.done = err, true
}

// settle waits until nothing moves and checks what the engine holds, and that it
// holds nothing else back.
func (m *receiver) settle() error {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn < m.most/4 {
		m.fail("%d of %d bytes of the connection's window are not returned", m.most-m.conn, m.most)
	}
	for _, s := range m.streams {
		if s.over || s.left {
			continue
		}
		unread := int64(s.sent - s.got)
		storing := s.manner == whole && !s.done && s.sent <= wholeLimit
		switch {
		case s.window > m.initial, !storing && s.window+unread > m.initial:
			m.fail("stream %d: %d bytes are not read, and the window is %d", s.id, unread, s.window)
		case s.ended:
		case (unread == 0 || storing) && s.window < m.initial/4:
			m.fail("stream %d is stalled: a window of %d, and %d bytes that nobody reads", s.id, s.window, unread)
		}
		if s.manner > whole {
			continue
		}
		switch {
		case s.manner == eager && unread > 0, s.manner == whole && s.sent > wholeLimit && unread > 0:
			m.fail("stream %d: %d bytes have not come", s.id, unread)
		case s.ended && !(s.done && errors.Is(s.err, io.EOF)):
			m.fail("stream %d has ended, and its reader: %v, %v", s.id, s.done, s.err)
		}
	}
	return m.wrong
}

func (m *receiver) do(a act) {
	if a.kind == "open" {
		if len(m.streams) == 5 {
			return
		}
		s := &receiving{index: len(m.streams), manner: a.n % manners, turns: make(chan struct{}, 1000)}
		m.mu.Lock()
		m.streams = append(m.streams, s)
		m.mu.Unlock()
		m.open(s)
		synctest.Wait()
		return
	}
	s := m.streams[a.stream%len(m.streams)]
	switch a.kind {
	case "send":
		m.send(s, a.n, 0, false)
	case "padded":
		m.send(s, a.n, 1+a.n%255, false)
	case "end":
		m.send(s, a.n%1000, 0, true)
	case "trailer":
		if m.dead(s) {
			return
		}
		m.mu.Lock()
		s.ended = true
		m.mu.Unlock()
		m.framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: s.id, EndStream: true, EndHeaders: true, BlockFragment: block(faultwire.Pairs("end", "")),
		})
	case "reset":
		if m.dead(s) {
			return
		}
		m.mu.Lock()
		s.over = true
		m.mu.Unlock()
		m.framer.WriteRSTStream(s.id, http2.ErrCodeCancel)
	case "give up":
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.cancel != nil {
			s.left = true
			s.cancel()
		}
	case "read":
		select {
		case s.turns <- struct{}{}:
		default:
		}
	}
}

// play runs a script, and then reads and ends everything.
func (m *receiver) play(script [][]act) error {
	synctest.Wait()
	m.mu.Lock()
	m.most, m.greeted = m.conn, true
	m.mu.Unlock()
	for i, step := range script {
		for _, a := range step {
			m.do(a)
		}
		if err := m.settle(); err != nil {
			return fmt.Errorf("step %d, %v: %w", i, step, err)
		}
	}
	for i, s := range m.streams {
		close(s.turns)
		m.do(act{"end", i, 0})
	}
	if err := m.settle(); err != nil {
		return fmt.Errorf("in the end: %w", err)
	}
	for _, s := range m.streams {
		switch {
		case !s.done && (s.begun || !s.over): // one that is held and reset is never handled
			return fmt.Errorf("the reader of stream %d has not ended", s.id)
		case !s.over && !s.left && (s.got != s.sent || !errors.Is(s.err, io.EOF)):
			return fmt.Errorf("stream %d: %d of %d bytes came, %w", s.id, s.got, s.sent, s.err)
		}
	}
	return nil
}

func newReceiver(nc net.Conn) *receiver {
	m := &receiver{framer: http2.NewFramer(nc, nc), conn: 65535, initial: 65535}
	m.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return m
}
