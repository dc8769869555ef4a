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
	// reserved is how many retries the reserve has at most, and at first: as many calls
	// as the five connections of a default pool carry, which can all be lost at once. A
	// larger pool is there for more calls, and these have tokens of their own.
	reserved = 500
	// budgetWindow is how many seconds are recent.
	budgetWindow = 10
	// budgetSlots is the first power of two above it, with room for callers whose
	// idea of now is late.
	budgetSlots = 16
)

// Budget bounds retries by the calls they belong to, so that a sick upstream gets
// at most a fifth more work, but for the reserve below, and not a multiple of it. There is one for all calls
// of the process. A retry may be made while both hold:
//
//   - retries under way, those waiting for their time included, are at most 20 % of
//     the calls in flight, or 3 if that is more (Envoy's retry_budget);
//   - retries started recently are at most 20 % of the calls begun recently, or 2 a
//     second if that is more (Finagle's RetryBudget, a token bucket whose tokens
//     expire).
//
// Calls that end together with their connection are one failure, and it is no sign of
// an upstream that has too much to do; nor are those that leave a node because it hangs.
// So there is a reserve of 500 retries for them,
// to which each call that the upstream answered well adds a fifth of one again. While it
// lasts neither bound applies to them; afterwards only the second does. An upstream that
// takes connections and drops them gets the reserve, once; one that works and loses
// connections now and then never spends it.
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
	// spent is what the reserve lacks, in parts of a retry of which it has oneIn.
	// Concurrent Ends may find it a few parts below 0, which is as good as 0.
	spent atomic.Int64

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

// End notes that a call is over, and whether it ended well for the upstream: with an
// answer that finds no fault, or the caller's. More Ends than Begins panic.
func (b *Budget) End(well bool) {
	if b.calls.Add(-1) < 0 {
		panic("resilience: a call ended that had not begun")
	}
	if well && b.spent.Load() > 0 { // mostly it is 0, and then nothing is written
		b.spent.Add(-1)
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
	return b.takeLocked(b.second(now))
}

// TakeTogether is Take for a call that ended with its connection, or leaves a node that hangs.
func (b *Budget) TakeTogether(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	second := b.second(now)
	if b.reserve() == 0 {
		return b.takeLocked(second)
	}
	b.spent.Add(oneIn)
	b.grantLocked(second)
	return true
}

// reserve is how many retries it has left.
func (b *Budget) reserve() int64 { return reserved - (max(0, b.spent.Load())+oneIn-1)/oneIn }

// mostRetrying bounds the retries under way.
func (b *Budget) mostRetrying() int64 { return max(minRetrying, b.calls.Load()/oneIn) }

// mostTaken bounds those started recently.
func (b *Budget) mostTaken(second uint32) int64 {
	return max(minPerSecond*budgetWindow, b.recent(second)/oneIn)
}

func (b *Budget) takeLocked(second uint32) bool {
	if b.takenLocked(second) >= b.mostTaken(second) {
		return false
	}
	b.grantLocked(second)
	return true
}

// grantLocked counts a retry, whatever pays for it: what is drawn from the reserve is
// not there for other failures, too.
func (b *Budget) grantLocked(second uint32) {
	b.retrying++
	slot := &b.taken[second%budgetSlots]
	if slot.second < second {
		*slot = secondCount{second: second}
	}
	slot.count++
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
	// Reserve is how many more there are for calls that end with their connection.
	Reserve int
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
		Left:          int(max(0, min(b.mostRetrying()-b.retrying, b.mostTaken(second)-taken))),
		Reserve:       int(b.reserve()),
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
