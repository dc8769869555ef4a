package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"qdrant-sidecar/internal/memqdrant"
)

// place is where a Qdrant is to be found, or the sidecar: host:port of both of its APIs.
type place struct{ grpc, rest string }

// of is where the SDK connects to.
func (p place) of(s sdk) string {
	if s.rest {
		return p.rest
	}
	return p.grpc
}

// listen opens a free port for each API.
func listen() (grpc, rest net.Listener, err error) {
	if grpc, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, nil, err
	}
	if rest, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		grpc.Close()
		return nil, nil, err
	}
	return grpc, rest, nil
}

// embedded serves an empty in-memory Qdrant until stop is called.
func embedded() (at place, stop func(), err error) {
	grpc, rest, err := listen()
	if err != nil {
		return place{}, nil, err
	}
	server := memqdrant.New()
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(grpc) }) // a server that failed fails the scenario
	done.Go(func() { _ = server.ServeREST(rest) })
	return place{grpc.Addr().String(), rest.Addr().String()}, func() { server.Stop(); done.Wait() }, nil
}

// failing is a Qdrant that is well by its health check and answers everything else with UNAVAILABLE, or 503. It counts
// what reaches it.
type failing struct {
	at   place
	grpc *grpc.Server
	rest *http.Server
	done sync.WaitGroup

	mu       sync.Mutex
	attempts map[string]int // by full method, or path
}

func startFailing() (*failing, error) {
	overGRPC, overREST, err := listen()
	if err != nil {
		return nil, err
	}
	f := &failing{at: place{overGRPC.Addr().String(), overREST.Addr().String()}, attempts: map[string]int{}}
	f.grpc = grpc.NewServer(grpc.UnknownServiceHandler(f.handle))
	f.rest = &http.Server{Handler: http.HandlerFunc(f.handleREST), ReadHeaderTimeout: startTimeout}
	f.done.Go(func() { _ = f.grpc.Serve(overGRPC) }) // a server that failed fails the scenario
	f.done.Go(func() { _ = f.rest.Serve(overREST) })
	return f, nil
}

func (f *failing) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	switch method {
	case "/qdrant.Qdrant/HealthCheck", "/grpc.health.v1.Health/Check":
		// An empty message is a fine answer to both, and a healthy one to the first.
		return stream.SendMsg(&emptypb.Empty{})
	}
	f.count(method)
	return status.Error(codes.Unavailable, unavailable)
}

func (f *failing) handleREST(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" || r.URL.Path == "/readyz" {
		fmt.Fprint(w, `{"title": "qdrant", "version": "`+memqdrant.Version+`"}`)
		return
	}
	f.count(r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `{"status": {"error": "`+unavailable+`"}, "time": 0.0}`)
}

const unavailable = "Service unavailable: shard is not active"

func (f *failing) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts[what]++
}

// take returns the counts since the last call.
func (f *failing) take() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := f.attempts
	f.attempts = map[string]int{}
	return counts
}

func (f *failing) stop() {
	f.grpc.Stop()
	f.rest.Close()
	f.done.Wait()
}
