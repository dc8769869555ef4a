// Package proxy is the data path: it takes gRPC calls from a listener, leads
// them through the layers of stack.go, and forwards their bytes to an upstream
// without parsing them.
package proxy

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/tap"
)

// Replay bounds what is kept of requests, so that they can be sent again. Zero
// fields mean their defaults.
type Replay struct {
	// Request is the most bytes of a unary request, framing included, that are kept.
	// A larger one is passed on as it comes, and sent once. 0 means 4 MiB.
	Request int
	// Together is the most bytes that are kept of all requests. While it is full, they
	// are passed on like those that are too large. 0 means 64 MiB.
	Together int64
}

func (r Replay) withDefaults() Replay {
	return Replay{Request: cmp.Or(r.Request, 4<<20), Together: cmp.Or(r.Together, 64<<20)}
}

// Config is what a Server is made of.
type Config struct {
	// Pool lends connections to the upstream. It outlives the Server.
	Pool *pool.Pool
	// Limits bound what a caller's connection may cost. Zero fields mean their
	// defaults.
	Limits h2.Limits
	// Replay bounds the memory that requests take.
	Replay Replay
	// APIKey is sent with calls whose callers sent no credentials; "" for none.
	APIKey string
	// Resilience is what to do about failures; nil makes the Server a plain
	// forwarder, which only sends what was certainly never sent another way.
	Resilience *Resilience
	// MinReady is how many endpoints must be connected for the Server to be ready; 0
	// means 1.
	MinReady int
	// Slow says which calls are slow enough to be logged for that.
	Slow Slow
	// Tracer makes the spans of calls; nil for none.
	Tracer trace.Tracer
	// Collections is how many collections have metrics of their own; 0 is none, and no
	// metrics by collection at all.
	Collections int
	// Version is reported in a metric.
	Version string
	Logger  *slog.Logger
}

// Server takes calls and forwards them. Its methods may be called concurrently.
type Server struct {
	pool     *pool.Pool
	rules    atomic.Pointer[rules]
	tooLarge error // for calls whose metadata exceeds the limits
	log      *slog.Logger
	calls    *callLog
	metrics  *metrics
	replay   Replay
	tap      tap.Tap
	version  string
	store    *h2.Store   // of requests that can be sent again
	traffic  *h2.Traffic // of callers
	tracing  *tracing    // nil when there is none
	h2       *h2.Server
	stopped  chan struct{}        // closed when the last calls are cut
	unary    []grpc.UnaryHandler  // by method.Index
	stream   []grpc.StreamHandler // likewise
	draining atomic.Bool
	// collections are the names of those that calls were for.
	collections method.Names
	guard

	mu        sync.Mutex
	listeners []net.Listener
}

// New returns a Server that waits for [Server.Serve].
func New(cfg Config) *Server {
	s := &Server{
		pool: cfg.Pool, replay: cfg.Replay.withDefaults(),
		log: cfg.Logger, calls: newCallLog(cfg.Logger, cfg.Slow), tracing: newTracing(cfg.Tracer), stopped: make(chan struct{}),
		metrics: newMetrics(cfg.Collections), version: cfg.Version, traffic: new(h2.Traffic),
	}
	s.store = h2.NewStore(s.replay.Together)
	cfg.Limits.Store, cfg.Limits.Traffic = s.store, s.traffic
	s.tooLarge = headerTooLarge(cfg.Limits.WithDefaults())
	s.rules.Store(newRules(Rules{cfg.APIKey, cfg.Resilience, cfg.MinReady}))
	s.protect(cfg.Resilience)
	s.metrics.reloads.last.Store(new(time.Now())) // it was read just now
	s.metrics.registry.MustRegister(scrape{s})
	// Chains for each known method, composed once. Unknown ones share Other's.
	stack := s.stack()
	for m := range method.All() {
		s.unary = append(s.unary, chainUnary(stack, &grpc.UnaryServerInfo{FullMethod: m.FullName()}, forwardUnary))
		s.stream = append(s.stream, chainStream(stack, &grpc.StreamServerInfo{
			FullMethod: m.FullName(), IsClientStream: true, IsServerStream: true,
		}, forwardStream))
	}
	s.h2 = h2.NewServer(h2.ServerConfig{
		Limits:    cfg.Limits,
		Preface:   newHints(cfg.Logger, s.metrics.clients.refused).preface,
		Whole:     s.stored,
		Recognize: readHeading,
		Handle:    s.handle,
	})
	return s
}

