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
	// is handled: it is handled when the request has ended, when there are more,
	// or when it has been incomplete for a while. 0 hands the stream over as soon
	// as its header is there. Asked once for many streams with the same header; not
	// called concurrently with itself for one connection.
	Whole func(header Fields) int
	// Recognize, if set, is asked once for streams that have the same header, if
	// many have, and [Stream.Recognized] returns its answer. It may keep the header.
	// Called as Whole is.
	Recognize func(header Fields) any
	// Preface, if set, reads the client's preface in place of the engine, byte for
	// byte, and says what is wrong when something else comes. It may answer.
	Preface func(nc net.Conn) error
	// Handle serves one stream, on a goroutine of its own. When it returns, a
	// stream that has not ended is reset. It must look at [Stream.TooLarge]: the
	// header of such a stream is only the beginning of what was sent.
	Handle func(*Stream)
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
	close sync.Once

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	draining bool
	cut      error         // see Cut
	empty    chan struct{} // closed when draining and conns is empty
	emptied  bool
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

// dispatch hands a stream to a parked worker, or to a new one. It does not wait.
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
	c.serving.handlers--
	s.discardLocked()
	defer s.recycleLocked()
	if s.finished {
		return
	}
	code := http2.ErrCodeInternal
	if s.sentEnd {
		// The answer is complete and the request is not: it is not needed any
		// more, which is no error (RFC 9113 §8.1).
		code = http2.ErrCodeNo
	}
	c.resetLocked(s.id, code)
	c.wakeLocked()
	s.endLocked(errReset)
}

// ServeConn serves one connection until it ends, and returns why it did. It owns
// nc. session is what [Stream.Session] returns for its streams.
func (s *Server) ServeConn(nc net.Conn, session any) error {
	c := &serverConn{conn: newConn(nc, true, &s.cfg.Limits, &s.tasks), server: s, session: session}
	c.conn.serving = c
	if !s.add(c) {
		nc.Close()
		return errClosed
	}
	defer s.remove(c)
	defer c.stopTimers()
	// Until the first SETTINGS have been read, which are part of the preface.
	_ = nc.SetReadDeadline(time.Now().Add(s.cfg.Limits.Preface))
	preface := s.cfg.Preface
	if preface == nil {
		preface = readPreface
	}
	if err := preface(nc); err != nil {
		c.fail(err)
		return err
	}
	c.greet()
	c.readLoop()
	return c.err
}

func readPreface(nc net.Conn) error {
	got := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(nc, got); err != nil {
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
	c.cut = s.cut // nobody else has c yet
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

// Cut tells the handlers of all streams, also those to come, that they are to end:
// what they gave to [Stream.OnEnd] is called with cause. The streams stay open for
// what the handlers have to say.
func (s *Server) Cut(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = cause
	for c := range s.conns {
		c.cutStreams(cause)
	}
}

// Close ends all connections and returns when nothing of the Server runs, for
// which handlers must return when their streams end.
func (s *Server) Close() {
	s.mu.Lock()
	s.draining = true
	for c := range s.conns {
		c.fail(errClosed)
	}
	s.emptyLocked()
	s.mu.Unlock()
	<-s.empty
	s.close.Do(func() { close(s.stop) })
	s.tasks.Wait()
}
