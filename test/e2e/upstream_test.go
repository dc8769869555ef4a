package e2e_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/memqdrant"
	"qdrant-sidecar/internal/rawgrpc"
)

// call is what arrived at an upstream.
type call struct {
	ctx    context.Context
	method string
	header metadata.MD
}

// handler answers a call. A nil one stands for answering with the request.
type handler func(call) ([]byte, error)

// upstream stands in for Qdrant where a test wants to see or decide what Qdrant
// never shows. It takes any method.
type upstream struct {
	addr   string
	server *grpc.Server
	served sync.WaitGroup
	// accepted counts sockets.
	accepted atomic.Int64
}

// newUpstream starts an upstream on a free loopback port and stops it with the
// test, after the sidecars that were started later.
func newUpstream(t testing.TB, handle handler) *upstream {
	t.Helper()
	return newUpstreamOn(t, "127.0.0.1:0", nil, handle)
}

// newUpstreamOn takes host:port or unix:///path.
func newUpstreamOn(t testing.TB, address string, conf *tls.Config, handle handler) *upstream {
	t.Helper()
	network := "tcp"
	if socket, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", socket
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: lis.Addr().String()}
	u.server = grpc.NewServer(
		grpc.ForceServerCodecV2(rawgrpc.Codec{}),
		grpc.MaxRecvMsgSize(64<<20),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return serveCall(stream, handle) }),
	)
	counted := &countingListener{Listener: lis, accepted: &u.accepted}
	var served net.Listener = counted
	if conf != nil {
		served = tls.NewListener(counted, conf)
	}
	u.served.Go(func() {
		if err := u.server.Serve(served); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("upstream: %v", err)
		}
	})
	t.Cleanup(u.stop)
	return u
}

// stop cuts everything, calls under way as well. Calling it twice is fine.
func (u *upstream) stop() {
	u.server.Stop()
	u.served.Wait()
}

func (u *upstream) url() string { return "http://" + u.addr }

func serveCall(stream grpc.ServerStream, handle handler) error {
	var request rawgrpc.Message
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	defer request.Free()
	if handle == nil {
		return stream.SendMsg(&request)
	}
	method, _ := grpc.MethodFromServerStream(stream)
	header, _ := metadata.FromIncomingContext(stream.Context())
	answer, err := handle(call{stream.Context(), method, header})
	if err != nil {
		return err
	}
	return stream.SendMsg(&rawgrpc.Reply{Data: mem.BufferSlice{mem.SliceBuffer(answer)}})
}

type countingListener struct {
	net.Listener
	accepted *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return conn, err
}

// healthy answers every method with an empty message, and HealthCheck as Qdrant
// does.
func healthy(c call) ([]byte, error) {
	if c.method != "/qdrant.Qdrant/HealthCheck" {
		return nil, nil
	}
	return proto.Marshal(&qdrant.HealthCheckReply{Title: "stand-in", Version: memqdrant.Version})
}

// gate holds calls until it is opened.
type gate struct {
	arrived chan string // methods
	open    chan struct{}
}

func newGate() *gate {
	return &gate{arrived: make(chan string, 4096), open: make(chan struct{})}
}

// hold is a handler; it lets HealthCheck pass.
func (g *gate) hold(c call) ([]byte, error) {
	if c.method == "/qdrant.Qdrant/HealthCheck" {
		return healthy(c)
	}
	g.arrived <- c.method
	select {
	case <-g.open:
		return nil, nil
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
}

// newMemory serves a fresh embedded Qdrant on a loopback port, as if it were a
// Qdrant of its own.
func newMemory(t testing.TB) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	database := memqdrant.New()
	var served sync.WaitGroup
	served.Go(func() {
		if err := database.Serve(lis); err != nil {
			t.Errorf("memqdrant: %v", err)
		}
	})
	t.Cleanup(func() {
		database.Stop()
		served.Wait()
	})
	return lis.Addr().String()
}
