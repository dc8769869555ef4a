package proxy

import (
	"context"
	"log/slog"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// label names a method in metrics and messages that are not about one call.
func label(m *method.Method) string {
	if m == method.Other {
		return "other methods"
	}
	return m.FullName()
}

func (s *Server) breakerChanged(change resilience.Change) {
	s.metrics.transitions.WithLabelValues(change.To.String()).Inc()
	level, text := slog.LevelInfo, "breaker changed"
	if change.To == resilience.Open {
		level, text = slog.LevelWarn, "breaker opened: calls are refused for a while"
	}
	s.log.Log(context.Background(), level, text,
		"method", change.Method, "upstream", change.Endpoint, "from", change.From.String(), "to", change.To.String(),
		"failures_in_a_row", change.Failures, "open_seconds", change.OpenFor.Seconds())
}

// tellBreaker says how the attempt went.
func (s *Server) tellBreaker(_ context.Context, c *Call, err error) error {
	c.permit.Done(c.verdict.Fault)
	c.permit = resilience.Permit{}
	return err
}
