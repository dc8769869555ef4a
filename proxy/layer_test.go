package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"google.golang.org/grpc"
)

// noisy is a layer that prints when it is entered and left.
func noisy(name string) interceptors {
	return layers{{
		enter: func(context.Context, *Call) error { say("enter", name); return nil },
		leave: func(_ context.Context, _ *Call, err error) error { say("leave", name, err); return err },
	}}.interceptors()
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

// recorded is a layer that adds its name to what was entered and to what was left,
// with the error it was left with.
func recorded(name string, entered, left *[]string) layer {
	return layer{
		enter: func(context.Context, *Call) error { *entered = append(*entered, name); return nil },
		leave: func(_ context.Context, _ *Call, err error) error {
			*left = append(*left, fmt.Sprint(name, " ", err))
			return err
		},
	}
}

func TestLayerThatRefusesIsNotLeft(t *testing.T) {
	refused := errors.New("refused")
	var entered, left []string
	refuser := recorded("refuser", &entered, &left)
	refuser.enter = func(context.Context, *Call) error { return refused }
	ls := layers{recorded("outer", &entered, &left), refuser, recorded("inner", &entered, &left)}
	_, err := ls.unary(t.Context(), &Call{}, nil, func(context.Context, any) (any, error) {
		t.Error("the call went on")
		return nil, nil
	})
	if !errors.Is(err, refused) || !slices.Equal(entered, []string{"outer"}) || !slices.Equal(left, []string{"outer refused"}) {
		t.Errorf("error %v, entered %q, left %q", err, entered, left)
	}
	if err := ls.stream(&Call{}, fakeStream{}, nil, nil); !errors.Is(err, refused) || len(left) != 2 {
		t.Errorf("a stream: error %v, left %q", err, left)
	}
}

// TestLayersAreLeftOnPanic: whatever panics, each layer that was entered is left.
func TestLayersAreLeftOnPanic(t *testing.T) {
	oh := func() { panic("oh") }
	for name, test := range map[string]struct {
		change func(*layer) // of the one in the middle
		call   func()
		left   []string
	}{
		"in the call":     {func(*layer) {}, oh, []string{"inner panic", "middle panic", "outer panic"}},
		"on the way in":   {func(l *layer) { l.enter = func(context.Context, *Call) error { oh(); return nil } }, func() {}, []string{"outer panic"}},
		"on the way out":  {func(l *layer) { l.leave = func(context.Context, *Call, error) error { oh(); return nil } }, func() {}, []string{"inner <nil>", "outer panic"}},
		"and in the call": {func(l *layer) { l.leave = func(context.Context, *Call, error) error { oh(); return nil } }, oh, []string{"inner panic", "outer panic"}},
	} {
		t.Run(name, func(t *testing.T) {
			var entered, left []string
			ls := layers{recorded("outer", &entered, &left), recorded("middle", &entered, &left), recorded("inner", &entered, &left)}
			test.change(&ls[1])
			defer func() {
				if recover() == nil || !slices.Equal(left, test.left) {
					t.Errorf("the layers were left with %q, want %q", left, test.left)
				}
			}()
			ls.unary(t.Context(), &Call{}, nil, func(context.Context, any) (any, error) { test.call(); return nil, nil })
		})
	}
}
