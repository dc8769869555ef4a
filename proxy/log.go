package proxy

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/status"
)

// While Qdrant is down every call fails: what is logged of that is bounded, for
// each level by itself, so that what is of less interest hides nothing.
const (
	linesPerSecond = 10
	lineBurst      = 50
)

// failureLog writes a line for a call that its caller saw fail, within limits.
// How many were left out is in the next one of the level.
type failureLog struct {
	log    *slog.Logger
	levels map[slog.Level]*levelLimit
}

type levelLimit struct {
	*rate.Limiter
	omitted atomic.Int64
}

func newFailureLog(log *slog.Logger) failureLog {
	f := failureLog{log: log, levels: map[slog.Level]*levelLimit{}}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		f.levels[level] = &levelLimit{Limiter: rate.NewLimiter(linesPerSecond, lineBurst)}
	}
	return f
}

// leave is the layer's way out. A call that the sidecar failed is a warning, one
// that Qdrant failed is information. Callers that went away are no failure; they
// are told of for debugging only, like calls that went well. Messages of the
// upstream are not logged: they can hold user data.
func (f failureLog) leave(ctx context.Context, c *Call, err error) error {
	level, text := slog.LevelInfo, "call failed"
	switch {
	case err == nil || c.Reason == Cancelled:
		level, text = slog.LevelDebug, "call ended"
	case c.Reason != "":
		level = slog.LevelWarn
	}
	if !f.log.Enabled(ctx, level) {
		return err
	}
	limit := f.levels[level]
	if !limit.Allow() {
		limit.omitted.Add(1)
		return err
	}
	stages := c.Stages()
	attrs := []slog.Attr{
		slog.String("method", clip(c.FullMethod)),
		slog.String("code", codeName(codeNumber(err))),
		slog.Float64("seconds", seconds(stages.Total)),
		slog.Float64("receive_seconds", seconds(stages.Receive)),
		slog.Float64("queue_seconds", seconds(stages.Queue)),
		slog.Float64("backoff_seconds", seconds(stages.Backoff)),
		slog.Float64("upstream_seconds", seconds(stages.Upstream)),
		slog.Float64("first_byte_seconds", seconds(stages.FirstByte)),
		slog.Float64("own_seconds", seconds(stages.Own)),
		slog.Int64("request_bytes", c.RequestBytes()),
		slog.Int64("answer_bytes", c.AnswerBytes()),
		slog.String("peer", peerName(c.Peer)),
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
	if c.Attempts > 1 {
		attrs = append(attrs, slog.Int("attempts", c.Attempts))
	}
	if c.NotRetried != "" {
		attrs = append(attrs, slog.String("not_retried", string(c.NotRetried)))
	}
	if omitted := limit.omitted.Swap(0); omitted > 0 {
		attrs = append(attrs, slog.Int64("lines_omitted", omitted))
	}
	f.log.LogAttrs(ctx, level, text, attrs...)
	return err
}

// seconds is a time as lines show it.
func seconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }

// peerName is a caller's address. Callers over a unix socket have none.
func peerName(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix"
	}
	return a.String()
}

// clip shortens what callers can make as long as they like.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
