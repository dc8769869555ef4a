package resilience

import (
	"context"
	"time"
)

// Wait waits before a repetition, or until ctx ends, whichever is first.
func Wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
