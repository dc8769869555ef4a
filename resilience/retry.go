package resilience

import (
	"math"
	"math/rand/v2"
	"time"
)

// maxFree is how many attempts of one call may follow never-sent ones at once and
// for free. Twice in a row is bad luck with connections that are being ended; after
// that they are repeated like anything else.
const maxFree = 2

// NoDeadline is the time left to a call that may take for ever.
const NoDeadline time.Duration = math.MaxInt64

// Policy says how often and how fast failed attempts are repeated. What may be
// repeated at all is in a table behind it, by cause and class, and is no setting.
// It is read-only once in use, and then safe for concurrent use.
type Policy struct {
	// Max is how many retries a call has, its first attempt and free ones not
	// counted; 0 means none.
	Max int
	// Base is the longest wait before the first retry; it doubles with each.
	Base time.Duration
	// Cap is the longest wait before any retry, and what is waited about for a
	// cluster without a leader. A pushback may be longer.
	Cap time.Duration
	// InternalWrites makes an IdempotentWrite that met INTERNAL be repeated once,
	// elsewhere, like a Read. It may have been applied, and may overwrite what others
	// have written since.
	InternalWrites bool
	// LimitedWrites makes a rate-limited IdempotentWrite wait and be repeated, like
	// a Read. On some of several shards it may have been applied.
	LimitedWrites bool
	// Rand returns a number in [0, 1); nil means that of math/rand/v2. It must be
	// safe for concurrent use.
	Rand func() float64
}

// DefaultPolicy returns the origin's numbers: 3 retries after up to 0.5, 1 and 2 s.
func DefaultPolicy() Policy {
	return Policy{Max: 3, Base: 500 * time.Millisecond, Cap: 5 * time.Second}
}

// NotRetried says why a failed attempt was the last one. It is a metric label; the
// set is closed.
type NotRetried string

// The reasons.
const (
	Permanent     NotRetried = "permanent"      // repeating does not help any class of method
	NotIdempotent NotRetried = "not_idempotent" // it would help, but not safely for this class
	Disabled      NotRetried = "disabled"       // there are no retries ([Policy].Max is 0)
	Attempts      NotRetried = "attempts"       // as often as it may be repeated, it was
	OverBudget    NotRetried = "budget"         // too many retries at present ([Budget])
	OutOfTime     NotRetried = "deadline"       // the deadline has passed, or would before the wait is over
	TooLarge      NotRetried = "too_large"      // the request was not kept
	Answering     NotRetried = "answered"       // the caller has part of an answer
	ToldToStop    NotRetried = "pushback"       // the upstream said not to come again
	Gone          NotRetried = "caller_gone"    // nobody waits for the answer
	OwnRefusal    NotRetried = "refused"        // the sidecar refused the attempt, and would again
)

// EveryNotRetried returns all of the reasons.
func EveryNotRetried() []NotRetried {
	return []NotRetried{
		Permanent, NotIdempotent, Disabled, Attempts, OverBudget, OutOfTime, TooLarge, Answering, ToldToStop, Gone, OwnRefusal,
	}
}

// GaveUp reports whether the sidecar stopped on purpose to repeat what could be
// repeated. Then the answer is to carry grpc-retry-pushback-ms: -1, lest a caller
// that retries multiplies what was tried already. Of a deadline it need not be told.
func (r NotRetried) GaveUp() bool { return r == Attempts || r == OverBudget }

// Situation is what is known about the call when an attempt of it has failed.
type Situation struct {
	Class Class
	// Left is the time until the call's deadline, [NoDeadline] if it has none.
	Left time.Duration
	// CallerGone: nobody waits for the answer any more.
	CallerGone bool
	// Answering: part of an answer has been given to the caller.
	Answering bool
	// TooLarge: the request, or part of it, was not kept and cannot be sent again.
	TooLarge bool
	// Forsaken: the attempt was given up because its endpoint hangs while another is
	// well, which needs no time to recover.
	Forsaken bool
}

