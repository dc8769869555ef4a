package load

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/bench/internal/wire"
)

// The windows that a client announces: enough for a large answer not to wait.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// session is one connection and the calls on it. Everything but plan, state and
// done is guarded by the connection's lock.
type session struct {
	plan  Plan
	state *phase
	wire  *wire.Conn
	done  chan struct{} // closed when the connection has ended
	err   error         // why, once it has

	headers *wire.Block
	next    uint32
	started bool // of the block at hand: it has a :status
	good    bool // and everything in it says OK
	status  string
	trailed bool // it has a grpc-status

	samples []time.Duration
	failed  int
	why     string
}

// dial connects and waits for the peer's SETTINGS.
func dial(ctx context.Context, p Plan, state *phase) (*session, error) {
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return nil, err
	}
	field := func(name, value string) hpack.HeaderField { return hpack.HeaderField{Name: name, Value: value} }
	s := &session{
		plan: p, state: state, done: make(chan struct{}), next: 1,
		headers: wire.NewBlock(
			field(":method", "POST"), field(":scheme", "http"), field(":path", p.Path), field(":authority", p.Addr),
			field("content-type", "application/grpc"), field("user-agent", "bench/1"), field("te", "trailers"),
			field("grpc-accept-encoding", "identity")),
	}
	s.wire, err = wire.New(nc, wire.Config{
		StreamWindow: streamWindow, ConnWindow: connWindow,
		Settings: []http2.Setting{{ID: http2.SettingEnablePush, Val: 0}},
	}, s)
	if err != nil {
		nc.Close()
		return nil, err
	}
	go func() {
		defer close(s.done)
		s.err = s.wire.Serve()
	}()
	select {
	case <-s.wire.Ready():
		return s, nil
	case <-s.done:
		return nil, s.broken()
	case <-ctx.Done():
		s.close()
		return nil, context.Cause(ctx)
	}
}

func (s *session) close() {
	s.wire.Shutdown()
	<-s.done
}

func (s *session) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// broken describes the end of the connection. done is closed.
func (s *session) broken() error {
	if s.err == nil {
		return fmt.Errorf("%w: closed by the peer", errBroken)
	}
	return fmt.Errorf("%w: %w", errBroken, s.err)
}

func (s *session) inFlight() int {
	s.wire.Lock()
	defer s.wire.Unlock()
	return s.wire.Streams()
}

// begin makes a call that was due at a time, from outside of the reader.
func (s *session) begin(at time.Time) error {
	s.wire.Lock()
	defer s.wire.Unlock()
	if n := s.wire.MaxStreams(); s.wire.Streams() >= n {
		return fmt.Errorf("load: the peer allows only %d calls at once on a connection", n)
	}
	s.call(at)
	s.wire.Flush()
	return nil
}

func (s *session) call(at time.Time) {
	stream := s.wire.Open(s.next)
	s.next += 2
	stream.At = at
	s.wire.Send(stream, s.headers, s.plan.Request, nil)
}

// Field implements wire.Handler.
func (s *session) Field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		s.started = true
		s.good = f.Value == "200"
		s.status = f.Value
	case "grpc-status":
		s.trailed = true
		s.good = f.Value == "0"
		s.status = f.Value
	case "grpc-message":
		s.status += " " + f.Value
	}
}

// Headers implements wire.Handler.
func (s *session) Headers(id uint32, end bool) {
	good, trailed := s.good, s.trailed
	first := s.started
	s.started, s.good, s.trailed = false, false, false
	stream := s.wire.Stream(id)
	if stream == nil {
		return
	}
	if first {
		stream.OK = good
	}
	if end {
		stream.OK = stream.OK && good && trailed
		s.finish(stream)
	}
}

// Data implements wire.Handler.
func (s *session) Data(stream *wire.Stream, end bool) {
	if end { // without trailers there is no status
		stream.OK = false
		s.finish(stream)
	}
}

// Sent implements wire.Handler.
func (s *session) Sent(*wire.Stream) {}

// Reset implements wire.Handler.
func (s *session) Reset(id uint32, code http2.ErrCode) {
	if stream := s.wire.Stream(id); stream != nil {
		stream.OK = false
		s.status = code.String()
		s.finish(stream)
	}
}

// finish accounts for a call and makes the next one, if calls are kept going.
func (s *session) finish(stream *wire.Stream) {
	now := time.Now()
	well := stream.OK && stream.In.Whole() && stream.In.Bytes == s.plan.Answer
	if !well {
		s.failed++
		if s.why == "" {
			s.why = fmt.Sprintf("status %s, %d bytes", s.status, stream.In.Bytes)
		}
	} else {
		if s.state.measuring.Load() {
			s.samples = append(s.samples, now.Sub(stream.At))
		}
		s.state.count()
	}
	s.wire.Close(stream)
	// One that fails ends its chain: a proxy that rejects is not to be hammered.
	if well && s.plan.InFlight > 0 && !s.state.stopping.Load() {
		s.call(now)
	}
}
