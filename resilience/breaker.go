package resilience

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// breaker is one method's breaker at one endpoint.
//
// gobreaker counts and moves between the states. Its door is not used: it is told
// of an attempt when that has ended, all at once. Told at the beginning, it would
// forget attempts that take longer than its window, which are the ones of a server
// that hangs, and would wait for ever for the end of a probe that got lost. Nor is
// its timer used, which knows one fixed time: it is set to the least possible, and
// nobody asks until the open time that is kept here is over.
type breaker struct {
	set    *Breakers
	method string

	// epoch is the number of the present state, changed when an attempt's outcome
	// can no longer speak about it; the lowest bit is set while not closed. It is
	// written under mu.
	epoch atomic.Uint64

	mu      sync.Mutex
	machine *gobreaker.CircuitBreaker[struct{}]
	// state mirrors the machine's. To ask the machine would be to move it.
	state State
	// failures counts those in a row. The machine's own count forgets what leaves
	// its window, so that few calls would never open it.
	failures int
	// opened is when it opened last, for openFor; openings counts how often it did
	// since it was closed.
	opened   time.Time
	openFor  time.Duration
	openings int
	// probe is the number of the attempt that is let through to see, 0 for none;
	// until probeEnds no other is. probes numbers them.
	probe, probes uint64
	probeEnds     time.Time
}

// leastOpen is the machine's own open time, and so the least of ours.
const leastOpen = time.Nanosecond

func (b *breaker) prepare(set *Breakers, method string) {
	b.set, b.method = set, method
	b.renew()
}

func (b *breaker) renew() {
	b.machine = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:   1,
		Interval:      breakerWindow,
		BucketPeriod:  breakerBucket,
		Timeout:       leastOpen,
		ReadyToTrip:   b.tripped,
		OnStateChange: b.mirror,
	})
}

// tripped runs under the machine's lock, and ours.
func (b *breaker) tripped(counts gobreaker.Counts) bool {
	calls := counts.TotalSuccesses + counts.TotalFailures
	threshold := b.set.threshold.Load()
	if threshold == 0 { // turned off since the attempt began
		return false
	}
	return int64(b.failures) >= threshold ||
		calls >= breakerMinCalls && counts.TotalSuccesses*100 < calls*breakerMinPercent
}

// mirror runs under the machine's lock, and ours: it must not ask the machine
// anything, nor call out.
func (b *breaker) mirror(_ string, _, to gobreaker.State) {
	b.state = [...]State{gobreaker.StateClosed: Closed, gobreaker.StateHalfOpen: HalfOpen, gobreaker.StateOpen: Open}[to]
}

// outcomes for the machine: functions that exist already, for no allocation.
var errFailed = errors.New("failed")

func succeeded() (none struct{}, err error) { return none, nil }

func failed() (none struct{}, err error) { return none, errFailed }

func (b *breaker) allow() (Permit, error) {
	if epoch := b.epoch.Load(); epoch&1 == 0 {
		return Permit{b: b, epoch: epoch}, nil
	}
	return b.allowProbe()
}

// allowProbe lets one attempt through once the open time is over, and another one
// if nothing is heard of it.
func (b *breaker) allowProbe() (Permit, error) {
	now := time.Now()
	b.mu.Lock()
	if b.state == Closed {
		p := Permit{b: b, epoch: b.epoch.Load()}
		b.mu.Unlock()
		return p, nil
	}
	ends := b.opened // long ago, when half-open: what lengthens the open time now comes too late
	if b.state == Open {
		ends = b.endsLocked()
	} else if b.probe != 0 {
		ends = b.probeEnds
	}
	if !now.After(ends) {
		err := &OpenError{Endpoint: b.set.endpoint, Method: b.method, Remaining: ends.Sub(now), Probing: b.probe != 0}
		b.mu.Unlock()
		return Permit{}, err
	}
	before := b.state
	b.machine.State() // moves it from open to half-open
	b.probes++
	b.probe = b.probes
	b.probeEnds = now.Add(probeTime)
	p := Permit{b: b, epoch: b.epoch.Load(), probe: b.probe}
	change := b.movedLocked(before)
	b.mu.Unlock()
	b.set.tell(change)
	return p, nil
}

func (b *breaker) done(p Permit, fault Fault) {
	b.mu.Lock()
	if b.epoch.Load() != p.epoch {
		b.mu.Unlock()
		return
	}
	if p.probe != 0 && p.probe == b.probe {
		b.probe = 0
	}
	before := b.state
	switch {
	case fault == Unproven, fault == Aside && before == Closed:
	case fault == Upstream:
		b.failures++
		_, _ = b.machine.Execute(failed)
	default:
		// Aside too: the endpoint answers. Waiting for a probe that clears it fully
		// would keep it half-open for as long as another node is down.
		b.failures = 0
		_, _ = b.machine.Execute(succeeded)
	}
	change := b.movedLocked(before)
	b.mu.Unlock()
	b.set.tell(change)
}

// movedLocked does what follows from a change of the machine's state, if there was
// one.
func (b *breaker) movedLocked(before State) *Change {
	if b.state == before {
		return nil
	}
	change := &Change{Endpoint: b.set.endpoint, Method: b.method, From: before, To: b.state, Failures: b.failures}
	switch b.state {
	case Open:
		b.opened = time.Now() // not before the machine's own idea of it
		b.openFor = b.set.openTime(b.openings)
		b.openings++
		b.probe = 0
		b.epoch.Store((b.epoch.Load()>>1+1)<<1 | 1)
		change.OpenFor = b.endsLocked().Sub(b.opened)
	case Closed:
		b.openings = 0
		b.probe = 0
		b.epoch.Store((b.epoch.Load()>>1 + 1) << 1)
	case HalfOpen: // the caller has begun the probe
	}
	return change
}

// endsLocked returns when the open time ends.
func (b *breaker) endsLocked() time.Time {
	openFor := b.openFor
	if b.set.alone.Load() {
		openFor = min(openFor, maxOpenAlone)
	}
	return b.opened.Add(max(openFor, leastOpen))
}

// recovered ends the open time, and the wait for a probe.
func (b *breaker) recovered() {
	if b.epoch.Load()&1 == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.openFor = 0
	b.probe = 0
}

// reset forgets everything.
func (b *breaker) reset() {
	b.mu.Lock()
	before := b.state
	b.renew()
	b.state, b.failures = Closed, 0
	change := b.movedLocked(before)
	b.mu.Unlock()
	b.set.tell(change)
}

func (b *breaker) status(now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{Method: b.method, State: b.state, Failures: b.failures}
	if s.State == Open {
		s.Remaining = b.endsLocked().Sub(now)
		if s.Remaining < 0 {
			s.State, s.Remaining = HalfOpen, 0
		}
	}
	return s
}
