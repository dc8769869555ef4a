package proxy

import (
	"context"
	"errors"
	"time"

	"qdrant-sidecar/resilience"
)

// admit has a call wait for its place among those in flight. Whoever asks whether
// Qdrant is there is not made to wait for others to end.
func (s *Server) admit(ctx context.Context, c *Call) error {
	if c.Method.Health {
		return nil
	}
	if s.admission.TryAcquire() {
		c.admitted = true
		return nil
	}
	from := time.Now()
	err := s.admission.Acquire(ctx)
	waited := c.queuedSince(from)
	if err != nil {
		if overload, ok := errors.AsType[*resilience.OverloadError](err); ok {
			s.metrics.turnedAway.WithLabelValues(string(overload.Reason)).Inc()
		}
		return gaveUp(ctx, err)
	}
	s.metrics.queueSeconds.Observe(waited.Seconds())
	c.admitted = true
	return nil
}

// dismiss gives the place back.
func (s *Server) dismiss(_ context.Context, c *Call, err error) error {
	if c.admitted {
		c.admitted = false
		s.admission.Release()
	}
	return err
}