// stored has the requests of unary methods stored before they are handled.
func (s *Server) stored(header h2.Fields) int {
	if method.Lookup(header.Get(":path")) == method.Other {
		return 0
	}
	return s.replay.Request
}

// handle serves one call.
func (s *Server) handle(caller *h2.Stream) {
	c := newCall(caller, s.rules.Load())
	defer c.release()
	// Outside of the layers, because the rest of the request is read before them,
	// which may have to wait.
	c.begin(c.deadline())
	// The stack recovers from what happens in it. This is for what is around it.
	defer s.rescue(c)
	unary := c.Method != method.Other
	var err error
	switch {
	case caller.TooLarge():
		c.refused = s.tooLarge
	case unary:
		if c.Body, unary, err = caller.ReadWhole(c.ctx, s.replay.Request); err != nil {
			c.refused = gone(c.ctx, err)
		}
		c.received(unary)
		// One that ends with trailers, which no gRPC client sends, passes as a stream.
		unary = unary && caller.Trailer() == nil
	}
	if unary {
		_, err = s.unary[c.Method.Index](c.ctx, c)
	} else {
		s.calls.lookAhead(c)
		err = s.stream[c.Method.Index](c, callStream{c.ctx})
	}
	s.answer(c.ctx, c, err)
	s.calls.tell(c, err)
}

