package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/rawgrpc"
)

// window is the flow-control window of a stream and of a connection. Qdrant
// announces the same; a fixed one also keeps grpc-go from measuring the
// bandwidth with a PING per round trip.
const window = 1 << 20

// An idle connection is pinged so that a NAT or load balancer between us and
// Qdrant neither forgets it nor hides that it is dead.
const (
	pingAfter   = 20 * time.Second
	pingTimeout = 5 * time.Second
)

// transport is one HTTP/2 connection to an endpoint. It is never redialed: when
// the connection is gone, so is the transport.
type transport struct {
	cc      *grpc.ClientConn
	conn    net.Conn
	address string
}

// newTransport speaks HTTP/2 on conn, which it owns from here on, and returns
// when the server's preface has arrived.
func newTransport(ctx context.Context, conn net.Conn, e *Endpoint) (*transport, error) {
	recorded := &firstBytes{Conn: conn}
	var once sync.Once
	cc, err := grpc.NewClient("passthrough:///"+e.Address,
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			var first net.Conn
			once.Do(func() { first = recorded })
			if first == nil {
				return nil, errGone
			}
			return first, nil
		}),
		grpc.WithTransportCredentials(secured{tls: e.TLS != nil}),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(rawgrpc.Codec{}),
			grpc.MaxCallRecvMsgSize(math.MaxInt32),
			grpc.MaxCallSendMsgSize(math.MaxInt32),
		),
		grpc.WithDecompressor(rawgrpc.Gunzip()), //nolint:staticcheck // see rawgrpc.Gunzip
		grpc.WithStaticStreamWindowSize(window),
		grpc.WithStaticConnWindowSize(window),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true,
		}),
		// grpc-go waits at least this long for a preface; the attempt's own
		// context ends sooner. Backoff between attempts is the pool's.
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connectTimeout, Backoff: backoff.DefaultConfig}),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithStatsHandler(witness{}),
	)
	if err != nil {
		conn.Close()
		return nil, err
	}
	t := &transport{cc: cc, conn: conn, address: e.Address}
	if err := t.awaitReady(ctx); err != nil {
		t.close()
		return nil, &prefaceError{cause: err, got: recorded.bytes(), tls: e.TLS != nil}
	}
	return t, nil
}

func (t *transport) awaitReady(ctx context.Context) error {
	t.cc.Connect()
	for begun := false; ; {
		state := t.cc.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Connecting:
			begun = true
		case connectivity.Idle:
			if begun {
				return errGone
			}
		default:
			return errGone
		}
		if !t.cc.WaitForStateChange(ctx, state) {
			return context.Cause(ctx)
		}
	}
}

// awaitDown returns when the connection takes no new calls any more: it was
// lost, or the server said GOAWAY. Calls in flight may still be under way.
func (t *transport) awaitDown(ctx context.Context) {
	t.cc.WaitForStateChange(ctx, connectivity.Ready)
}

// close cuts whatever is still in flight. The socket is closed when it returns;
// grpc-go alone would leave that to a goroutine of its own.
func (t *transport) close() {
	t.cc.Close()
	t.conn.Close()
}

// unary makes one attempt of a call. The error is a [*LostError], or the cause
// of ctx's end; everything that the upstream said is a Response.
func (t *transport) unary(ctx context.Context, req *Request) (*Response, error) {
	ctx, seen := watched(ctx, req)
	var header, trailer metadata.MD
	var answer rawgrpc.Message
	err := t.cc.Invoke(ctx, req.Method, &rawgrpc.Message{Data: req.Message}, &answer,
		grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil {
		answer.Free()
		if !seen.answered.Load() {
			return nil, t.unanswered(ctx, err, seen)
		}
	}
	return &Response{
		Header:       forwardable(header),
		Trailer:      forwardable(trailer),
		TrailersOnly: header == nil,
		Message:      answer.Data,
		Status:       status.Convert(err),
	}, nil
}

// unanswered explains an attempt that ended without the upstream's status.
func (t *transport) unanswered(ctx context.Context, err error, seen *sightings) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &LostError{Address: t.address, Sent: seen.sent.Load(), Cause: status.Convert(err)}
}

// stream opens a call whose shape is not known to be unary. Cancelling ctx ends
// it; it must be cancelled once the caller is done with the stream.
func (t *transport) stream(ctx context.Context, req *Request) (*Stream, error) {
	ctx, seen := watched(ctx, req)
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	cs, err := t.cc.NewStream(ctx, desc, req.Method)
	if err != nil {
		return nil, t.unanswered(ctx, err, seen)
	}
	return &Stream{transport: t, ctx: ctx, cs: cs, seen: seen}, nil
}

// Stream is a call under way, message by message. Sending and receiving may go
// on at the same time, each from one goroutine.
type Stream struct {
	transport *transport
	ctx       context.Context // the caller's; that of cs ends with the stream
	cs        grpc.ClientStream
	seen      *sightings
	end       error // set before Recv returns io.EOF
}

// Send sends one message. It does not take ownership of msg and returns once
// flow control let it through. io.EOF means that the upstream ended the call
// already; [Stream.End] says how.
func (s *Stream) Send(msg mem.BufferSlice) error {
	return s.cs.SendMsg(&rawgrpc.Message{Data: msg})
}

