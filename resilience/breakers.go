package resilience

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// A breaker opens when less than breakerMinPercent of the attempts that ended
	// within breakerWindow succeeded, and they were breakerMinCalls or more. Window
	// and percentage are linkerd's; so few calls as its five say too little here.
	breakerWindow     = 10 * time.Second
	breakerBucket     = time.Second
	breakerMinCalls   = 20
	breakerMinPercent = 80

	// It stays open for between half of and all of a time that starts with minOpen
	// and doubles up to maxOpen, the origin's fixed time.
	minOpen = time.Second
	maxOpen = time.Minute
	// maxOpenAlone is the longest when there is no other endpoint: whoever has
	// nowhere else to go must look again soon.
	maxOpenAlone = 5 * time.Second

	// probeTime is how long a probe keeps others out. Its result counts later, too.
	probeTime = 5 * time.Second
)

// BreakerConfig is what can be chosen about breakers.
type BreakerConfig struct {
	// Threshold is how many failures in a row open a breaker; 0 turns breakers off.
	Threshold int
	// OnChange, if not nil, is told of each change of state, by the goroutine that
	// caused it and under no lock. Changes that follow each other closely may be told
	// in another order.
	OnChange func(Change)
	// Rand returns a number in [0, 1); nil means that of math/rand/v2. It must be
	// safe for concurrent use.
	Rand func() float64
}

// Breakers are the breakers of one endpoint, one for each method: what fails is
// often one kind of work, and the rest must go on. An attempt asks [Breakers.Allow]
// for a [Permit] and says with [Permit.Done] how it went. Health checks and whatever
// else is to reach a sick endpoint simply do not ask.
//
// A breaker opens after so many failures in a row, however long that took, or at a
// success rate below 80 % of at least 20 attempts that ended within 10 s. Attempts
// under way then finish, and no longer count. It is open for 0.5 to 1 s at first,
// and for longer each time a probe fails, up to a minute. Then it is half-open: one
// attempt at a time passes, and the first that says something about the endpoint
// closes it, or opens it again. One that stays out for 5 s makes room for the next.
//
// Safe for concurrent use.
type Breakers struct {
	endpoint string
	// threshold is 0 while they are off.
	threshold atomic.Int64
	onChange  func(Change)
	rand      func() float64
	alone     atomic.Bool
	breakers  []breaker
}

// NewBreakers returns closed breakers for an endpoint, whose name is for errors.
// The place of a method in methods is its number from then on.
func NewBreakers(cfg BreakerConfig, endpoint string, methods []string) *Breakers {
	s := &Breakers{endpoint: endpoint, onChange: cfg.OnChange, rand: cfg.Rand, breakers: make([]breaker, len(methods))}
	s.threshold.Store(int64(cfg.Threshold))
	if s.rand == nil {
		s.rand = rand.Float64
	}
	for i, method := range methods {
		s.breakers[i].prepare(s, method)
	}
	return s
}

// SetThreshold changes how many failures in a row open a breaker; 0 turns breakers
// off, and closes them. What was counted so far counts.
func (s *Breakers) SetThreshold(threshold int) {
	s.threshold.Store(int64(threshold))
	if threshold > 0 {
		return
	}
	for i := range s.breakers {
		s.breakers[i].reset()
	}
}

// Allow asks whether an attempt may be made. The error is an [*OpenError].
func (s *Breakers) Allow(method int) (Permit, error) {
	if s.threshold.Load() == 0 {
		return Permit{}, nil
	}
	return s.breakers[method].allow()
}

// Permit is one attempt's leave. It holds nothing that has to be given back: one
// that is forgotten delays the next probe, at most.
type Permit struct {
	b     *breaker
	epoch uint64
	// probe is the number of the probe, 0 for other attempts.
	probe uint64
}

// Done says how the attempt went, once. Deferred, with a Fault that is only set
// when there is an outcome, it makes a panic an [Unproven] one. If the breaker has
// opened or closed since Allow, it is ignored. The zero Permit ignores it always.
func (p Permit) Done(fault Fault) {
	if p.b != nil {
		p.b.done(p, fault)
	}
}

// SetAlone says whether this is the only endpoint, which bounds the time open, that
// of breakers already open too, to 5 s.
func (s *Breakers) SetAlone(alone bool) { s.alone.Store(alone) }

// Recovered ends the time open of all breakers, for the endpoint was seen to get
// well: the next attempt of each method is a probe. It says less than a probe that
// succeeds, so the next time open, if any, is as long as if it had not been called.
// It is for the moment of recovery; called all the time it would undo the growth.
func (s *Breakers) Recovered() {
	for i := range s.breakers {
		s.breakers[i].recovered()
	}
}

// Status returns the present state of each breaker, in the order of the methods;
// nil when breakers are off. A state here is never out of date: a breaker whose
// time open is over is half-open, though no attempt has come to see it.
func (s *Breakers) Status() []Status {
	if s.threshold.Load() == 0 {
		return nil
	}
	all := make([]Status, len(s.breakers))
	for i := range s.breakers {
		all[i] = s.breakers[i].status(time.Now())
	}
	return all
}

func (s *Breakers) tell(change *Change) {
	if change != nil && s.onChange != nil {
		s.onChange(*change)
	}
}

// openTime returns how long to be open after so many openings in a row: equal
// jitter, so that sidecars do not come back together, and never at once.
func (s *Breakers) openTime(openings int) time.Duration {
	limit := maxOpen
	if openings < 6 { // 1 s doubled six times is beyond a minute
		limit = minOpen << openings
	}
	return limit/2 + time.Duration(s.rand()*float64(limit/2))
}

// State is what a breaker does with attempts.
type State uint8

// The states.
const (
	Closed   State = iota // all pass
	HalfOpen              // one passes, to see
	Open                  // none passes
)

// String returns the state as metrics and logs show it.
func (s State) String() string { return [...]string{"closed", "half-open", "open"}[s] }

// Status is a snapshot of one breaker.
type Status struct {
	Method string
	State  State
	// Failures is how many there were in a row.
	Failures int
	// Remaining is the time until it is half-open, while it is open.
	Remaining time.Duration
}

// Change is a change of a breaker's state.
type Change struct {
	Endpoint, Method string
	From, To         State
	// Failures is how many there were in a row; less than the threshold when a
	// breaker opens because of the success rate.
	Failures int
	// OpenFor is for how long, when To is Open.
	OpenFor time.Duration
}

// OpenError says that a breaker did not let an attempt through.
type OpenError struct {
	Endpoint, Method string
	// Remaining is the time after which to ask again.
	Remaining time.Duration
	// Probing says that an attempt is under way that may end it sooner.
	Probing bool
}

// Error names the endpoint, the method and the time.
func (e *OpenError) Error() string {
	wait := e.Remaining.Round(time.Millisecond)
	if e.Probing {
		return fmt.Sprintf("%s failed too often at %s: one call is trying it again, others for %v at most are not sent", e.Method, e.Endpoint, wait)
	}
	return fmt.Sprintf("%s failed too often at %s: no call is sent there for %v", e.Method, e.Endpoint, wait)
}
