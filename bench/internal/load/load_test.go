package load

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/bench/internal/upstream"
	"qdrant-sidecar/bench/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (raw) Name() string                       { return "" }

// listen returns a listener on loopback.
func listen(t *testing.T) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

// grpcServer is an end that knows the protocol better than we do. It answers
// with size zeros, or with the error that seen returns.
func grpcServer(t *testing.T, size int, seen func(ctx context.Context, request []byte) error, more ...grpc.ServerOption) string {
	t.Helper()
	options := append(more, grpc.ForceServerCodec(raw{}), grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			var request []byte
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			if err := seen(stream.Context(), request); err != nil {
				return err
			}
			answer := make([]byte, size)
			return stream.SendMsg(&answer)
		}))
	server := grpc.NewServer(options...)
	lis := listen(t)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return lis.Addr().String()
}

// fake starts the benchmark's own upstream.
func fake(t *testing.T, s *upstream.Server) string {
	t.Helper()
	lis := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return lis.Addr().String()
}

func plan(addr string) Plan {
	return Plan{
		Addr: addr, Conns: 4, InFlight: 32, Path: Search, Request: SearchRequest(), Answer: 2048,
		Warmup: 20 * time.Millisecond, Window: 100 * time.Millisecond,
	}
}

// some is Run with a window in which there are calls, however busy the machine.
func some(t *testing.T, p Plan) (r Result, err error) {
	t.Helper()
	for longest := 100 * p.Window; ; p.Window *= 4 {
		if r, err = Run(t.Context(), p); err != nil || r.Calls > 0 || p.Window > longest {
			return r, err
		}
	}
}

func TestRequestSizes(t *testing.T) {
	t.Parallel()
	if n := len(SearchRequest()); n != SearchSize {
		t.Errorf("a search has %d bytes, want %d", n, SearchSize)
	}
	for _, size := range []int{200, 1 << 20, 8 << 20, 32 << 20} {
		if n := len(UploadRequest(size)); n != size+wire.PrefixSize {
			t.Errorf("an upload of %d has %d bytes", size, n)
		}
	}
}

// TestAgainstGRPC compares what was counted with what grpc-go's server saw.
func TestAgainstGRPC(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	addr := grpcServer(t, 2043, func(ctx context.Context, request []byte) error {
		calls.Add(1)
		md, _ := metadata.FromIncomingContext(ctx)
		if !bytes.Equal(request, SearchRequest()[wire.PrefixSize:]) || md.Get("user-agent")[0] != "bench/1" {
			return status.Error(codes.InvalidArgument, "not what was sent")
		}
		return nil
	})
	p := plan(addr)
	p.Calls = 500
	r, err := Run(t.Context(), p)
	if err != nil || r.Failed > 0 {
		t.Fatalf("%v, %d failed: %s", err, r.Failed, r.Why)
	}
	if n := int(calls.Load()); r.Calls != n || n < 500 || n > 500+p.InFlight {
		t.Errorf("counted %d calls, the server %d", r.Calls, n)
	}
}