// rescue keeps a panic from ending the process. The stream is reset.
func (s *Server) rescue(c *Call) {
	if p := recover(); p != nil {
		s.log.Error("a call panicked", "method", clip(c.FullMethod), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// answer gives the caller what it has not been given yet.
func (s *Server) answer(ctx context.Context, c *Call, err error) {
	r := &c.Response
	switch {
	case c.Reason == "" && c.answering:
		// The answer went out as it came.
	case c.Reason == "" && r.Received():
		// Whether it is OK or not, it is the upstream's word.
		if c.NotRetried.GaveUp() {
			c.giveUp()
		}
		if r.HeaderOnly {
			_ = c.caller.WriteHeader(nil, r.Header, true)
		} else {
			c.answerComes()
			if err := c.caller.Respond(ctx, r.Header, r.Body, r.Trailer); err != nil {
				// A trailer needs no room: the caller learns why there is no more, if it
				// is still there.
				_ = c.caller.WriteHeader(nil, ownAnswer(judge(gone(ctx, err)).err(), nil, true), true)
			}
		}
	default:
		_ = c.caller.WriteHeader(nil, ownAnswer(err, c.advice, c.answering), true)
	}
}

// ownAnswer is the header block that tells the caller an error of ours, and when
// to come again: the whole answer, or the end of one that had begun.
func ownAnswer(err error, advice h2.Fields, begun bool) h2.Fields {
	st := status.Convert(err)
	fields := h2.Fields{
		{Name: "grpc-status", Value: strconv.Itoa(int(st.Code()))},
		{Name: "grpc-message", Value: h2.EncodeMessage(st.Message())},
	}
	if details, err := proto.Marshal(st.Proto()); err == nil && len(st.Proto().GetDetails()) > 0 {
		fields = append(fields, h2.Field("grpc-status-details-bin", base64.RawStdEncoding.EncodeToString(details)))
	}
	fields = append(fields, advice...)
	if begun {
		return fields
	}
	return append(h2.Fields{
		{Name: ":status", Value: "200"},
		{Name: "content-type", Value: "application/grpc"},
	}, fields...)
}

// callStream is what the interceptors of a stream get as its grpc.ServerStream:
// its context. Messages are not parsed, so there are none to send or receive.
type callStream struct{ ctx context.Context }

func (s callStream) Context() context.Context   { return s.ctx }
func (callStream) SetHeader(metadata.MD) error  { return errors.ErrUnsupported }
func (callStream) SendHeader(metadata.MD) error { return errors.ErrUnsupported }
func (callStream) SetTrailer(metadata.MD)       {}
func (callStream) SendMsg(any) error            { return errors.ErrUnsupported }
func (callStream) RecvMsg(any) error            { return errors.ErrUnsupported }

// Serve takes calls from lis until the Server is drained; it returns nil then.
// It may be called for several listeners.
func (s *Server) Serve(lis net.Listener) error {
	s.mu.Lock()
	s.listeners = append(s.listeners, lis)
	s.mu.Unlock()
	if s.draining.Load() {
		// Drain may have looked at the listeners before this one was there.
		_ = lis.Close()
		return nil
	}
	failures := rate.Sometimes{Interval: hintInterval}
	for {
		conn, err := lis.Accept()
		if err == nil {
			go func() {
				s.metrics.clients.accepted.Inc()
				s.metrics.clients.connections.Add(1)
				defer s.metrics.clients.connections.Add(-1)
				home := new(pool.Home)
				defer home.Close()
				// What this costs a call is told with the call.
				err := s.h2.ServeConn(conn, home)
				s.log.Debug("a caller's connection ended", "peer", peerName(conn.RemoteAddr()), "error", err)
			}()
			continue
		}
		if s.draining.Load() {
			return nil
		}
		if !isTemporary(err) {
			return fmt.Errorf("serving %s: %w", lis.Addr(), err)
		}
		// Out of file descriptors, for instance: it passes when calls end.
		failures.Do(func() { s.log.Warn("cannot accept a connection", "error", err) })
		pause := time.NewTimer(acceptPause)
		select {
		case <-pause.C:
		case <-s.stopped:
			pause.Stop()
			return nil
		}
	}
}

// acceptPause is how long accepting rests after a failure that may pass.
const acceptPause = 50 * time.Millisecond

func isTemporary(err error) bool {
	temporary, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && temporary.Temporary()
}

// Drain stops taking calls, tells callers to go elsewhere (GOAWAY), and returns
// when the calls in flight have ended. When ctx ends first they are cut, and
// their number is returned. It is called once.
func (s *Server) Drain(ctx context.Context) (cut int) {
	s.draining.Store(true)
	if s.pauser != nil {
		// Whoever waits for the end of a pause would do so in vain most likely, and make
		// the shutdown take all the time that there is.
		s.pauser.Refuse()
	}
	s.mu.Lock()
	for _, lis := range s.listeners {
		_ = lis.Close()
	}
	s.mu.Unlock()
	drained := s.h2.Drain()
	select {
	case <-drained:
	case <-ctx.Done():
		cut = s.InFlight()
		s.h2.Cut(pool.ErrClosed)
		// What is cut is told so, if it listens.
		last := time.NewTimer(farewell)
		defer last.Stop()
		select {
		case <-drained:
		case <-last.C:
		}
	}
	s.h2.Close()
	close(s.stopped)
	return cut
}

// farewell is how long callers that are cut have to take the answer that says so.
const farewell = 250 * time.Millisecond

// readyGrace is how long a node that was lost still counts: as long as reconnecting
// to one that was restarted takes.
const readyGrace = 3 * time.Second

// Ready returns nil when calls can be served, and otherwise why not.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errors.New("draining: the sidecar is shutting down")
	}
	state := s.pool.State()
	// What an operator took out is not waited for, as long as there is something else.
	ready, must := state.Ready(readyGrace), max(1, s.rules.Load().minReady-state.Drained())
	if ready >= must {
		return nil
	}
	if drained := state.Drained(); drained > 0 && drained == len(state.Endpoints) {
		return errors.New("an operator has drained all nodes of Qdrant (qdrant-sidecar undrain brings them back)")
	}
	if why := state.LastFailure(); why != nil {
		return why
	}
	return fmt.Errorf("connecting to Qdrant: %d of %d nodes are connected that must be (--min-ready)", ready, must)
}

// Draining reports whether [Server.Drain] was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// InFlight returns how many calls are under way.
func (s *Server) InFlight() int { return int(s.metrics.inFlight.Load()) }
