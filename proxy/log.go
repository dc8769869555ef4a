package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// While Qdrant is down every call fails: what is logged of that is bounded.
const (
	failuresPerSecond = 10
	failureBurst      = 50
)

// failureLog writes a line for a failed call, within limits. Lines that were
// left out are counted in the next one.
type failureLog struct {
	log     *slog.Logger
	limit   *rate.Limiter
	omitted *atomic.Int64
}

func newFailureLog(log *slog.Logger) failureLog {
	return failureLog{log: log, limit: rate.NewLimiter(failuresPerSecond, failureBurst), omitted: new(atomic.Int64)}
}

// logFailure tells of a call that the caller saw fail: as a warning when the
// sidecar failed it, otherwise as information. Callers that went away are no
// failure; they are told of for debugging only, like calls that went well. Messages of the upstream are not logged: they can hold user data.
func (s *Server) logFailure(ctx context.Context, c *Call, err error) error {
	level, text := slog.LevelInfo, "call failed"
	switch {
	case err == nil || c.Reason == Cancelled:
		level, text = slog.LevelDebug, "call ended"
	case c.Reason != "":
		level = slog.LevelWarn
	}
	if !s.log.Enabled(ctx, level) {
		return err
	}
	if !s.failures.limit.Allow() {
		s.failures.omitted.Add(1)
		return err
	}
	attrs := []slog.Attr{
		slog.String("method", c.FullMethod),
		slog.String("code", codeOf(err)),
		slog.Float64("seconds", time.Since(c.Started).Seconds()),
		slog.String("peer", fmt.Sprint(c.Peer)),
	}
	if c.Collection != "" {
		attrs = append(attrs, slog.String("collection", c.Collection))
	}
	if c.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(c.Reason)), slog.String("error", status.Convert(err).Message()))
	}
	if c.lease != nil {
		attrs = append(attrs, slog.String("upstream", c.lease.Address()), slog.Int("connection", c.lease.Connection()))
	}
	if omitted := s.failures.omitted.Swap(0); omitted > 0 {
		attrs = append(attrs, slog.Int64("lines_omitted", omitted))
	}
	s.failures.log.LogAttrs(ctx, level, text, attrs...)
	return err
}

// maxCode is the highest code that gRPC defines.
const maxCode = codes.Unauthenticated
