package proxy

import (
	"context"
	"errors"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
)

// forwardUnary makes one attempt of a unary call. An answer that is not OK is
// an error here, and the answer itself stays with the call.
func forwardUnary(ctx context.Context, req any) (any, error) {
	c := req.(*Call)
	if err := c.lease.Unary(ctx, c.request(), &c.Response); err != nil {
		return nil, err
	}
	c.answered(c.Response.First)
	if err := c.overfilled(c.Response.Header); err != nil {
		return nil, err
	}
	if rest := c.Response.Rest(); rest != nil {
		// Larger than what is stored: it goes to the caller while the connection
		// is held, and cannot be taken back.
		return c, c.passOn(ctx, rest)
	}
	return c, c.Response.Err()
}

// passOn sends an answer whose end has not come yet.
func (c *Call) passOn(ctx context.Context, rest *pool.Stream) error {
	defer c.Response.Close()
	if c.endTry() {
		return errTryTimeout
	}
	c.answering = true
	c.answerComes()
	err := c.caller.WriteHeader(nil, c.Response.Header, false)
	if err == nil {
		err = c.caller.Write(ctx, c.Response.Body, false)
	}
	if err != nil {
		return gone(ctx, err)
	}
	c.passing(c.Response.Body.Len(), c.answer.pass(c.Response.Body))
	c.Response.DropBody()
	return copyAnswer(ctx, c, rest)
}

// forwardStream passes the bytes of a call both ways as they come, until the
// upstream has ended it.
func forwardStream(srv any, ss grpc.ServerStream) error {
	c, ctx := srv.(*Call), ss.Context()
	up, err := c.lease.Stream(ctx, c.request())
	if err != nil {
		return err
	}
	defer up.Close()
	// It ends with either stream, and both end when the call does. Waiting for it
	// here would wait for a request that the caller need not finish.
	c.sending = true
	c.caller.Share()
	body := c.Body
	c.Body = nil // the goroutine frees it once it is sent
	go copyRequest(ctx, c.caller, body, up, c.counted.messagesIn)
	header, trailersOnly, err := up.Header()
	if err != nil {
		return err
	}
	c.answered(up.Arrived())
	if err := c.overfilled(header); err != nil {
		return err
	}
	c.answering = true
	if err := c.caller.WriteHeader(nil, header, trailersOnly); err != nil {
		return gone(ctx, err)
	}
	if trailersOnly {
		return up.Err()
	}
	return copyAnswer(ctx, c, up)
}

// copyRequest sends what was read already, and then what the caller sends, and counts
// its messages. It may be at that after the call has ended, whose record it does not
// know.
func copyRequest(ctx context.Context, from *h2.Stream, first mem.BufferSlice, to *pool.Stream, count prometheus.Counter) {
	var request messages
	if len(first) > 0 {
		count.Add(float64(request.pass(first)))
		err := to.Send(first, false)
		first.Free()
		if err != nil {
			return
		}
	}
	for {
		data, err := from.Read(ctx)
		if errors.Is(err, io.EOF) {
			if trailer := from.Trailer(); trailer != nil {
				_ = to.SendTrailer(trailer)
			} else {
				_ = to.Send(nil, true)
			}
			return
		}
		if err == nil {
			count.Add(float64(request.pass(data)))
			err = to.Send(data, false)
			data.Free()
		}
		if err != nil {
			// The caller is gone, or the upstream is done: whoever reads the
			// answers learns it, too.
			return
		}
	}
}

// copyAnswer sends the rest of an answer whose header is sent.
func copyAnswer(ctx context.Context, c *Call, from *pool.Stream) error {
	for {
		data, err := from.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		c.answerComes()
		err = c.caller.Write(ctx, data, false)
		size, ended := data.Len(), c.answer.pass(data)
		data.Free()
		if err != nil {
			return gone(ctx, err)
		}
		c.passing(size, ended)
	}
	if err := c.finish(ctx, from.Trailer()); err != nil {
		return gone(ctx, err)
	}
	return from.Err()
}

// finish ends an answer with its trailer, or, where the upstream sent none, without.
func (c *Call) finish(ctx context.Context, trailer h2.Fields) error {
	if trailer == nil {
		return c.caller.Write(ctx, nil, true)
	}
	return c.caller.WriteHeader(nil, trailer, true)
}

// gone says that the caller cannot be answered any more.
func gone(ctx context.Context, err error) error {
	if cause := h2.Cause(ctx); cause != nil {
		return cause
	}
	return errors.Join(context.Canceled, err)
}