// CloseSend tells the upstream that no message follows.
func (s *Stream) CloseSend() error { return s.cs.CloseSend() }

// Header waits for the upstream's first header block. trailersOnly says that it
// was also the last one, so that there is no header to pass on.
func (s *Stream) Header() (header h2.Fields, trailersOnly bool) {
	md, err := s.cs.Header()
	if err != nil || md == nil {
		return nil, true
	}
	return forwardable(md), false
}

// Recv waits for the next message, which the caller frees; io.EOF says that the
// call has ended and [Stream.End] knows how.
func (s *Stream) Recv() (mem.BufferSlice, error) {
	var msg rawgrpc.Message
	if err := s.cs.RecvMsg(&msg); err != nil {
		if !errors.Is(err, io.EOF) {
			s.end = err
		}
		return nil, io.EOF
	}
	return msg.Data, nil
}

// End returns how the call ended, in the words of [Lease.Unary] and without a
// message or header. Call it after Recv returned io.EOF.
func (s *Stream) End() (*Response, error) {
	if s.end != nil && !s.seen.answered.Load() {
		return nil, s.transport.unanswered(s.ctx, s.end, s.seen)
	}
	return &Response{Trailer: forwardable(s.cs.Trailer()), Status: status.Convert(s.end)}, nil
}

// hopByHop are the names that each hop's transport writes for itself. What
// encodings the caller accepts is not among them: the upstream may use no other.
var hopByHop = []string{
	"content-type", "te", "user-agent", "host", "grpc-encoding", "grpc-timeout", "grpc-status", "grpc-message",
	":authority", ":method", ":path", ":scheme",
}

func forwardable(md metadata.MD) h2.Fields { return h2.FromMD(md).Without(hopByHop...) }

// sightings are what the transport saw of one attempt. grpc-go tells a stats
// handler of each step, but no error says which of them were reached.
type sightings struct {
	sent     atomic.Bool // the header block was handed to the connection
	answered atomic.Bool // the upstream's status arrived
}

type sightingsKey struct{}

func watched(ctx context.Context, req *Request) (context.Context, *sightings) {
	seen := new(sightings)
	ctx = metadata.NewOutgoingContext(ctx, req.Header.Without(hopByHop...).MD())
	return context.WithValue(ctx, sightingsKey{}, seen), seen
}

// witness is the stats.Handler that fills in sightings.
type witness struct{}

func (witness) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (witness) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (witness) HandleConn(context.Context, stats.ConnStats)                       {}

func (witness) HandleRPC(ctx context.Context, event stats.RPCStats) {
	seen, ok := ctx.Value(sightingsKey{}).(*sightings)
	if !ok {
		return
	}
	switch event.(type) {
	case *stats.OutHeader:
		seen.sent.Store(true)
	case *stats.InTrailer:
		seen.answered.Store(true)
	}
}

// secured are the credentials of a connection that has its TLS handshake, if
// any, behind it: the pool makes it, to know exactly why it failed.
type secured struct{ tls bool }

type securedInfo struct{ credentials.CommonAuthInfo }

func (securedInfo) AuthType() string { return "qdrant-sidecar" }

func (secured) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, securedInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func (secured) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.ErrUnsupported
}

// Info names the protocol because it becomes the :scheme of requests.
func (s secured) Info() credentials.ProtocolInfo {
	if s.tls {
		return credentials.ProtocolInfo{SecurityProtocol: "tls"}
	}
	return credentials.ProtocolInfo{SecurityProtocol: "insecure"}
}

func (s secured) Clone() credentials.TransportCredentials { return s }

func (secured) OverrideServerName(string) error { return nil }

var errGone = errors.New("the connection is gone")

// prefaceError says that bytes flow but not those of HTTP/2.
type prefaceError struct {
	cause error
	got   []byte
	tls   bool
}

func (e *prefaceError) Error() string {
	switch {
	case len(e.got) == 0 && errors.Is(e.cause, errNoAnswer):
		return errNoAnswer.Error() + ", although the port is open"
	case len(e.got) == 0 && e.tls:
		return "the server closed the connection before speaking HTTP/2"
	case len(e.got) == 0:
		// How Go's TLS servers take leave of a client without TLS.
		return "the server closed the connection before speaking HTTP/2 (if it wants TLS, use an https:// URL)"
	case string(e.got[:min(len(e.got), 5)]) == "HTTP/":
		return "not HTTP/2: the server answered HTTP/1 (Qdrant's gRPC port is 6334, its REST port 6333)"
	case e.got[0] == 0x15: // a TLS alert record
		return "not HTTP/2: the server speaks TLS there (use an https:// URL)"
	case len(e.got) > 3 && e.got[3] == 0x04: // a SETTINGS frame
		return fmt.Sprintf("the HTTP/2 connection ended while it was being set up: %v", e.cause)
	default:
		return fmt.Sprintf("not HTTP/2: the server's first bytes were %q", e.got)
	}
}

func (e *prefaceError) Unwrap() error { return e.cause }

// firstBytes remembers how a server's side of the conversation began.
type firstBytes struct {
	net.Conn
	mu  sync.Mutex
	got []byte
}

func (c *firstBytes) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	if want := 16 - len(c.got); want > 0 {
		c.got = append(c.got, p[:min(n, want)]...)
	}
	c.mu.Unlock()
	return n, err
}

func (c *firstBytes) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}
