package proxy

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"qdrant-sidecar/pool"
)

// maxPicks is on how many connections a call is tried that none of them sends.
// It happens when a server ends a connection (GOAWAY) at the moment that a call
// is put on it; twice in a row is bad luck, three times is something else.
const maxPicks = 3

// pickUnary makes the attempt of a unary call on a connection, and on another
// one as long as it is certain that nothing was done with the call.
func (s *Server) pickUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	for range maxPicks {
		if resp, err = s.unaryOnce(ctx, req, next); !neverSent(req.(*Call), err) {
			break
		}
	}
	return resp, err
}

func (s *Server) unaryOnce(ctx context.Context, req any, next grpc.UnaryHandler) (any, error) {
	lease, err := s.pool.Pick(ctx)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	req.(*Call).lease = lease
	return next(ctx, req)
}

// pickStream is pickUnary for streams.
func (s *Server) pickStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	for range maxPicks {
		if err = s.streamOnce(srv, ss, next); !neverSent(srv.(*Call), err) {
			break
		}
	}
	return err
}

func (s *Server) streamOnce(srv any, ss grpc.ServerStream, next grpc.StreamHandler) error {
	lease, err := s.pool.Pick(ss.Context())
	if err != nil {
		return err
	}
	defer lease.Release()
	srv.(*Call).lease = lease
	return next(srv, ss)
}

// neverSent reports whether the attempt may be made again as if it had not been
// made: the transport knows that the upstream did nothing with it, and nothing
// that was given away is needed for the next.
func neverSent(c *Call, err error) bool {
	lost, ok := errors.AsType[*pool.LostError](err)
	return ok && !lost.Sent && !c.sending && !c.answering
}
