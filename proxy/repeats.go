package proxy

import (
	"hash/maphash"
	"time"

	"google.golang.org/grpc/status"

	"qdrant-sidecar/resilience"
)

// recall counts the attempts of a call that its caller makes again at once, after it was given up on here, with those
// that it had. If it had all, the error says so, and the upstream is spared: attempts of SDKs that repeat by
// themselves, as Rust's does and Python's uploads do, would multiply with ours. See
// docs/decisions/0025-a-call-made-again-at-once.md.
func (s *Server) recall(c *Call) error {
	if !s.repeats.Any(c.Started) { // whatever is remembered now was then, or came later
		return nil
	}
	before, ok := s.repeats.Recall(s.keyOf(c), time.Now())
	switch {
	case !ok:
		return nil
	case before.Attempts > c.rules.policy.Max:
		return &resilience.ExhaustedError{GivenUp: before}
	}
	c.tries.Carry(before.Attempts)
	return nil
}

// remember notes a call that was given up on. One that may not be repeated has been made once, and that is all that a
// caller who makes it again asks for.
func (s *Server) remember(c *Call, err error) {
	if s.repeats == nil || !c.NotRetried.GaveUp() {
		return
	}
	last, ok := status.FromError(err)
	if !ok {
		v := judge(err)
		last = status.New(v.code, v.message)
	}
	s.repeats.Note(s.keyOf(c), resilience.GivenUp{
		Attempts: c.tries.Retries() + 1, Code: last.Code(), Message: clip(last.Message()),
	}, time.Now())
}

// keyOf stands for what makes two calls the same: the method, the request and the metadata, but for what is new with
// each attempt. SDKs dial anew before they repeat, so the connection is none of it.
func (s *Server) keyOf(c *Call) uint64 {
	var h maphash.Hash
	h.SetSeed(s.repeatSeed)
	field := func(name, value string) {
		_, _ = h.WriteString(name)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(value)
		_ = h.WriteByte(0)
	}
	field(":path", c.FullMethod)
	for _, f := range c.Header {
		switch f.Name {
		case "grpc-timeout", "grpc-previous-rpc-attempts", "traceparent", "tracestate", "grpc-trace-bin", "baggage":
		default:
			field(f.Name, f.Value)
		}
	}
	for _, part := range c.Body {
		_, _ = h.Write(part.ReadOnlyData())
	}
	return h.Sum64()
}
