package proxy

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
)

// forwardUnary makes one attempt of a unary call. An answer that is not OK is
// an error here, and its metadata stays with the call.
func forwardUnary(ctx context.Context, req any) (any, error) {
	c := req.(*Call)
	response, err := c.lease.Unary(ctx, c.request())
	if err != nil {
		return nil, err
	}
	c.Response = response
	return c, response.Status.Err()
}

// forwardStream passes the messages of a call both ways, one by one, until the
// upstream has ended it.
func forwardStream(srv any, ss grpc.ServerStream) error {
	c := srv.(*Call)
	// When this returns for whatever reason, the upstream stops working too.
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	up, err := c.lease.Stream(ctx, c.request())
	if err != nil {
		return err
	}
	// It ends with the stream: grpc-go fails RecvMsg once this function has
	// returned. Waiting for it here would wait for a message that the caller
	// need not send.
	go sendRequests(ss, up, cancel)
	err = returnAnswers(ctx, ss, up)
	cancel()
	discard(up)
	return err
}

// discard frees the answers that the caller did not wait for.
func discard(from *pool.Stream) {
	for {
		data, err := from.Recv()
		if err != nil {
			return
		}
		data.Free()
	}
}

func sendRequests(from grpc.ServerStream, to *pool.Stream, cancel context.CancelFunc) {
	for {
		var msg rawgrpc.Message
		err := from.RecvMsg(&msg)
		if errors.Is(err, io.EOF) {
			err = to.CloseSend()
			if err == nil {
				return
			}
		}
		if err == nil {
			err = to.Send(msg.Data)
			msg.Free()
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return // the upstream is done with the call; the answers tell how
		default:
			cancel() // the caller is gone
			return
		}
	}
}

func returnAnswers(ctx context.Context, to grpc.ServerStream, from *pool.Stream) error {
	header, trailersOnly := from.Header()
	if !trailersOnly {
		if err := to.SendHeader(header.MD()); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
	for {
		data, err := from.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		msg := rawgrpc.Message{Data: data}
		err = to.SendMsg(&msg)
		msg.Free()
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
	end, err := from.End()
	if err != nil {
		return err
	}
	to.SetTrailer(end.Trailer.MD())
	return end.Status.Err()
}
