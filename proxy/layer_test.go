package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"google.golang.org/grpc"
)

// noisy is a layer that prints when it is entered and left.
func noisy(name string) interceptors {
	return layer{
		enter: func(context.Context, *Call) error { say("enter", name); return nil },
		leave: func(_ context.Context, _ *Call, err error) error { say("leave", name, err); return err },
	}.interceptors()
}

// say writes to what an example is compared with.
func say(what ...any) { fmt.Fprintln(os.Stdout, what...) }

// The first layer of a stack is the outermost, for both shapes of call.
func Example_chain() {
	stack := []interceptors{noisy("outer"), noisy("inner")}
	unary := chainUnary(stack, nil, func(context.Context, any) (any, error) {
		say("unary call")
		return nil, nil
	})
	unary(context.Background(), &Call{})
	stream := chainStream(stack, nil, func(any, grpc.ServerStream) error {
		say("stream")
		return errors.New("broken")
	})
	stream(&Call{}, fakeStream{})
	// Output:
	// enter outer
	// enter inner
	// unary call
	// leave inner <nil>
	// leave outer <nil>
	// enter outer
	// enter inner
	// stream
	// leave inner broken
	// leave outer broken
}

type fakeStream struct{ grpc.ServerStream }

func (fakeStream) Context() context.Context { return context.Background() }

func TestLayerThatRefusesIsNotLeft(t *testing.T) {
	refused := errors.New("refused")
	left := false
	l := layer{
		enter: func(context.Context, *Call) error { return refused },
		leave: func(_ context.Context, _ *Call, err error) error { left = true; return err },
	}
	_, err := l.unary(t.Context(), &Call{}, nil, func(context.Context, any) (any, error) {
		t.Error("the call went on")
		return nil, nil
	})
	if !errors.Is(err, refused) || left {
		t.Errorf("error %v, left %v", err, left)
	}
}

func TestLayerIsLeftOnPanic(t *testing.T) {
	var saw error
	l := layer{
		enter: noCheck,
		leave: func(_ context.Context, _ *Call, err error) error { saw = err; return err },
	}
	defer func() {
		if recover() == nil || !errors.Is(saw, errPanic) {
			t.Errorf("the layer was left with %v", saw)
		}
	}()
	l.unary(t.Context(), &Call{}, nil, func(context.Context, any) (any, error) { panic("oh") })
}
