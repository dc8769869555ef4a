package main

import (
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"qdrant-sidecar/internal/memqdrant"
)

// embedded serves an empty in-memory Qdrant on a free port until stop is called.
func embedded() (address string, stop func(), err error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := memqdrant.New()
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(lis) }) // a server that failed fails the scenario
	return lis.Addr().String(), func() { server.Stop(); done.Wait() }, nil
}

// failing is a Qdrant that is well by its health check and answers everything else with UNAVAILABLE. It counts what
// reaches it.
type failing struct {
	address string
	server  *grpc.Server
	done    sync.WaitGroup

	mu       sync.Mutex
	attempts map[string]int // by full method
}

func startFailing() (*failing, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &failing{address: lis.Addr().String(), attempts: map[string]int{}}
	f.server = grpc.NewServer(grpc.UnknownServiceHandler(f.handle))
	f.done.Go(func() { _ = f.server.Serve(lis) }) // a server that failed fails the scenario
	return f, nil
}

func (f *failing) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	switch method {
	case "/qdrant.Qdrant/HealthCheck", "/grpc.health.v1.Health/Check":
		// An empty message is a fine answer to both, and a healthy one to the first.
		return stream.SendMsg(&emptypb.Empty{})
	}
	f.mu.Lock()
	f.attempts[method]++
	f.mu.Unlock()
	return status.Error(codes.Unavailable, "Service unavailable: shard is not active")
}

// take returns the counts since the last call.
func (f *failing) take() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := f.attempts
	f.attempts = map[string]int{}
	return counts
}

func (f *failing) stop() { f.server.Stop(); f.done.Wait() }
