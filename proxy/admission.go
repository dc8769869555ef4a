package proxy

import (
	"context"
	"time"
)

// noWait is how long it may take to be let in without having waited: what two
// looks at the clock can be apart on a busy machine.
const noWait = 100 * time.Microsecond

// admit has a call wait for its place among those in flight. Whoever asks whether
// Qdrant is there is not made to wait for others to end.
func (s *Server) admit(ctx context.Context, c *Call) error {
	if c.Method.Health {
		return nil
	}
	c.queued = time.Now()
	if err := s.admission.Acquire(ctx); err != nil {
		return gaveUp(ctx, err)
	}
	c.admitted = true
	return nil
}

// dismiss gives the place back.
func (s *Server) dismiss(_ context.Context, c *Call, err error) error {
	if c.admitted {
		c.admitted = false
		s.admission.Release()
		// The attempt has looked at the clock when the wait was over.
		if waited := c.begun.Sub(c.queued); waited > noWait {
			s.metrics.queueSeconds.Observe(waited.Seconds())
		}
	}
	return err
}
