package load

import (
	"context"
	"fmt"
	"time"
)

// Held are connections that stay open.
type Held struct {
	sessions []*session
}

// Hold opens the plan's connections and leaves them idle.
func Hold(ctx context.Context, p Plan) (*Held, error) {
	p.InFlight = 0
	sessions, err := dialAll(ctx, p, newPhase(0))
	if err != nil {
		closeAll(sessions)
		return nil, err
	}
	return &Held{sessions}, nil
}

// CallEach makes one call on each connection, one after the other.
func (h *Held) CallEach(ctx context.Context) error {
	for _, s := range h.sessions {
		if err := s.begin(time.Now()); err != nil {
			return err
		}
		if err := drain(ctx, []*session{s}); err != nil {
			return err
		}
		if why := s.failure(); why != "" {
			return fmt.Errorf("load: a call failed: %s", why)
		}
	}
	return nil
}

// Close closes the connections.
func (h *Held) Close() { closeAll(h.sessions) }

// Try makes one call of the plan on a connection of its own.
func Try(ctx context.Context, p Plan) error {
	p.Conns = 1
	held, err := Hold(ctx, p)
	if err != nil {
		return err
	}
	defer held.Close()
	return held.CallEach(ctx)
}

func (s *session) failure() string {
	s.wire.Lock()
	defer s.wire.Unlock()
	return s.why
}
