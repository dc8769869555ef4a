package proxy

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
)

// pickUnary lends the attempt of a unary call its connection.
func pickUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	lease, err := lend(ctx, req.(*Call))
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	return next(ctx, req)
}

// pickStream is pickUnary for streams.
func pickStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	lease, err := lend(ss.Context(), srv.(*Call))
	if err != nil {
		return err
	}
	defer lease.Release()
	return next(srv, ss)
}

func lend(ctx context.Context, c *Call) (*pool.Lease, error) {
	var avoid *pool.Lease
	if c.elsewhere && c.lease != nil && c.lease.Node() == c.node {
		avoid = c.lease
	}
	lease, err := c.node.Lend(ctx, avoid, c.Method.NodeLocal)
	if err != nil {
		c.lent(time.Since(c.begun))
		return nil, err
	}
	c.lent(lease.Waited())
	// The wait for it may have ended with the call, and nothing is begun for one
	// that has ended.
	if ctx.Err() != nil {
		lease.Release()
		return nil, h2.Cause(ctx)
	}
	c.lease = lease
	return lease, nil
}
