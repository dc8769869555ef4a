package proxy

import (
	"context"
	"log/slog"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// newBreakers makes a breaker for each method, numbered as the methods are.
func (s *Server) newBreakers(threshold int) *resilience.Breakers {
	var names []string
	for m := range method.All() {
		names = append(names, label(m))
	}
	b := resilience.NewBreakers(resilience.BreakerConfig{Threshold: threshold, OnChange: s.breakerChanged}, s.endpoint, names)
	b.SetAlone(true) // there is no other Qdrant to ask meanwhile
	// What was refused because there were no connections can be tried again.
	s.pool.OnRecovered(b.Recovered)
	return b
}

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

// askBreaker lets an attempt through unless the method has failed too often.
// Whoever asks whether Qdrant is there is to hear it from Qdrant.
func (s *Server) askBreaker(_ context.Context, c *Call) (err error) {
	if !c.Method.Health {
		c.permit, err = s.breakers.Allow(c.Method.Index)
	}
	return err
}

// tellBreaker says how the attempt went.
func (s *Server) tellBreaker(_ context.Context, c *Call, err error) error {
	c.permit.Done(c.verdict.Fault)
	c.permit = resilience.Permit{}
	return err
}
