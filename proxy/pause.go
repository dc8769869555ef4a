package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/resilience"
)

// Pauser has calls wait instead of going to the upstream, and whatever else goes to
// the same Qdrant and is added to it. It is nil without a policy: then there is no
// queue to wait in.
func (s *Server) Pauser() *resilience.Pauser { return s.pauser }

// Paused returns the present pause; the zero value for none.
func (s *Server) Paused() resilience.PauseState {
	if s.pauser == nil {
		return resilience.PauseState{}
	}
	return s.pauser.State()
}

func (s *Server) pauseEnded(was resilience.PauseState) {
	s.log.Warn("calls are no longer paused: the time of the pause is over",
		"paused_seconds", time.Since(was.Began).Seconds(), "waited", was.Waiting)
}

// gaveUp is why a call waits no longer for its place, given the error of its wait.
func gaveUp(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if errors.Is(err, resilience.ErrPaused) {
		return fmt.Errorf("%w: %w", resilience.ErrPaused, h2.Cause(ctx))
	}
	return h2.Cause(ctx)
}
