package resilience

import (
	"context"
	"fmt"
	"time"
)

// ErrExpired says that a call's deadline had passed before anything was done. It
// is a [context.DeadlineExceeded].
var ErrExpired = fmt.Errorf("the deadline had passed when the call arrived: %w", context.DeadlineExceeded)

// Kind says how long a method normally takes, which its [Class] does not.
type Kind uint8

// The kinds.
const (
	// Ordinary is as long as its class.
	Ordinary Kind = iota
	// Long is work on whole collections or on the cluster: consensus, snapshots,
	// transfers. It takes as long as there is data.
	Long
)

// Deadlines are the times given to calls that came without a deadline. 0 means
// none, for each.
type Deadlines struct {
	// Read is for reads of the ordinary kind.
	Read time.Duration
	// Write is for all other classes of the ordinary kind.
	Write time.Duration
	// Long is for the kind of that name, and for methods that nobody has classified.
	Long time.Duration
	// Try is the time of one attempt of a read, so that another can be made while
	// the caller still waits.
	Try time.Duration
}

// DefaultDeadlines returns the origin's 5 s for reads. A write gets 5 minutes,
// the longest that any official SDK (JavaScript's) waits without telling the
// server: anything less would fail bulk loads that succeed without us, and a
// write that was cut off goes on in Qdrant anyway. A snapshot of a large
// collection takes many minutes; an hour is there to end what hangs, no more.
func DefaultDeadlines() Deadlines {
	return Deadlines{Read: 5 * time.Second, Write: 5 * time.Minute, Long: time.Hour, Try: 5 * time.Second}
}

// For returns when a call ends that arrived now: as given by its caller, however
// long or short, else by class and kind. A zero time means no deadline, in both
// directions. The error is [ErrExpired].
func (d Deadlines) For(class Class, kind Kind, now, given time.Time) (time.Time, error) {
	if !given.IsZero() {
		if !given.After(now) {
			return given, ErrExpired
		}
		return given, nil
	}
	span := d.Write
	switch {
	case kind == Long, class == Unknown:
		span = d.Long
	case class == Read:
		span = d.Read
	}
	if span <= 0 {
		return time.Time{}, nil
	}
	return now.Add(span), nil
}

// ForTry returns the time given to an attempt that starts now, of a call that ends
// at deadline (zero: never); 0 when it is all the time that the call has. Only
// reads of the ordinary kind have such a time: to give up an attempt of anything
// else is to lose sight of something that goes on.
func (d Deadlines) ForTry(class Class, kind Kind, now, deadline time.Time) time.Duration {
	if class != Read || kind == Long || d.Try <= 0 {
		return 0
	}
	if !deadline.IsZero() && deadline.Sub(now) <= d.Try {
		return 0
	}
	return d.Try
}
