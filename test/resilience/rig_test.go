package resilience_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
	"qdrant-sidecar/resilience"
)

// rig is the sidecar's data path, as the binary puts it together, between an upstream
// that can be taken down and callers, all in memory and in a synctest bubble: what
// would take minutes takes none.
type rig struct {
	t      *testing.T
	server *proxy.Server
	client *pool.Pool
	serve  func(ctx context.Context, method string) error

	dials, arrivals atomic.Int64

	mu    sync.Mutex
	down  bool
	conns []net.Conn // to the upstream
}

// defaults is the policy of a binary without flags, but for the size of its pool.
func defaults(poolSize int) *proxy.Resilience {
	return &proxy.Resilience{
		Deadlines:        resilience.DefaultDeadlines(),
		Retry:            resilience.DefaultPolicy(),
		BreakerThreshold: 10,
		Admission:        resilience.DefaultAdmissionConfig(poolSize * pool.CallsPerConnection),
	}
}

// newRig is called in a bubble. serve is the upstream's work; nil and OK is an answer.
func newRig(t *testing.T, policy *proxy.Resilience, poolSize int, serve func(ctx context.Context, method string) error) *rig {
	t.Helper()
	r := &rig{t: t, serve: serve}
	upstream := bufconn.Listen(1 << 16)
	tolerant := keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawgrpc.Codec{}), grpc.KeepaliveEnforcementPolicy(tolerant),
		grpc.UnknownServiceHandler(r.handle))
	go server.Serve(upstream)
	t.Cleanup(server.Stop)

	log := slog.New(slog.DiscardHandler)
	connections := pool.New(pool.Config{
		Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: func(ctx context.Context) (net.Conn, error) { return r.dial(ctx, upstream) }}},
		Size:      poolSize, Logger: log,
	})
	t.Cleanup(connections.Close)
	r.server = proxy.New(proxy.Config{Pool: connections, Resilience: policy, Logger: log})
	front := bufconn.Listen(1 << 16)
	go r.server.Serve(front)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r.server.Drain(ctx)
	})
	r.client = pool.New(pool.Config{Endpoints: []pool.Endpoint{{Address: "sidecar.test", Dial: front.DialContext}}, Size: 64, Logger: log})
	t.Cleanup(r.client.Close)
	return r
}

func (r *rig) dial(ctx context.Context, upstream *bufconn.Listener) (net.Conn, error) {
	r.dials.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	conn, err := upstream.DialContext(ctx)
	if err == nil {
		r.conns = append(r.conns, conn)
	}
	return conn, err
}

// kill ends the upstream and its connections; revive is its return.
func (r *rig) kill() {
	r.mu.Lock()
	r.down = true
	r.mu.Unlock()
	r.cut()
}

// cut ends the connections that there are.
func (r *rig) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func (r *rig) revive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = false
}

func (r *rig) handle(_ any, ss grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(ss)
	var request rawgrpc.Message
	if err := ss.RecvMsg(&request); err != nil {
		return err
	}
	request.Free()
	r.arrivals.Add(1)
	if err := r.serve(ss.Context(), method); err != nil {
		return err
	}
	return ss.SendMsg(&rawgrpc.Reply{})
}

// call makes a call whose header has these names and values besides; an error of the
// connection, of a deadline of ctx for one, is a code, too.
func (r *rig) call(ctx context.Context, method string, header ...string) (codes.Code, string) {
	n, err := r.client.Choose(ctx, nil)
	if err != nil {
		return codes.Unknown, err.Error()
	}
	lease, err := n.Lend(ctx, nil, false)
	if err != nil {
		return codes.Unknown, err.Error()
	}
	defer lease.Release()
	request := &pool.Request{
		Method: method,
		Header: h2.Fields{h2.Field("content-type", "application/grpc"), h2.Field("te", "trailers")},
		Body:   mem.BufferSlice{mem.SliceBuffer(binary.BigEndian.AppendUint32([]byte{0}, 0))},
	}
	for i := 0; i < len(header); i += 2 {
		request.Header = append(request.Header, h2.Field(header[i], header[i+1]))
	}
	var response pool.Response
	err = lease.Unary(ctx, request, &response)
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Code(), "the caller has left"
	}
	if err != nil {
		return status.Code(err), err.Error()
	}
	defer response.Close()
	st := status.Convert(response.Err())
	return st.Code(), st.Message()
}

// counted is the sum of a family's series that have a label, when all else in the bubble
// has come to rest: a caller has its answer before all of it is counted.
func (r *rig) counted(family, label string) (sum int) {
	r.t.Helper()
	synctest.Wait()
	families, err := r.server.Gatherer().Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == family && (label == "" || strings.Contains(m.String(), label)) {
				sum += int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			}
		}
	}
	return sum
}
