package faultwire

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Greeting is how a [Server] meets a connection.
type Greeting int

const (
	// SpeakHTTP2 is preface, SETTINGS and streams.
	SpeakHTTP2 Greeting = iota
	// Refuse closes the connection at once.
	Refuse
	// StayMute accepts and never reads nor writes.
	StayMute
	// SpeakHTTP1 answers the first bytes with an HTTP/1.1 error and closes.
	SpeakHTTP1
)

// Server is a scripted upstream. Set the fields, Start, and Close. The zero
// value accepts calls and never answers.
type Server struct {
	// Handler plays one stream, in a goroutine of its own. It must return when
	// the stream's context ends; what it leaves open stays open.
	Handler func(*Stream)
	// Greet chooses how to meet the n-th connection, counted from 1; nil
	// means [SpeakHTTP2] always.
	Greet func(n int) Greeting
	// Settings are announced to every connection; nil means [QdrantSettings].
	Settings []http2.Setting
	// StallStreams makes new streams begin stalled: the peer can send each the
	// initial window and no more, until [Stream.Resume].
	StallStreams bool

	tally    tally
	listener net.Listener
	running  sync.WaitGroup // accept loop and handlers

	mu     sync.Mutex
	conns  []*Conn
	others []net.Conn // connections that don't speak HTTP/2
	closed bool
}

// Start listens on a free port of 127.0.0.1.
func (s *Server) Start() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("faultwire: %w", err)
	}
	s.listener = listener
	s.running.Go(s.accept)
	return nil
}

// Addr is the address to dial, "127.0.0.1:port".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Conns returns the HTTP/2 connections accepted so far, ended ones included,
// in order.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.conns)
}

// Stats returns what the server has seen so far.
func (s *Server) Stats() Stats { return s.tally.snapshot() }

// Close ends everything and waits for it. The error is a handler that did not
// return although its stream was over.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	conns, others := s.conns, s.others
	s.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	for _, c := range others {
		c.Close()
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-time.After(10 * time.Second):
		return errors.Join(err, errors.New("faultwire: a handler has not returned within 10 s of its stream's end"))
	}
}

func (s *Server) accept() {
	for n := 1; ; n++ {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.tally.connection()
		greeting := SpeakHTTP2
		if s.Greet != nil {
			greeting = s.Greet(n)
		}
		switch greeting {
		case SpeakHTTP2:
			s.serve(conn.(*net.TCPConn))
		case Refuse:
			conn.Close()
		case StayMute:
			s.keep(conn)
		case SpeakHTTP1:
			if s.keep(conn) {
				s.running.Go(func() { speakHTTP1(conn) })
			}
		}
	}
}

// keep remembers a connection for Close, or closes it when Close has run.
func (s *Server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return false
	}
	s.others = append(s.others, conn)
	return true
}

func (s *Server) serve(tcp *net.TCPConn) {
	settings := s.Settings
	if settings == nil {
		settings = QdrantSettings()
	}
	c := newConn(tcp, true, settings)
	c.tally = &s.tally
	c.stallStreams = s.StallStreams
	c.onStream = func(stream *Stream) {
		if s.Handler != nil {
			s.running.Go(func() { s.Handler(stream) })
		}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		tcp.Close()
		return
	}
	s.conns = append(s.conns, c)
	c.start() // under the lock, so that Close meets a connection with its goroutines
	s.mu.Unlock()
}

// speakHTTP1 is what a REST port does with an HTTP/2 preface.
func speakHTTP1(conn net.Conn) {
	defer conn.Close()
	first := make([]byte, 4096)
	if _, err := conn.Read(first); err != nil {
		return
	}
	const answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
	conn.Write([]byte(answer)) //nolint:errcheck // the peer may be gone
}

// Stats is what a [Server] has seen.
type Stats struct {
	// Connections accepted, of any [Greeting].
	Connections int
	// Streams opened by peers.
	Streams int
	// Pings received, acknowledgements not included.
	Pings int
	// Resets received, in order, also those that came after a stream's end.
	Resets []ResetSeen
}

// ResetSeen is one RST_STREAM; Path is empty when its stream was already over.
type ResetSeen struct {
	Reset
	StreamID uint32
	Path     string
}

// tally is Stats being counted.
type tally struct {
	mu    sync.Mutex
	stats Stats
}

func (t *tally) count(add func(*Stats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	add(&t.stats)
}

func (t *tally) connection()       { t.count(func(s *Stats) { s.Connections++ }) }
func (t *tally) stream()           { t.count(func(s *Stats) { s.Streams++ }) }
func (t *tally) ping()             { t.count(func(s *Stats) { s.Pings++ }) }
func (t *tally) reset(r ResetSeen) { t.count(func(s *Stats) { s.Resets = append(s.Resets, r) }) }

func (t *tally) snapshot() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := t.stats
	stats.Resets = slices.Clone(stats.Resets)
	return stats
}