func TestFailuresAreCounted(t *testing.T) {
	t.Parallel()
	failing := grpcServer(t, 2043, func(context.Context, []byte) error { return status.Error(codes.Unavailable, "busy") })
	short := grpcServer(t, 10, func(context.Context, []byte) error { return nil })
	for addr, why := range map[string]string{failing: "status 14 busy", short: "15 bytes"} {
		r, err := Run(t.Context(), plan(addr))
		if err != nil || r.Calls != 0 || r.Failed != 32 || !strings.Contains(r.Why, why) {
			t.Errorf("%v: %d calls, %d failed: %q, want %q", err, r.Calls, r.Failed, r.Why, why)
		}
		p := plan(addr)
		p.Calls = 100
		if _, err := Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("a run by number ends with %v", err)
		}
		if err := Try(t.Context(), p); err == nil {
			t.Error("Try found nothing wrong")
		}
	}
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	for _, inFlight := range []int{1, 3, 100} {
		s := &upstream.Server{Answer: 2048}
		p := plan(fake(t, s))
		p.InFlight = inFlight
		edges := 0
		p.Edge = func() { edges++ }
		r, err := some(t, p)
		if err != nil || r.Failed > 0 || r.Calls == 0 || edges < 2 || edges%2 != 0 || r.Elapsed < p.Window {
			t.Fatalf("%+v, %v, %d edges", r.Calls, err, edges)
		}
		calls, received := s.Counts()
		if received != calls*SearchSize || int64(r.Calls) > calls {
			t.Errorf("the upstream counted %d calls of %d bytes, we %d", calls, received, r.Calls)
		}
		if !slices.IsSorted(r.Latencies) || r.Quantile(0.5) > r.Quantile(0.99) || r.Quantile(1) != r.Latencies[r.Calls-1] {
			t.Error("latencies are not in order")
		}
	}
}

// TestRate checks that calls come at their rate although answers take longer
// than the time between them, and that this time is in their latency.
func TestRate(t *testing.T) {
	t.Parallel()
	const delay = 30 * time.Millisecond
	p := plan(fake(t, &upstream.Server{Answer: 2048, Delay: delay}))
	p.InFlight, p.Rate = 0, 500
	p.Warmup, p.Window = 100*time.Millisecond, 500*time.Millisecond
	r, err := some(t, p)
	if err != nil || r.Failed > 0 {
		t.Fatal(err, r.Why)
	}
	// A machine that is busy with other tests may make fewer, never many more.
	if r.Calls == 0 || r.Rate() > 1000 || r.Quantile(0) < delay {
		t.Errorf("%.0f calls a second, the fastest in %v", r.Rate(), r.Quantile(0))
	}
}

// TestLargeBothWays would never end if either side's reader waited for its writer.
func TestLargeBothWays(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	p := plan(fake(t, &upstream.Server{Answer: size}))
	p.Request, p.Answer, p.InFlight, p.Conns, p.Calls = UploadRequest(size), size, 16, 2, 40
	r, err := Run(t.Context(), p)
	if err != nil || r.Failed > 0 || r.Calls < p.Calls {
		t.Fatal(err, r.Failed, r.Why, r.Calls)
	}
}

// TestManyStreams has more requests wait on a connection than its window holds.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	s := &upstream.Server{Answer: 2048, Delay: 10 * time.Millisecond}
	p := plan(fake(t, s))
	p.Conns, p.InFlight, p.Calls = 1, 2000, 10_000
	r, err := Run(t.Context(), p)
	if calls, _ := s.Counts(); err != nil || r.Failed > 0 || int64(r.Calls) != calls {
		t.Fatal(err, r.Failed, r.Why, r.Calls, calls)
	}
}

func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	lis := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := lis.Accept()
		if err == nil {
			nc.Close()
		}
	}()
	p := plan(lis.Addr().String())
	p.Conns = 1
	if _, err := Run(t.Context(), p); !errors.Is(err, errBroken) {
		t.Errorf("the error is %v", err)
	}
	<-done
	lis.Close()
	if _, err := Run(t.Context(), p); err == nil {
		t.Error("nobody listens, and there is no error")
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	s := &upstream.Server{Answer: 2048}
	p := plan(fake(t, s))
	p.Conns = 20
	held, err := Hold(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for range 2 {
		if err := held.CallEach(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if calls, _ := s.Counts(); calls != 40 {
		t.Errorf("%d calls, want 40", calls)
	}
}

// TestMaxStreams asks for more than the server allows at once.
func TestMaxStreams(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	addr := grpcServer(t, 2043, func(context.Context, []byte) error { <-release; return nil }, grpc.MaxConcurrentStreams(2))
	defer close(release)
	p := plan(addr)
	p.Conns, p.InFlight = 1, 3
	if _, err := Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), "only 2 calls") {
		t.Errorf("the error is %v", err)
	}
}
