package resilience

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

// maxRemembered is how many calls are remembered that were given up on. Of more within a window the oldest are
// forgotten: their repetitions begin anew.
const maxRemembered = 512

// GivenUp is a call that was given up on.
type GivenUp struct {
	// Attempts is how many the upstream may have seen, those of the calls included that this one repeated.
	Attempts int
	// Code and Message are how the last one ended.
	Code    codes.Code
	Message string
}

// Repeats remembers for a moment the calls that were given up on. Some SDKs make a failed call again at once, whatever
// they were told; that is one call of their user's, so its attempts are counted together. It costs nothing while no
// call fails. Its methods may be called concurrently, those of a nil Repeats do nothing.
type Repeats struct {
	window time.Duration
	// until is when the last entry is too old, in nanoseconds of Unix time.
	until atomic.Int64

	mu      sync.Mutex
	entries [maxRemembered]remembered // a ring
	next    int
}

type remembered struct {
	key   uint64
	until time.Time
	call  GivenUp
}

// NewRepeats returns a memory of so long; nil, which remembers nothing, for 0.
func NewRepeats(window time.Duration) *Repeats {
	if window <= 0 {
		return nil
	}
	return &Repeats{window: window}
}

// Any reports whether anything is remembered. If not, there is no need to compute a key.
func (r *Repeats) Any(now time.Time) bool { return r != nil && now.UnixNano() < r.until.Load() }

// Note remembers a call. The key stands for all that makes two calls the same.
func (r *Repeats) Note(key uint64, call GivenUp, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	until := now.Add(r.window)
	r.entries[r.next] = remembered{key: key, until: until, call: call}
	r.next = (r.next + 1) % maxRemembered
	r.until.Store(until.UnixNano())
}

// Recall returns the newest call of that key, if one is remembered.
func (r *Repeats) Recall(key uint64, now time.Time) (GivenUp, bool) {
	if r == nil {
		return GivenUp{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range maxRemembered {
		e := &r.entries[(r.next-1-i+2*maxRemembered)%maxRemembered]
		if !now.Before(e.until) {
			break // all that are older are too old as well
		}
		if e.key == key {
			return e.call, true
		}
	}
	return GivenUp{}, false
}

// ExhaustedError says that a call was not sent because the same call had all its attempts a moment ago.
type ExhaustedError struct{ GivenUp }

// Error is a clause.
func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("not sent again: the same call has just failed after %d attempts, the last with %v: %s", e.Attempts, e.Code, e.Message)
}
