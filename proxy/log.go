package proxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/shape"
)

// While Qdrant is down every call fails: what is logged of that is bounded, for
// each kind of line by itself, so that what is of less interest hides nothing.
const (
	LinesPerSecond = 10
	LineBurst      = 50 // at once, after a while without any
)

// Slow says from when on a call is told of although nothing is wrong but that. A zero
// field means never.
type Slow struct {
	// Read, Write and Long are for calls of methods with such a deadline.
	Read, Write, Long time.Duration
}

// kindOfLine is why there is a line of a call.
type kindOfLine int

const (
	// ordinary calls went well, or their callers went away: that is no failure.
	ordinary kindOfLine = iota
	// slow calls took longer than is set. They may have been cancelled, too.
	slow
	// impatient are the callers that went away when their deadline was, as most do
	// that set one: it is nearly over here, too, and neither timer is exact.
	impatient
	// theirs are those that Qdrant failed, ours those that the sidecar did.
	theirs
	ours
)

// linesOfKind are what the lines of each kind look like.
var linesOfKind = [...]struct {
	level slog.Level
	text  string
}{
	ordinary:  {slog.LevelDebug, "call ended"},
	slow:      {slog.LevelInfo, "slow call"},
	impatient: {slog.LevelInfo, "caller gave up"},
	theirs:    {slog.LevelInfo, "call failed"},
	ours:      {slog.LevelWarn, "call failed"},
}

// callLog writes a line of a call that its caller saw fail, or wait for long, within
// limits. How many were left out is in the next one of the kind.
type callLog struct {
	log    *slog.Logger
	slow   [method.LongDeadline + 1]time.Duration // by kind of deadline; 0 is never
	limits [ours + 1]lineLimit
}

type lineLimit struct {
	*rate.Limiter
	omitted atomic.Int64
}

func newCallLog(log *slog.Logger, from Slow) *callLog {
	l := &callLog{log: log}
	l.slow = [...]time.Duration{method.ReadDeadline: from.Read, method.WriteDeadline: from.Write, method.LongDeadline: from.Long}
	for i := range l.limits {
		l.limits[i].Limiter = rate.NewLimiter(LinesPerSecond, LineBurst)
	}
	return l
}

// tell writes the line of a call that has ended in err, if it is to have one. It
// comes after the answer, so that nobody waits for it.
func (l *callLog) tell(c *Call, err error) {
	kind := l.kind(c, err)
	look := &linesOfKind[kind]
	if !l.log.Enabled(context.Background(), look.level) {
		return
	}
	limit := &l.limits[kind]
	if !limit.Allow() {
		limit.omitted.Add(1)
		return
	}
	l.log.LogAttrs(context.Background(), look.level, look.text, attributes(c, err, limit.omitted.Swap(0))...)
}

func (l *callLog) kind(c *Call, err error) kindOfLine {
	switch from := l.slow[c.Method.Deadline]; {
	case c.Reason != "" && c.Reason != Cancelled:
		return ours
	case err != nil && c.Reason == "":
		return theirs
	case c.Reason == Cancelled && c.timed && c.Took() >= c.timeout/2:
		return impatient
	case from > 0 && c.Took() >= from:
		return slow
	default:
		return ordinary
	}
}

// largeEnough is how large a request must say that it is for a look at its start to cost
// nothing beside that. Smaller ones are only given away when there is no room to store
// them.
const largeEnough = 64 << 10

// lookAhead reads the shape of a large request that is given away before anybody knows
// whether there is a line of it.
func (l *callLog) lookAhead(c *Call) {
	if shape.Announced(c.Body) >= largeEnough && l.log.Enabled(context.Background(), slog.LevelWarn) {
		c.shape = new(shape.Of(c.Method, c.Body, c.Header.Get("grpc-encoding")))
	}
}
