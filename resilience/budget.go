package resilience

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// oneIn is the share of calls that may be retries, as 1/oneIn: 20 %.
	oneIn = 5
	// minRetrying is how many retries may be under way however few calls are.
	minRetrying = 3
	// minPerSecond is how many retries there may be a second, on average over the
	// window, however few calls there were.
	minPerSecond = 2
	// togetherRecently is how many retries there may be in the window for calls that
	// ended with their connection, however few calls there were: as many as a
	// connection has, whose loss is one failure.
	togetherRecently = 100
	// budgetWindow is how many seconds are recent.
	budgetWindow = 10
	// budgetSlots is the first power of two above it, with room for callers whose
	// idea of now is late.
	budgetSlots = 16
)

// Budget bounds retries by the calls they belong to, so that a sick upstream gets
// at most a fifth more work and not a multiple of it. There is one for all calls
// of the process. A retry may be made while both hold:
//
//   - retries under way, those waiting for their time included, are at most 20 % of
//     the calls in flight, or 3 if that is more (Envoy's retry_budget);
//   - retries started recently are at most 20 % of the calls begun recently, or 2 a
//     second if that is more (Finagle's RetryBudget, a token bucket whose tokens
//     expire).
//
// Calls that end together with their connection are one failure, and it is no sign of
// an upstream that has too much to do. Few others may be in flight then, so the first
// does not bound their retries, and of the second there are at least 100.
//
// Recently is the current second and the nine before it, in whole seconds since
// [NewBudget]: a call deposits a fifth of a token when it begins, which expires 9 to
// 10 s later, and so does a withdrawal. A token is spent when it is taken, even if
// the retry is not made in the end.
//
// Time is what callers say. They may say it late and out of order by a few seconds,
// as concurrent ones do. Begin and End take no lock. Safe for concurrent use.
type Budget struct {
	origin time.Time
	calls  atomic.Int64
	// begun is a ring of seconds: the upper half of each is the second that it is
	// about, the lower half how many calls began in it.
	begun [budgetSlots]atomic.Uint64

	mu       sync.Mutex
	retrying int64
	taken    [budgetSlots]secondCount
}

// secondCount is how often something happened in a second.
type secondCount struct {
	second uint32
	count  uint32
}

// NewBudget returns a budget of which nothing is spent.
func NewBudget(now time.Time) *Budget { return &Budget{origin: now} }

// Begin notes a call, once for all of its attempts. Each is followed by one End.
func (b *Budget) Begin(now time.Time) {
	b.calls.Add(1)
	second := b.second(now)
	slot := &b.begun[second%budgetSlots]
	for {
		old := slot.Load()
		switch held := uint32(old >> 32); {
		case held == second:
			// If the slot gets its next second before the addition, one call counts
			// for a second in which it did not begin: not worth a lock.
			slot.Add(1)
			return
		case held > second:
			return // so late that it is not recent
		}
		if slot.CompareAndSwap(old, uint64(second)<<32|1) {
			return
		}
	}
}

// End notes that a call has its answer. More Ends than Begins panic.
func (b *Budget) End() {
	if b.calls.Add(-1) < 0 {
		panic("resilience: a call ended that had not begun")
	}
}

// Take asks for a retry, before the wait that precedes it. If it may be made, it is
// under way until Return.
func (b *Budget) Take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retrying >= b.mostRetrying() {
		return false
	}
	return b.takeLocked(b.second(now), minPerSecond*budgetWindow)
}

// TakeTogether is Take for a call that ended with its connection.
func (b *Budget) TakeTogether(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.takeLocked(b.second(now), togetherRecently)
}

// mostRetrying bounds the retries under way.
func (b *Budget) mostRetrying() int64 { return max(minRetrying, b.calls.Load()/oneIn) }

// mostTaken bounds those started recently.
func (b *Budget) mostTaken(second uint32, least int64) int64 {
	return max(least, b.recent(second)/oneIn)
}

func (b *Budget) takeLocked(second uint32, least int64) bool {
	if b.takenLocked(second) >= b.mostTaken(second, least) {
		return false
	}
	b.retrying++
	slot := &b.taken[second%budgetSlots]
	if slot.second < second {
		*slot = secondCount{second: second}
	}
	slot.count++
	return true
}

// Return notes that a retry is over, however it ended, or was not made after all.
// More Returns than Takes panic.
func (b *Budget) Return() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retrying == 0 {
		panic("resilience: a retry was returned that had not been taken")
	}
	b.retrying--
}

// BudgetState is a snapshot of a [Budget].
type BudgetState struct {
	// Calls and Retrying are those under way.
	Calls, Retrying int
	// RecentCalls and RecentRetries are those of the last 10 s.
	RecentCalls, RecentRetries int
	// Left is how many more retries may be taken now.
	Left int
}

// State returns a snapshot.
func (b *Budget) State(now time.Time) BudgetState {
	second := b.second(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.takenLocked(second)
	return BudgetState{
		Calls:         int(b.calls.Load()),
		Retrying:      int(b.retrying),
		RecentCalls:   int(b.recent(second)),
		RecentRetries: int(taken),
		Left:          int(max(0, min(b.mostRetrying()-b.retrying, b.mostTaken(second, minPerSecond*budgetWindow)-taken))),
	}
}

// second counts from 1, for 0 is that of slots never used.
func (b *Budget) second(now time.Time) uint32 {
	return uint32(max(now.Sub(b.origin), 0)/time.Second) + 1
}

// recently includes what comes after now: whoever is late is not to overlook what
// others have just done.
func recently(second, now uint32) bool { return second+budgetWindow > now }

func (b *Budget) recent(now uint32) (calls int64) {
	for i := range b.begun {
		slot := b.begun[i].Load()
		if recently(uint32(slot>>32), now) {
			calls += int64(uint32(slot))
		}
	}
	return calls
}

func (b *Budget) takenLocked(now uint32) (retries int64) {
	for _, slot := range b.taken {
		if recently(slot.second, now) {
			retries += int64(slot.count)
		}
	}
	return retries
}
