package pool_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/test/bufconn"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
)

// upstream is a gRPC server on in-memory connections, so that it can live in a
// synctest bubble. It answers every call with what handle returns for the
// request's bytes.
type upstream struct {
	handle func(ctx context.Context, request string) (string, error)

	options []grpc.ServerOption
	lis     atomic.Pointer[bufconn.Listener]
	server  *grpc.Server
	open    atomic.Int64 // connections that exist now
	most    atomic.Int64 // the most that ever existed at once
	dialed  atomic.Int64
}

func newUpstream(t *testing.T, handle func(context.Context, string) (string, error), options ...grpc.ServerOption) *upstream {
	t.Helper()
	u := &upstream{handle: handle, options: options}
	u.start()
	t.Cleanup(func() { u.server.Stop() })
	return u
}

func (u *upstream) start() {
	lis := bufconn.Listen(1 << 16)
	u.lis.Store(lis)
	u.server = grpc.NewServer(append(u.options,
		grpc.ForceServerCodecV2(rawgrpc.Codec{}),
		grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
			var request rawgrpc.Message
			if err := ss.RecvMsg(&request); err != nil {
				return err
			}
			defer request.Free()
			answer, err := u.handle(ss.Context(), string(request.Data.Materialize()))
			if err != nil {
				return err
			}
			return ss.SendMsg(&rawgrpc.Reply{Data: text(answer)})
		}),
	)...)
	go u.server.Serve(lis)
}

// dial is the endpoint's Dial. It counts connections.
func (u *upstream) dial(ctx context.Context) (net.Conn, error) {
	conn, err := u.lis.Load().DialContext(ctx)
	if err != nil {
		return nil, err
	}
	u.dialed.Add(1)
	now := u.open.Add(1)
	for {
		most := u.most.Load()
		if now <= most || u.most.CompareAndSwap(most, now) {
			return &countedConn{Conn: conn, open: &u.open}, nil
		}
	}
}

type countedConn struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

func (u *upstream) pool(t *testing.T, size int) *pool.Pool {
	t.Helper()
	return newPool(t, pool.Endpoint{Address: "qdrant.test:6334", Dial: u.dial}, size)
}

func newPool(t *testing.T, e pool.Endpoint, size int) *pool.Pool {
	t.Helper()
	p := pool.New(pool.Config{Endpoints: []pool.Endpoint{e}, Size: size, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	t.Cleanup(p.Close)
	return p
}

func text(s string) mem.BufferSlice { return mem.BufferSlice{mem.SliceBuffer(s)} }

// pick borrows a connection for nobody in particular.
func pick(ctx context.Context, p *pool.Pool) (*pool.Lease, error) { return pickOther(ctx, p, nil) }

// pickOther borrows another connection of the same endpoint, if there is one.
func pickOther(ctx context.Context, p *pool.Pool, than *pool.Lease) (*pool.Lease, error) {
	n, err := p.Choose(ctx, nil)
	if err != nil {
		return nil, err
	}
	return n.Lend(ctx, than, false)
}

// call makes one unary call on a connection of the pool.
func call(ctx context.Context, p *pool.Pool, message string) (string, error) {
	lease, err := pick(ctx, p)
	if err != nil {
		return "", err
	}
	defer lease.Release()
	var response pool.Response
	if err := lease.Unary(ctx, request(message), &response); err != nil {
		return "", err
	}
	defer response.Close()
	body := response.Body.Materialize()
	return string(body[min(len(body), 5):]), response.Err()
}

// request is a call of a method with a message, as it is on the wire.
func request(message string) *pool.Request {
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return &pool.Request{
		Method: "/qdrant.Points/Query",
		Header: h2.Fields{h2.Field("content-type", "application/grpc"), h2.Field("te", "trailers")},
		Body:   mem.BufferSlice{mem.SliceBuffer(prefix), mem.SliceBuffer(message)},
	}
}

func echo(_ context.Context, request string) (string, error) { return request, nil }
