package proxy_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
	"qdrant-sidecar/resilience"
)

// Methods of each class.
const (
	read   = "/qdrant.Points/Query"
	write  = "/qdrant.Points/Upsert"
	unsafe = "/qdrant.Collections/Create"
	health = "/qdrant.Qdrant/HealthCheck"
	other  = "/acme.Thing/Do"
)

// arrival is an attempt as the upstream sees it.
type arrival struct {
	grpc.ServerStream
	n       int // from 1
	method  string
	request string
	header  metadata.MD
}

// rig is a Server between an upstream that does as it is told and a client that
// sees the wire, all in memory, so that it can live in a synctest bubble.
type rig struct {
	t        *testing.T
	server   *proxy.Server
	client   *pool.Pool
	arrivals atomic.Int64
	dials    atomic.Int64
	// down makes connections to the upstream fail.
	down atomic.Bool
	// dialing, if set, is called before each.
	dialing func()
	// log gets what the Server logs from level on, beside the test's output.
	log   journal
	level slog.Level
	// late says which calls are slow.
	late proxy.Slow
}

// standard is the policy of tests: waits are as long as they can be.
func standard() *proxy.Resilience {
	policy := resilience.DefaultPolicy()
	policy.Rand = func() float64 { return 1 }
	return &proxy.Resilience{
		Deadlines:        resilience.DefaultDeadlines(),
		Retry:            policy,
		BreakerThreshold: 10,
		Admission:        resilience.DefaultAdmissionConfig(500),
	}
}

func newRig(t *testing.T, policy *proxy.Resilience, handle func(arrival) error, before ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t}
	for _, prepare := range before {
		prepare(r)
	}
	upstream := bufconn.Listen(1 << 16)
	tolerant := keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawgrpc.Codec{}), grpc.MaxRecvMsgSize(64<<20), grpc.KeepaliveEnforcementPolicy(tolerant), grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		var request rawgrpc.Message
		if err := ss.RecvMsg(&request); err != nil {
			return err
		}
		defer request.Free()
		a := arrival{ServerStream: ss, n: int(r.arrivals.Add(1)), request: string(request.Data.Materialize())}
		a.method, _ = grpc.MethodFromServerStream(ss)
		a.header, _ = metadata.FromIncomingContext(ss.Context())
		if err := handle(a); err != nil {
			return err
		}
		return ss.SendMsg(&rawgrpc.Reply{Data: mem.BufferSlice{mem.SliceBuffer(a.request)}})
	}))
	go server.Serve(upstream)
	t.Cleanup(server.Stop)

	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	connections := pool.New(pool.Config{
		Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: func(ctx context.Context) (net.Conn, error) {
			r.dials.Add(1)
			if r.dialing != nil {
				r.dialing()
			}
			if r.down.Load() {
				return nil, net.ErrClosed
			}
			return upstream.DialContext(ctx)
		}}},
		Size: 2, Logger: log,
	})
	t.Cleanup(connections.Close)
	r.server = proxy.New(proxy.Config{
		Pool: connections, Resilience: policy, Slow: r.late,
		Logger: slog.New(slog.NewJSONHandler(io.MultiWriter(t.Output(), &r.log), &slog.HandlerOptions{Level: r.level})),
	})
	front := bufconn.Listen(1 << 16)
	go r.server.Serve(front)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if cut := r.server.Drain(ctx); cut > 0 {
			t.Errorf("draining cut %d calls", cut)
		}
	})
	r.client = pool.New(pool.Config{Endpoints: []pool.Endpoint{{Address: "sidecar.test", Dial: front.DialContext}}, Size: 64, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(r.client.Close)
	return r
}

// answer is what a caller got.
type answer struct {
	code    codes.Code
	message string
	text    string // of the body
	// header and last are the first and the last header block; the same if there
	// was only one.
	header, last h2.Fields
	only         bool
	took         time.Duration
}

// pushback is what the caller is told about coming again.
func (a answer) pushback() string {
	return strings.Join(a.last.Values("grpc-retry-pushback-ms"), " and ")
}

func (r *rig) call(method string, header ...string) answer {
	r.t.Helper()
	return r.callWith(r.t.Context(), method, "hello", header...)
}

// callWith makes a call whose header has these names and values besides.
func (r *rig) callWith(ctx context.Context, method, body string, header ...string) answer {
	r.t.Helper()
	lease, err := lend(ctx, r.client)
	if err != nil {
		r.t.Errorf("the sidecar cannot be reached: %v", err)
		return answer{}
	}
	defer lease.Release()
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	request := &pool.Request{
		Method: method,
		Header: h2.Fields{h2.Field("content-type", "application/grpc"), h2.Field("te", "trailers")},
		Body:   mem.BufferSlice{mem.SliceBuffer(prefix), mem.SliceBuffer(body)},
	}
	for i := 0; i < len(header); i += 2 {
		request.Header = append(request.Header, h2.Field(header[i], header[i+1]))
	}
	start := time.Now()
	var response pool.Response
	err = lease.Unary(ctx, request, &response)
	a := answer{took: time.Since(start)}
	if err != nil {
		a.code, a.message = status.Code(err), err.Error()
		return a
	}
	defer response.Close()
	if rest := response.Rest(); rest != nil {
		a.text, a.code = r.readAll(response.Body, rest), codes.OK
		return a
	}
	st := status.Convert(response.Err())
	a.code, a.message, a.only = st.Code(), st.Message(), response.HeaderOnly
	a.header, a.last = append(h2.Fields{}, response.Header...), append(h2.Fields{}, response.Trailer...)
	if a.only {
		a.last = a.header
	}
	if text := response.Body.Materialize(); len(text) > 5 {
		a.text = string(text[5:])
	}
	return a
}

// readAll reads an answer that is too large to be there at once.
func (r *rig) readAll(start mem.BufferSlice, rest *pool.Stream) string {
	r.t.Helper()
	text := start.Materialize()
	for {
		data, err := rest.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				r.t.Error(err)
			}
			return string(text[5:])
		}
		text = append(text, data.Materialize()...)
		data.Free()
	}
}

