package resilience

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// AdmissionConfig bounds the calls in flight and those that wait to be.
type AdmissionConfig struct {
	// Limit is how many may be in flight; 0 means any number.
	Limit int
	// Queue is how many may wait; 0 means none.
	Queue int
	// MaxWait is how long one may wait.
	MaxWait time.Duration
}

// DefaultAdmissionConfig lets as many wait as may be in flight, for a second: long
// enough for a burst or for connections to come back, and short enough to leave
// most of a read's five seconds for the read.
func DefaultAdmissionConfig(limit int) AdmissionConfig {
	return AdmissionConfig{Limit: limit, Queue: limit, MaxWait: time.Second}
}

// Admission bounds how many calls are in flight. Those above wait in a queue that
// is bounded in length and in time, first come, first served. To serve the newest
// first would keep the median low in overload, but at the price of those passed
// over, who are calls of the same application; and the usual case for it, a queue
// full of calls that nobody waits for any more, does not arise: who leaves is
// taken out, and who could not be served in time is not let in.
//
// While there is room it costs two atomic operations and no lock. Safe for
// concurrent use.
type Admission struct {
	// limit is how many may be in flight now: none more while paused.
	limit    atomic.Int64
	inFlight atomic.Int64
	// waiting is the length of the queue, plus those about to join it: a Release that
	// sees 0 here has been seen by whoever joins later.
	waiting atomic.Int64

	mu      sync.Mutex
	places  int // limit while not paused
	most    int // of the queue
	maxWait time.Duration
	queue   waiters
	pace    pace
	pause   pause
}

// NewAdmission returns an Admission with all its places free.
func NewAdmission(cfg AdmissionConfig) *Admission {
	a := new(Admission)
	a.SetMaxWait(cfg.MaxWait)
	a.Resize(cfg.Limit, cfg.Queue)
	return a
}

// SetMaxWait changes how long one may wait that comes from now on.
func (a *Admission) SetMaxWait(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.maxWait = d
}