// Decision is what to do after a failed attempt. The zero value is to do nothing,
// which is also what is decided about success.
type Decision struct {
	// Again says to make another attempt after Wait, holding no place in
	// [Admission] meanwhile.
	Again bool
	Wait  time.Duration
	// Elsewhere asks for another connection, and another endpoint if there is one
	// and the method may be asked anywhere.
	Elsewhere bool
	// Free says that it takes nothing from the [Budget]: the upstream has seen
	// nothing of the call yet.
	Free bool
	// Reason says why not Again; "" if Again.
	Reason NotRetried

	rule   rule
	pushed bool
}

// Tries counts a call's attempts. It is a value to embed in the call's record; the
// zero value is a call before its first attempt.
type Tries struct {
	retries, free uint8
	// backoffs counts the retries since the upstream last named a wait itself.
	backoffs uint8
	// once has a bit for each rule that lets a call be repeated once.
	once uint8
}

// Start notes that the attempt is made that d asked for. Call it when it is
// certain, the [Budget] included.
func (t *Tries) Start(d Decision) {
	if d.Free {
		t.free++
		return
	}
	t.retries++
	t.backoffs++
	if d.pushed {
		t.backoffs = 0
	}
	t.once |= d.rule.bit()
}

// Carry adds attempts that were made before, for a call that this one repeats.
func (t *Tries) Carry(attempts int) {
	t.retries = uint8(min(int(t.retries)+attempts, math.MaxUint8))
}

// Retries is how many attempts came before this one that the upstream may have
// seen: the value of grpc-previous-rpc-attempts, to be sent unless 0.
func (t *Tries) Retries() int { return int(t.retries) }

// Decide says what to do after an attempt that ended in v. It changes nothing.
func (p *Policy) Decide(t *Tries, v Verdict, s Situation) Decision {
	if v.Cause == OK {
		return Decision{}
	}
	rule, reason := p.rule(v.Cause, s.Class)
	if reason == "" {
		reason = s.obstacle()
	}
	if reason != "" {
		return Decision{Reason: reason}
	}
	if rule == atOnce && t.free < maxFree {
		return Decision{Again: true, Elsewhere: true, Free: true}
	}
	switch {
	case v.Pushback.Stop:
		return Decision{Reason: ToldToStop}
	case p.Max == 0:
		return Decision{Reason: Disabled}
	case int(t.retries) >= p.Max, t.once&rule.bit() != 0, t.retries == math.MaxUint8:
		return Decision{Reason: Attempts}
	}
	d := Decision{Again: true, Elsewhere: rule != asTold, rule: rule, pushed: v.Pushback.Asked}
	if !s.Forsaken {
		d.Wait = p.wait(t, rule, v.Pushback)
	}
	if d.Wait >= s.Left {
		return Decision{Reason: OutOfTime}
	}
	return d
}

// obstacle is what keeps a call from being repeated that its rule would repeat.
func (s Situation) obstacle() NotRetried {
	switch {
	case s.CallerGone:
		return Gone
	case s.Left <= 0:
		return OutOfTime
	case s.TooLarge: // which is why the answer, if any, could not be held back
		return TooLarge
	case s.Answering:
		return Answering
	default:
		return ""
	}
}

// wait is how long before the next attempt.
func (p *Policy) wait(t *Tries, rule rule, pushback Pushback) time.Duration {
	if pushback.Asked {
		return pushback.Wait
	}
	random := p.Rand
	if random == nil {
		random = rand.Float64
	}
	if rule == onceSlowly {
		// The server has already waited for a leader, for ten seconds if not told
		// otherwise: to ask again soon is to ask in vain.
		return time.Duration(float64(p.Cap) * (1 + random()) / 2)
	}
	limit := min(p.Base, p.Cap)
	for range t.backoffs {
		if limit >= p.Cap/2 {
			limit = p.Cap
			break
		}
		limit *= 2
	}
	return time.Duration(float64(limit) * random())
}
