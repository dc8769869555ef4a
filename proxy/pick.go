package proxy

import (
	"context"

	"google.golang.org/grpc"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
)

// pickUnary lends the attempt of a unary call its connection.
func (s *Server) pickUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	lease, err := s.lend(ctx, req.(*Call))
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	return next(ctx, req)
}

// pickStream is pickUnary for streams.
func (s *Server) pickStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	lease, err := s.lend(ss.Context(), srv.(*Call))
	if err != nil {
		return err
	}
	defer lease.Release()
	return next(srv, ss)
}

func (s *Server) lend(ctx context.Context, c *Call) (*pool.Lease, error) {
	var avoid *pool.Lease
	if c.elsewhere {
		avoid = c.lease
	}
	lease, err := s.pool.PickOther(ctx, avoid)
	if err != nil {
		return nil, err
	}
	// The wait for it may have ended with the call, and nothing is begun for one
	// that has ended.
	if ctx.Err() != nil {
		lease.Release()
		return nil, h2.Cause(ctx)
	}
	c.lease = lease
	return lease, nil
}