// Resize changes how many may be in flight, 0 meaning any number, and how many may
// wait. Who has a place or waits already keeps it.
func (a *Admission) Resize(limit, queue int) {
	if limit == 0 {
		limit = math.MaxInt
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.places, a.most = limit, queue
	if !a.pause.on() {
		a.limit.Store(int64(limit))
		a.admitLocked()
	}
}

// TryAcquire takes a place as [Admission.Acquire] does, but only if it need not wait
// for it. It reports whether it has one.
func (a *Admission) TryAcquire() bool { return a.waiting.Load() == 0 && a.take() }

// Acquire takes a place, and waits for one if it must. The caller gives it back
// with one Release, and may do so before waiting for something else and come
// again. The error is an [*OverloadError], or the cause of ctx's end; ctx is not
// looked at while there is room.
func (a *Admission) Acquire(ctx context.Context) error {
	if a.TryAcquire() {
		return nil
	}
	return a.wait(ctx)
}

// Release gives a place back. More Releases than Acquires panic.
func (a *Admission) Release() {
	if a.inFlight.Add(-1) < 0 {
		panic("resilience: a place was released that nobody held")
	}
	if a.waiting.Load() > 0 {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.admitLocked()
	}
}

// take takes a place if there is one.
func (a *Admission) take() bool {
	for {
		n := a.inFlight.Load()
		if n >= a.limit.Load() {
			return false
		}
		if a.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (a *Admission) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w, err := a.join(ctx)
	if w == nil {
		return err
	}
	for {
		if over, err := a.await(ctx, w); over {
			return err
		}
	}
}

// await waits until w is served or gives up, or until a pause has begun or ended,
// which changes how long it may wait.
func (a *Admission) await(ctx context.Context, w *waiter) (over bool, err error) {
	a.mu.Lock()
	resumed, maxWait := a.pause.resumed, a.maxWait
	a.mu.Unlock()
	var late <-chan time.Time
	if resumed == nil {
		timer := time.NewTimer(maxWait)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-w.served:
		return true, w.refused
	case <-resumed:
		return false, nil
	case <-ctx.Done():
		paused, served := a.leave(w)
		if served && w.refused == nil {
			a.Release()
		}
		if paused {
			return true, fmt.Errorf("%w: %w", ErrPaused, context.Cause(ctx))
		}
		return true, context.Cause(ctx)
	case <-late:
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case w.out:
			return true, w.refused
		case a.pause.on():
			return false, nil
		}
		a.dropLocked(w)
		return true, &OverloadError{Reason: QueuedTooLong, Waited: maxWait}
	}
}

// join puts the caller into the queue. It returns nil, nil if there was a place
// after all.
func (a *Admission) join(ctx context.Context) (*waiter, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting.Add(1)
	if a.queue.len == 0 && a.take() {
		a.waiting.Add(-1)
		return nil, nil
	}
	now := time.Now()
	if a.queue.len == 0 {
		a.pace = pace{last: now, places: a.places}
	}
	if err := a.rejectLocked(ctx, now); err != nil {
		a.waiting.Add(-1)
		return nil, err
	}
	w := &waiter{served: make(chan struct{})}
	a.queue.push(w)
	return w, nil
}

// rejectLocked turns away at once who could not be served.
func (a *Admission) rejectLocked(ctx context.Context, now time.Time) error {
	if a.pause.refusing {
		return ErrEnding
	}
	if a.queue.len >= a.most {
		return &OverloadError{Reason: QueueFull, Ahead: a.queue.len, Paused: a.pause.on()}
	}
	if a.pause.on() {
		return nil // nobody knows for how long
	}
	expected := a.pace.expect(a.queue.len)
	if expected > a.maxWait {
		return &OverloadError{Reason: QueuedTooLong, Ahead: a.queue.len, Expected: expected}
	}
	if deadline, ok := ctx.Deadline(); ok && now.Add(expected).After(deadline) {
		return &OverloadError{Reason: QueuedPastDeadline, Ahead: a.queue.len, Expected: expected}
	}
	return nil
}

// admitLocked gives the free places to those who wait.
func (a *Admission) admitLocked() {
	for a.queue.len > 0 && a.take() {
		a.waiting.Add(-1)
		a.pace.served(time.Now())
		close(a.queue.pop().served)
	}
}

// leave takes w out of the queue, unless it has been served. It says whether that
// was in a pause.
func (a *Admission) leave(w *waiter) (paused, served bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.out {
		return false, true
	}
	a.dropLocked(w)
	return a.pause.on(), false
}

func (a *Admission) dropLocked(w *waiter) {
	a.queue.remove(w)
	a.waiting.Add(-1)
}

// AdmissionState is a snapshot of an [Admission].
type AdmissionState struct {
	// InFlight and Waiting are the calls; Limit is the bound of the first, 0 for none.
	InFlight, Waiting, Limit int
}

// State returns a snapshot.
func (a *Admission) State() AdmissionState {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := AdmissionState{InFlight: int(a.inFlight.Load()), Waiting: a.queue.len, Limit: a.places}
	if s.Limit == math.MaxInt {
		s.Limit = 0
	}
	return s
}

// OverloadReason says why a call was turned away. It is a metric label; the set is
// closed.
type OverloadReason string

// The reasons.
const (
	QueueFull          OverloadReason = "queue_full" // as many wait as may
	QueuedTooLong      OverloadReason = "queue_age"  // it waited as long as it may, or would have
	QueuedPastDeadline OverloadReason = "deadline"   // it would have waited past its deadline
)

// EveryOverloadReason returns all of the reasons.
func EveryOverloadReason() []OverloadReason {
	return []OverloadReason{QueueFull, QueuedTooLong, QueuedPastDeadline}
}

// OverloadError says that more calls came than there are places.
type OverloadError struct {
	Reason OverloadReason
	// Ahead is how many waited already, when the call was turned away at once.
	Ahead int
	// Waited is how long the call did, 0 when it was turned away at once.
	Waited time.Duration
	// Expected is how long it would have waited, where that is why.
	Expected time.Duration
	// Paused says that they wait for the end of a pause.
	Paused bool
}

// Error says what there is too much of.
func (e *OverloadError) Error() string {
	switch {
	case e.Paused:
		return fmt.Sprintf("calls are paused, and as many wait as may (%d)", e.Ahead)
	case e.Reason == QueueFull:
		return fmt.Sprintf("too many calls at once: as many wait as may (%d)", e.Ahead)
	case e.Expected > 0:
		expected := e.Expected.Round(time.Millisecond)
		if e.Reason == QueuedPastDeadline {
			return fmt.Sprintf("too many calls at once: this one would wait %v, past its deadline", expected)
		}
		return fmt.Sprintf("too many calls at once: this one would wait %v", expected)
	default:
		return fmt.Sprintf("too many calls at once: this one waited %v", e.Waited)
	}
}
