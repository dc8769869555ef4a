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

// unary is the layer as a grpc.UnaryServerInterceptor. It and stream are the same
// few lines twice, because a closure to share them would be an allocation in
// every layer of every call.
func (l layer) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	c := req.(*Call)
	if err := l.enter(ctx, c); err != nil {
		return nil, err
	}
	if l.leave == nil {
		return next(ctx, req)
	}
	err = errPanic
	defer func() { err = l.leave(ctx, c, err) }()
	return next(ctx, req)
}

// stream is the layer as a grpc.StreamServerInterceptor.
func (l layer) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	c := srv.(*Call)
	if err := l.enter(ss.Context(), c); err != nil {
		return err
	}
	if l.leave == nil {
		return next(srv, ss)
	}
	err = errPanic
	defer func() { err = l.leave(ss.Context(), c, err) }()
	return next(srv, ss)
}

// interceptors is one place in the stack: the same step for both shapes of call.
type interceptors struct {
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

func (l layer) interceptors() interceptors { return interceptors{l.unary, l.stream} }

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
