// Package proxy is the data path: it takes gRPC calls from a listener, leads
// them through the layers of stack.go, and forwards their bytes to an upstream
// without parsing them.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
)

// window is the flow-control window towards a caller, of a stream and of a
// connection: what Qdrant itself announces.
const window = 1 << 20

// streamWorkers keep their grown stacks between calls; a goroutine made for a
// call would grow its own each time. More calls than workers are no problem.
const streamWorkers = 64

// Config is what a Server is made of.
type Config struct {
	// Pool lends connections to the upstream. It outlives the Server.
	Pool *pool.Pool
	// APIKey is sent with calls whose callers sent no credentials; "" for none.
	APIKey string
	// Version is reported in a metric.
	Version string
	Logger  *slog.Logger
}

// Server takes calls and forwards them. Its methods may be called concurrently.
type Server struct {
	pool     *pool.Pool
	apiKey   string
	log      *slog.Logger
	failures failureLog
	metrics  *metrics
	grpc     *grpc.Server
	stream   grpc.StreamHandler
	draining atomic.Bool
}

// New returns a Server that waits for [Server.Serve].
func New(cfg Config) *Server {
	s := &Server{pool: cfg.Pool, apiKey: cfg.APIKey, log: cfg.Logger, failures: newFailureLog(cfg.Logger)}
	s.metrics = newMetrics(cfg.Version, cfg.Pool)
	stack := s.stack()
	s.stream = chainStream(stack, &grpc.StreamServerInfo{IsClientStream: true, IsServerStream: true}, forwardStream)
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(rawgrpc.Codec{}),
		grpc.RPCDecompressor(rawgrpc.Gunzip()), //nolint:staticcheck // see rawgrpc.Gunzip
		grpc.UnknownServiceHandler(s.serveStream),
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
		grpc.NumStreamWorkers(streamWorkers),
		// SDKs ping idle connections every few seconds. Qdrant never minds, so
		// neither do we: no realistic client pings twice in a millisecond.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: time.Millisecond, PermitWithoutStream: true,
		}),
	)
	s.registerUnary(stack)
	return s
}

// registerUnary gives every known method a chain of its own, composed once.
func (s *Server) registerUnary(stack []interceptors) {
	services := map[string]*grpc.ServiceDesc{}
	for m := range method.All() {
		if m == method.Other {
			continue
		}
		desc := services[m.Service]
		if desc == nil {
			desc = &grpc.ServiceDesc{ServiceName: m.Service}
			services[m.Service] = desc
		}
		chain := chainUnary(stack, &grpc.UnaryServerInfo{FullMethod: m.FullName()}, forwardUnary)
		desc.Methods = append(desc.Methods, grpc.MethodDesc{
			MethodName: m.Name,
			Handler: func(_ any, ctx context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return serveUnary(ctx, m.FullName(), receive, chain)
			},
		})
	}
	for _, desc := range services {
		s.grpc.RegisterService(desc, nil)
	}
}

// serveUnary receives a unary call from grpc-go, and gives its answer back.
func serveUnary(ctx context.Context, fullMethod string, receive func(any) error, chain grpc.UnaryHandler) (any, error) {
	var request rawgrpc.Message
	// Also when receiving fails: a caller may go away after the message and
	// before the end of it.
	defer request.Free()
	if err := receive(&request); err != nil {
		return nil, err
	}
	c := newCall(ctx, fullMethod)
	c.Message = request.Data
	_, err := chain(ctx, c)
	if c.Response == nil {
		return nil, err
	}
	if sendErr := sendMetadata(ctx, c, err != nil); sendErr != nil {
		c.Response.Message.Free()
		return nil, sendErr
	}
	if err != nil {
		return nil, err
	}
	return &rawgrpc.Reply{Data: c.Response.Message}, nil
}

// sendMetadata passes header and trailer on in the shape they came in.
func sendMetadata(ctx context.Context, c *Call, failed bool) error {
	r := c.Response
	if err := grpc.SetTrailer(ctx, r.Trailer.MD()); err != nil {
		return err
	}
	if r.TrailersOnly {
		return nil
	}
	if failed {
		// Sent apart although the status is known: that is how it came.
		return grpc.SendHeader(ctx, r.Header.MD())
	}
	return grpc.SetHeader(ctx, r.Header.MD())
}

// serveStream receives a call of a method that is not known to be unary.
func (s *Server) serveStream(_ any, ss grpc.ServerStream) error {
	fullMethod, _ := grpc.MethodFromServerStream(ss)
	return s.stream(newCall(ss.Context(), fullMethod), ss)
}

func newCall(ctx context.Context, fullMethod string) *Call {
	c := &Call{FullMethod: fullMethod, Started: time.Now()}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		c.Header = h2.FromMD(md)
	}
	if p, ok := peer.FromContext(ctx); ok {
		c.Peer = p.Addr.String()
	}
	return c
}

// Serve takes calls from lis until the Server is drained; it returns nil then.
// It may be called for several listeners.
func (s *Server) Serve(lis net.Listener) error {
	err := s.grpc.Serve(&plaintextListener{Listener: lis, hints: newHints(s.log)})
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving %s: %w", lis.Addr(), err)
	}
	return nil
}

// Drain stops taking calls, tells callers to go elsewhere (GOAWAY), and returns
// when the calls in flight have ended. When ctx ends first they are cut, and
// their number is returned.
func (s *Server) Drain(ctx context.Context) (cut int) {
	s.draining.Store(true)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.grpc.GracefulStop()
	}()
	select {
	case <-drained:
	case <-ctx.Done():
		cut = s.InFlight()
		s.grpc.Stop()
		<-drained
	}
	return cut
}

// Ready returns nil when calls can be served, and otherwise why not.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errors.New("draining: the sidecar is shutting down")
	}
	state := s.pool.State()
	if state.Ready() > 0 {
		return nil
	}
	if state.LastFailure != nil {
		return state.LastFailure
	}
	return fmt.Errorf("connecting to Qdrant at %s", state.Address)
}

// Draining reports whether [Server.Drain] was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// InFlight returns how many calls are under way.
func (s *Server) InFlight() int { return int(s.metrics.inFlight.Load()) }