// lend borrows a connection of a pool with one endpoint.
func lend(ctx context.Context, p *pool.Pool) (*pool.Lease, error) {
	n, err := p.Choose(ctx, nil)
	if err != nil {
		return nil, err
	}
	return n.Lend(ctx, nil, false)
}

// want checks an answer's code, and the number of attempts made so far.
func (r *rig) want(what string, got answer, code codes.Code, attempts int) {
	r.t.Helper()
	if n := int(r.arrivals.Load()); got.code != code || n != attempts {
		r.t.Errorf("%s: %v %q after %d attempts, want %v after %d", what, got.code, got.message, n, code, attempts)
	}
}

// counted is g without the counters with labels that have counted nothing.
func counted(g prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		found, err := g.Gather()
		for _, family := range found {
			family.Metric = slices.DeleteFunc(family.Metric, func(m *dto.Metric) bool {
				return m.GetCounter() != nil && m.GetCounter().GetValue() == 0 && len(m.GetLabel()) > 0
			})
		}
		return slices.DeleteFunc(found, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 }), err
	})
}

// metrics compares some of the metrics with their text, less the comments, and less
// what is still at zero of counters with labels. A caller has its answer before all of it is
// counted, so all else in the bubble comes to rest first.
func (r *rig) metrics(want string, names ...string) {
	r.t.Helper()
	synctest.Wait()
	gatherer := counted(r.server.Gatherer())
	found, err := gatherer.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	var preamble strings.Builder
	for _, family := range found {
		for _, name := range names {
			if family.GetName() == name {
				preamble.WriteString("# HELP " + name + " " + family.GetHelp() + "\n# TYPE " + name + " " + strings.ToLower(family.GetType().String()) + "\n")
				for line := range strings.Lines(want) {
					if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ") {
						preamble.WriteString(line)
					}
				}
			}
		}
	}
	if err := testutil.GatherAndCompare(gatherer, strings.NewReader(preamble.String()), names...); err != nil {
		r.t.Error(err)
	}
}
