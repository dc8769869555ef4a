package resilience

import (
	"strconv"
	"time"
)

// maxPushback is the longest wait that is taken at its word. Whoever asks for
// more asks not to come again.
const maxPushback = time.Hour

// Pushback is what an upstream asks of those who would come again. The zero value
// asks nothing.
type Pushback struct {
	// Wait is how long to stay away; of no meaning unless Asked.
	Wait time.Duration
	// Asked says that there is a Wait, which may be 0.
	Asked bool
	// Stop says not to come again.
	Stop bool
}

func (p Pushback) given() bool { return p.Asked || p.Stop }

// readPushback reads grpc-retry-pushback-ms, or else retry-after in seconds, the
// only form of it that Qdrant sends. What is negative or cannot be read says to
// stop (A6, "Pushback"): somebody did ask for something.
func readPushback(milliseconds, retryAfter string) Pushback {
	value, unit := milliseconds, time.Millisecond
	if value == "" {
		value, unit = retryAfter, time.Second
	}
	if value == "" {
		return Pushback{}
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > int64(maxPushback/unit) {
		return Pushback{Stop: true}
	}
	return Pushback{Wait: time.Duration(n) * unit, Asked: true}
}
