package h2

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	Limits Limits
	// Whole says how many bytes of a request are to be stored before its stream
	// is handled: it is handled when the request has ended, or when there are
	// more. 0 hands the stream over as soon as its header is there. Not called
	// concurrently with itself for one connection.
	Whole func(header Fields) int
	// Handle serves one stream, on a goroutine of its own. When it returns, a
	// stream that has not ended is reset.
	Handle func(*Stream)
	// TooLarge answers a stream whose header block is beyond the limits.
	TooLarge func(*Stream)
}

// workers is how many goroutines wait for streams. They keep their grown
// stacks; with more streams than workers, more are started.
const workers = 64

// Server is the accepting end. Its methods may be called concurrently.
type Server struct {
	cfg   ServerConfig
	work  chan *Stream
	stop  chan struct{}
	tasks sync.WaitGroup

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	draining bool
	empty    chan struct{} // closed when draining and conns is empty
	emptied  bool
}

// serverConn is a conn of a Server. conn.mu guards its fields.
type serverConn struct {
	*conn
	preface bool // the client's has arrived
	final   bool // the second GOAWAY is out
}

// NewServer returns a Server with parked workers.
func NewServer(cfg ServerConfig) *Server {
	cfg.Limits = cfg.Limits.WithDefaults()
	s := &Server{
		cfg:   cfg,
		work:  make(chan *Stream),
		stop:  make(chan struct{}),
		conns: make(map[*serverConn]struct{}),
		empty: make(chan struct{}),
	}
	for range workers {
		s.tasks.Go(func() {
			for {
				select {
				case stream := <-s.work:
					s.serve(stream)
				case <-s.stop:
					return
				}
			}
		})
	}
	return s
}

// dispatch hands a stream to a parked worker, or to a new one.
func (s *Server) dispatch(stream *Stream) {
	select {
	case s.work <- stream:
	default:
		s.tasks.Go(func() { s.serve(stream) })
	}
}

func (s *Server) serve(stream *Stream) {
	s.cfg.Handle(stream)
	stream.release()
}

// release ends what a handler left open, and frees what it did not read.
func (s *Stream) release() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.received.free(c.pool)
	s.discard = true
	switch {
	case s.finished:
	case s.sentEnd:
		// The answer is complete and the request is not: it is not needed any
		// more, which is no error (RFC 9113 §8.1).
		c.resetLocked(s.id, http2.ErrCodeNo)
		c.wakeLocked()
		s.endLocked(errReset)
	default:
		c.resetLocked(s.id, http2.ErrCodeInternal)
		c.wakeLocked()
		s.endLocked(errReset)
	}
}

// ServeConn serves one connection until it ends. It owns nc.
func (s *Server) ServeConn(nc net.Conn) error {
	c := newConn(nc, true, s.cfg.Limits)
	sc := &serverConn{conn: c}
	c.onStream = s.dispatch
	c.cfg = &s.cfg
	c.acked = sc.pingAcked
	if !s.add(sc) {
		return nc.Close()
	}
	defer s.remove(sc)
	_ = nc.SetReadDeadline(time.Now().Add(s.cfg.Limits.Preface))
	if err := readPreface(c); err != nil {
		c.fail(err)
		return err
	}
	_ = nc.SetReadDeadline(time.Time{})
	c.mu.Lock()
	sc.preface = true
	c.settingsLocked(
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: s.cfg.Limits.Streams},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: s.cfg.Limits.HeaderListBytes},
	)
	c.windowUpdateLocked(0, connWindow-65535)
	c.mu.Unlock()
	s.tasks.Go(c.flushLoop)
	c.readLoop()
	return c.err
}

func readPreface(c *conn) error {
	got := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.br, got); err != nil {
		return err
	}
	if string(got) != http2.ClientPreface {
		return errors.New("no HTTP/2 preface")
	}
	return nil
}

func (s *Server) add(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.emptyLocked()
}

func (s *Server) emptyLocked() {
	if s.draining && len(s.conns) == 0 && !s.emptied {
		s.emptied = true
		close(s.empty)
	}
}

// Drain tells every client to open no more streams and returns a channel that is
// closed when all of their streams, and then the connections, have ended.
func (s *Server) Drain() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for c := range s.conns {
		c.goAway()
	}
	s.emptyLocked()
	return s.empty
}

// Close ends all connections and returns when nothing of the Server runs.
func (s *Server) Close() {
	s.mu.Lock()
	s.draining = true
	for c := range s.conns {
		go c.fail(errClosed)
	}
	s.emptyLocked()
	s.mu.Unlock()
	<-s.empty
	close(s.stop)
	s.tasks.Wait()
}

