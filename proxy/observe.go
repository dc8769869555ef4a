package proxy

import (
	"context"
	"strings"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/tap"
	"qdrant-sidecar/resilience"
)

// Tap is where calls that have ended can be seen.
func (s *Server) Tap() *tap.Tap { return &s.tap }

// observe is the layer's way out. A call that went well, and that nobody watches, it
// costs a look at a pointer.
func (s *Server) observe(_ context.Context, c *Call, err error) error {
	if err == nil && !s.tap.Watched() {
		return nil
	}
	seen := c.seen(err)
	s.tap.Offer(&seen, func() (request, answer []byte) { return copied(c.Body), copied(c.Response.Body) })
	return err
}

// seen is the call as it is shown.
func (c *Call) seen(err error) tap.Call {
	stages := c.Stages()
	seen := tap.Call{
		Started: c.Started, Method: c.shownMethod(), Collection: clip(c.Collection),
		Code: codeNumber(err), Reason: string(c.Reason), Own: c.Reason != "",
		Attempts: c.Attempts, NotRetried: string(c.NotRetried),
		Deadline: c.timeout, Timed: c.timed, Duration: stages.Total,
		Receive: stages.Receive, Queue: stages.Queue, Backoff: stages.Backoff, Upstream: stages.Upstream, Sidecar: stages.Own,
		Peer: peerName(c.Peer), UserAgent: clip(c.Header.Get("user-agent")),
		RequestBytes: c.RequestBytes(), AnswerBytes: c.AnswerBytes(),
	}
	switch {
	case seen.Own:
		seen.Message = ownWords(c.Reason, err)
	case err != nil:
		seen.Message = status.Convert(err).Message()
	}
	if c.Attempts > 0 && c.verdict.Cause != resilience.Refused {
		seen.Outcome = c.verdict.Cause.String()
	}
	if c.lease != nil {
		seen.Node, seen.Connection = c.lease.Address(), c.lease.Connection()
	}
	return seen
}

// shownMethod is "Points/Query", or what the caller named.
func (c *Call) shownMethod() string {
	if c.Method == method.Other {
		return clip(strings.TrimPrefix(c.FullMethod, "/"))
	}
	return strings.TrimPrefix(c.Method.Service, "qdrant.") + "/" + c.Method.Name
}

// copied returns the bytes of a body, for those who watch.
func copied(body mem.BufferSlice) []byte {
	b := tap.Body(body.Len())
	if b != nil {
		body.CopyTo(b)
	}
	return b
}
