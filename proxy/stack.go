package proxy

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/status"
)

// stack is the order of the interceptors, outermost first, and this file the only
// place that knows it. Inside the last one is the attempt itself: forward.go.
func (s *Server) stack() []interceptors {
	return []interceptors{
		// A panic in a layer is one failed call and not a dead sidecar; so no
		// layer is outside of this.
		s.recover(),
		s.onceACall().interceptors(),
		// The one place that makes attempts anew: what was certainly never sent, for
		// everybody and without any policy, and what the policy allows besides. It
		// holds neither place nor connection while it waits.
		{s.retryUnary, s.retryStream},
		s.onceAnAttempt().interceptors(),
	}
}

// onceACall are the layers around all that may be done more than once.
func (s *Server) onceACall() layers {
	ls := append(s.outside(),
		// Before any work: what did not arrive whole must not be passed on, least
		// of all with a key of ours in place of one that was cut off.
		layer{enter: refuse},
		// Every attempt has the same header.
		layer{enter: addAPIKey},
	)
	if s.resilient {
		// What nobody waits for any more takes no place and no attempt from others.
		ls = append(ls, layer{enter: checkDeadline})
	}
	return ls
}

// outside are the layers around all that may fail a call.
func (s *Server) outside() layers {
	return slices.Concat(
		// Everything below may ask what the call is for.
		layers{{enter: s.identify}},
		// Everything below may ask which trace the call is in.
		s.tracing.callLayer(),
		layers{
			// What the caller sees is counted once a call; so this is outside of all
			// that answers on its own.
			{enter: s.metrics.begin, leave: s.metrics.end},
			// Whoever watches sees what the caller sees.
			{enter: noCheck, leave: s.observe},
			// The one place where a cause becomes a status: the layers above see
			// what the caller sees, the layers below see causes.
			{enter: noCheck, leave: s.explain},
		},
	)
}

// onceAnAttempt are the layers around each attempt.
func (s *Server) onceAnAttempt() layers {
	guards := layers{{enter: s.choose}}
	if s.resilient {
		guards = layers{
			// Inside of retry, because a place is held for an attempt, and not while
			// waiting to make the next one.
			{enter: s.admit, leave: s.dismiss},
			// After the wait for a place, during which an endpoint may fail, and for only
			// then is the breaker's permit about to be used.
			{enter: s.chooseGuarded, leave: s.tellBreaker},
		}
	}
	return slices.Concat(
		guards,
		// What a guard has refused is no attempt, so it has no span. Outside of what
		// finds out what an attempt came to.
		s.tracing.attemptLayer(),
		layers{
			// Likewise it is not counted.
			// Inside of the breaker, which asks on its way out what this one found.
			{enter: s.beginAttempt, leave: s.endAttempt},
			// A connection is held for an attempt and no longer.
			{enter: pick, leave: unpick},
		},
	)
}

// noCheck lets every call in.
func noCheck(context.Context, *Call) error { return nil }

func (s *Server) recover() interceptors {
	handler := recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		s.log.Error("a call panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		return judge(errPanic).err()
	})
	return interceptors{recovery.UnaryServerInterceptor(handler), recovery.StreamServerInterceptor(handler)}
}

func (s *Server) identify(_ context.Context, c *Call) error {
	c.Collection = c.Method.CollectionOf(c.Body, &s.collections)
	return nil
}

// explain turns the cause of a failure into the status that the caller gets.
// What the upstream answered is a status already and stays as it is.
func (s *Server) explain(_ context.Context, c *Call, err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	v := judge(err)
	c.Reason = v.reason
	c.advice = v.advice
	if c.NotRetried.GaveUp() {
		c.advice = notAgain()
	}
	if v.reason == Unexpected {
		s.log.Error("a call failed for a reason that has no status", "method", c.FullMethod, "error", err)
	}
	return v.err()
}

// refuse ends calls that the listener took in only to be counted and answered.
func refuse(_ context.Context, c *Call) error { return c.refused }

// addAPIKey authenticates callers that did not do so themselves. Qdrant takes a
// key from either of the two names.
func addAPIKey(_ context.Context, c *Call) error {
	if key := c.rules.apiKey; key != "" && !c.Header.Has("api-key") && !c.Header.Has("authorization") {
		c.Header = append(c.Header, hpack.HeaderField{Name: "api-key", Value: key, Sensitive: true})
		c.keyed = true
	}
	return nil
}
