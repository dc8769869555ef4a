package resilience

import "time"

// waiter is a call in the queue of an [Admission].
type waiter struct {
	prev, next *waiter
	// out is set when it has left the queue, by either end.
	out bool
	// served is closed when it has been given a place, or is refused one.
	served chan struct{}
	// refused is why it gets none; nil when it got one.
	refused error
}

// waiters is a queue that can be left from its middle. Not safe for concurrent use.
type waiters struct {
	first, last *waiter
	len         int
}

func (q *waiters) push(w *waiter) {
	w.prev = q.last
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.len++
}

func (q *waiters) pop() *waiter {
	w := q.first
	q.remove(w)
	return w
}

func (q *waiters) remove(w *waiter) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.out = nil, nil, true
	q.len--
}

// enoughServed is how many must have been served at least before the pace says
// anything.
const enoughServed = 8

// pace measures how fast a queue moves, from when its first waiter came to when it
// is empty again. What was measured the last time is worth nothing: it would turn
// everyone away from an upstream that has become fast since, and as nobody would
// wait, nothing would ever correct it.
//
// Calls that began together end together, so places become free in batches, with
// long times between and none within. A mean over less than as many as there are
// places would be that of a part of a batch.
type pace struct {
	last     time.Time
	places   int
	interval time.Duration
	samples  int
}

// served notes that the first in the queue has been served.
func (p *pace) served(now time.Time) {
	sample := now.Sub(p.last)
	p.last = now
	p.samples++
	// A mean in which the newest weigh most, but no more than their equal share of a
	// batch.
	p.interval += (sample - p.interval) / time.Duration(min(p.samples, p.enough()))
}

func (p *pace) enough() int { return max(enoughServed, p.places) }

// expect returns how long a newcomer would wait behind others, 0 if nobody knows.
func (p *pace) expect(ahead int) time.Duration {
	if p.samples < p.enough() {
		return 0
	}
	return p.interval * time.Duration(ahead+1)
}