// drainPing is the PING between the two GOAWAYs of a graceful end.
var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n'}

// goAway begins a graceful end in two steps (RFC 9113 §6.8): first a GOAWAY that
// refuses nothing, then, once the client must have seen it, the real one.
// Streams that were under way are served; none is lost in between.
func (c *serverConn) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goingAway {
		return
	}
	c.goingAway = true
	if !c.preface {
		// It has nothing to lose, and may not even speak HTTP/2.
		go c.fail(errClosed)
		return
	}
	c.goAwayLocked(1<<31-1, http2.ErrCodeNo, "")
	c.pingLocked(false, drainPing)
	c.wakeLocked()
	c.onIdle = func() { c.fail(errClosed) }
	// A client that never answers a PING is not waited for.
	time.AfterFunc(time.Second, c.goAwayFinally)
}

func (c *serverConn) pingAcked(data [8]byte) {
	if data == drainPing {
		c.goAwayFinally()
	}
}

func (c *serverConn) goAwayFinally() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final || c.err != nil {
		return
	}
	c.final = true
	c.refuseAbove = c.lastID
	c.refusing = true
	c.goAwayLocked(c.lastID, http2.ErrCodeNo, "")
	c.wakeLocked()
	c.streamEndedLocked()
}

// onRequestBlock takes a request header, or trailers.
func (c *conn) onRequestBlock(b *headerBlock) error {
	if b.stream%2 == 0 {
		return &connError{http2.ErrCodeProtocol, "a client's stream must be odd"}
	}
	c.mu.Lock()
	s, known := c.streams[b.stream]
	isNew := b.stream > c.lastID
	c.mu.Unlock()
	switch {
	case known:
		return c.onTrailers(s, b)
	case !isNew:
		return &connError{http2.ErrCodeStreamClosed, "HEADERS on a closed stream"}
	}
	front, rest := pseudo(b.fields)
	length, lengthOK := contentLength(rest)
	malformed := !b.overflow && (b.selfDep || !lengthOK || !wellFormedRequest(front) || !wellFormed(rest) || b.end && length > 0)

	c.mu.Lock()
	c.lastID = b.stream
	if c.refusing && b.stream > c.refuseAbove {
		c.mu.Unlock()
		return nil // the client was told, and knows that it was not served
	}
	if malformed || len(c.streams) >= int(c.limits.Streams) {
		code := http2.ErrCodeRefusedStream
		if malformed {
			code = http2.ErrCodeProtocol
		}
		c.resetLocked(b.stream, code)
		c.wakeLocked()
		err := c.checkOutLocked()
		c.mu.Unlock()
		if c.rates.over(&c.rates.resets, maxResets) {
			return &connError{http2.ErrCodeEnhanceYourCalm, "too many refused streams"}
		}
		return err
	}
	s = newStream(c, b.stream)
	s.header, s.gotHeader, s.gotEnd, s.length = b.fields, true, b.end, length
	s.tooLarge, s.arrived = b.overflow, time.Now()
	c.streams[b.stream] = s
	if !b.end && !b.overflow {
		s.hold = c.cfg.Whole(b.fields)
		s.held = s.hold > 0
	}
	ready := !s.held
	c.mu.Unlock()
	if ready {
		c.onStream(s)
	}
	return nil
}

// onTrailers takes the second header block of a stream.
func (c *conn) onTrailers(s *Stream, b *headerBlock) error {
	c.mu.Lock()
	if s.gotEnd {
		c.mu.Unlock()
		return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeStreamClosed}
	}
	if !b.end || b.overflow || !wellFormed(b.fields) || s.wrongLengthLocked() {
		c.mu.Unlock()
		return http2.StreamError{StreamID: b.stream, Code: http2.ErrCodeProtocol}
	}
	s.trailer, s.gotEnd = b.fields, true
	s.doneLocked()
	signal(s.readable)
	ready := s.readyLocked()
	c.mu.Unlock()
	if ready {
		c.onStream(s)
	}
	return nil
}

// readyLocked reports, once, that a held stream is to be handled now.
func (s *Stream) readyLocked() bool {
	if s.held && (s.gotEnd || s.received.n > s.hold) {
		s.held = false
		return true
	}
	return false
}

// wrongLengthLocked reports whether the body that has ended is not as long as
// was announced (RFC 9113 §8.1.1).
func (s *Stream) wrongLengthLocked() bool { return s.length >= 0 && s.total != s.length }
