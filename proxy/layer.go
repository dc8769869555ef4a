package proxy

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc"
)

// layer is a step that a call enters on its way in and leaves on its way out:
// to check, count, time or classify it. Written once, it serves unary calls and
// streams alike.
type layer struct {
	// enter returns an error to end the call here; leave is not called then.
	enter func(ctx context.Context, c *Call) error
	// leave sees how the call ended and returns how it ends for the layers
	// outside. It runs also when a layer inside panics, with errPanic. May be nil.
	leave func(ctx context.Context, c *Call, err error) error
}

// errPanic stands for the outcome of a call that panicked.
var errPanic = errors.New("panic")

// layers are steps one inside of the other, the first one outermost. Together they
// are one interceptor, because a call waits for Qdrant below all of them: a frame or
// two for each are kilobytes of stack for every call in flight.
type layers []layer

// unary is the layers as a grpc.UnaryServerInterceptor. It and stream are the same
// few lines twice, because a closure to share them would be an allocation in every
// call.
func (ls layers) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	c := req.(*Call)
	entered := 0
	err = errPanic
	defer func() { err = ls[:entered].leave(ctx, c, err) }()
	for ; entered < len(ls); entered++ {
		if err := ls[entered].enter(ctx, c); err != nil {
			return nil, err
		}
	}
	return next(ctx, req)
}

// stream is the layers as a grpc.StreamServerInterceptor.
func (ls layers) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	c := srv.(*Call)
	entered := 0
	err = errPanic
	defer func() { err = ls[:entered].leave(ss.Context(), c, err) }()
	for ; entered < len(ls); entered++ {
		if err := ls[entered].enter(ss.Context(), c); err != nil {
			return err
		}
	}
	return next(srv, ss)
}

// leave leaves layers that were entered, the innermost first. When one panics, those
// outside of it are left all the same.
func (ls layers) leave(ctx context.Context, c *Call, err error) error {
	n := len(ls)
	defer func() {
		if n > 0 {
			_ = ls[:n].leave(ctx, c, errPanic)
		}
	}()
	for n > 0 {
		n--
		if leave := ls[n].leave; leave != nil {
			err = leave(ctx, c, err)
		}
	}
	return err
}

// interceptors is one place in the stack: the same for both shapes of call.
type interceptors struct {
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

func (ls layers) interceptors() interceptors { return interceptors{ls.unary, ls.stream} }

// chainUnary composes the stack around last, the first element outermost.
func chainUnary(stack []interceptors, info *grpc.UnaryServerInfo, last grpc.UnaryHandler) grpc.UnaryHandler {
	handler := last
	for _, place := range slices.Backward(stack) {
		step, next := place.unary, handler
		handler = func(ctx context.Context, req any) (any, error) { return step(ctx, req, info, next) }
	}
	return handler
}

// chainStream composes the stack around last, the first element outermost.
func chainStream(stack []interceptors, info *grpc.StreamServerInfo, last grpc.StreamHandler) grpc.StreamHandler {
	handler := last
	for _, place := range slices.Backward(stack) {
		step, next := place.stream, handler
		handler = func(srv any, ss grpc.ServerStream) error { return step(srv, ss, info, next) }
	}
	return handler
}
