package proxy_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
)

// echo is an upstream that answers a call with its request, after a while that
// lets cancellations overtake it.
func echo(t *testing.T) string {
	t.Helper()
	return serve(t, func(_ any, ss grpc.ServerStream) error {
		var request rawgrpc.Message
		if err := ss.RecvMsg(&request); err != nil {
			return err
		}
		defer request.Free()
		timer := time.NewTimer(rand.N(4 * time.Millisecond))
		defer timer.Stop()
		select {
		case <-timer.C:
			return ss.SendMsg(&request)
		case <-ss.Context().Done():
			return ss.Context().Err()
		}
	})
}

// serve runs a raw gRPC server on a loopback port until the test ends.
func serve(t *testing.T, handler grpc.StreamHandler) string {
	t.Helper()
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(rawgrpc.Codec{}),
		grpc.UnknownServiceHandler(handler),
		// As tolerant of pings as Qdrant.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}),
	)
	lis := listen(t)
	go server.Serve(lis)
	t.Cleanup(server.Stop)
	return lis.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

// sidecar runs a Server in front of an upstream and returns it with its pool and
// its address.
func sidecar(t *testing.T, upstream string, size int) (*proxy.Server, *pool.Pool, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	connections := pool.New(pool.Config{Endpoints: []pool.Endpoint{{Address: upstream}}, Size: size, PingInterval: time.Hour, Logger: log})
	t.Cleanup(connections.Close)
	policy := standard()
	policy.Admission.Limit = 2000 // what the queue does is tested elsewhere
	policy.Deadlines.Read, policy.Deadlines.Try = time.Minute, 0
	server := proxy.New(proxy.Config{Pool: connections, Resilience: policy, Logger: log})
	return server, connections, front(t, server)
}

// front has a Server listen until the test ends, and returns where.
func front(t *testing.T, server *proxy.Server) string {
	t.Helper()
	lis := listen(t)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if cut := server.Drain(ctx); cut > 0 {
			t.Errorf("draining cut %d calls", cut)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return lis.Addr().String()
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawgrpc.Codec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// usage is what must be the same before and after a storm.
type usage struct {
	buffers    int64
	goroutines int
	heap       uint64
}

func measure() usage {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	buffers, _ := h2.BuffersInUse()
	return usage{buffers, runtime.NumGoroutine(), m.HeapAlloc}
}

// TestBurstsLeaveNothingBehind makes 15,000 calls, 1,000 at once, of which
// about every third is cancelled at a random moment, on the unary path and on
// the stream path.
func TestBurstsLeaveNothingBehind(t *testing.T) {
	const bursts, atOnce = 15, 1000
	server, connections, address := sidecar(t, echo(t), 5)
	conns := []*grpc.ClientConn{dial(t, address), dial(t, address), dial(t, address)}
	methods := []string{"/qdrant.Points/Query", "/qdrant.Points/Upsert", "/acme.Unknown/Method"}

	var ok, cancelled atomic.Int64
	burst := func() {
		var calls sync.WaitGroup
		for i := range atOnce {
			calls.Go(func() {
				err := oneCall(t.Context(), conns[i%len(conns)], methods[i/len(conns)%len(methods)], i%3 == 0)
				switch code := status.Code(err); {
				case err == nil:
					ok.Add(1)
				case code == codes.Canceled:
					cancelled.Add(1)
				default:
					t.Errorf("a call ended with %v", err)
				}
			})
		}
		calls.Wait()
	}
	for range 3 {
		burst() // fills pools, grows stacks, opens connections
	}
	settle(t, server, usage{})
	before := measure()
	for range bursts {
		burst()
	}
	if ok.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("%d calls succeeded, %d were cancelled: this tests nothing", ok.Load(), cancelled.Load())
	}
	settle(t, server, before)
	for _, c := range connections.State().Endpoints[0].Connections {
		// A connection that was lost on the way would have been missed by a call.
		if c.InFlight != 0 || c.State != pool.Ready && c.State != pool.Unused {
			t.Errorf("connection %d is %v and counts %d calls", c.ID, c.State, c.InFlight)
		}
	}
	t.Logf("%d calls succeeded, %d were cancelled; before %+v, after %+v", ok.Load(), cancelled.Load(), before, measure())
}

// settle waits until what the last calls left behind has come to rest, and
// fails when it does not come down to limit.
func settle(t *testing.T, server *proxy.Server, limit usage) {
	t.Helper()
	var now usage
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); runtime.Gosched() {
		now = measure()
		switch {
		case server.InFlight() > 0 || now.buffers > limit.buffers:
		case limit == usage{}:
			return
		// A heap is never the same twice, and a few goroutines of grpc-go come and
		// go. A stream that leaks with each fifth call would be more.
		case now.goroutines <= limit.goroutines+10 && now.heap <= limit.heap+8<<20:
			return
		}
	}
	t.Errorf("%d calls in flight, %+v; want no calls and at most %+v", server.InFlight(), now, limit)
}

// oneCall sends a message of up to 4 KiB and checks what comes back.
func oneCall(ctx context.Context, conn *grpc.ClientConn, method string, cancelled bool) error {
	if cancelled {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		timer := time.AfterFunc(rand.N(6*time.Millisecond), cancel)
		defer timer.Stop()
	}
	size := 1 + rand.IntN(4<<10)
	request := rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer(make([]byte, size))}}
	var answer rawgrpc.Message
	err := conn.Invoke(ctx, method, &request, &answer)
	defer answer.Free()
	if err == nil && answer.Data.Len() != size {
		return errors.New("the answer is not the request")
	}
	return err
}
