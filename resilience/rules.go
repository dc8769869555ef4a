package resilience

// rule is how an attempt is repeated.
type rule uint8

const (
	never rule = iota
	// atOnce: on another connection, and free as often as [maxFree] says; after that
	// like backoff.
	atOnce
	// backoff: after a random wait that grows, elsewhere.
	backoff
	// once: like backoff, one time in a call.
	once
	// onceSlowly: after a long wait, one time in a call.
	onceSlowly
	// asTold: after the wait that the upstream named. Not elsewhere: limits are there
	// to be kept, and another node has its own.
	asTold
)

// bit marks in [Tries] the rules that hold one time.
func (r rule) bit() uint8 {
	if r == once || r == onceSlowly {
		return 1 << r
	}
	return 0
}

// rules is what may be repeated: the table "failure of an attempt", by class. What
// has no row is never repeated. UnsafeWrite is also the column of Unknown.
var rules = [causes]struct{ read, idempotent, unsafe rule }{
	NeverSent:      {atOnce, atOnce, atOnce},
	Unreachable:    {atOnce, atOnce, atOnce},
	MissingMessage: {backoff, backoff, backoff},
	NoLeader:       {never, onceSlowly, onceSlowly},
	Unavailable:    {backoff, backoff, never},
	Lost:           {backoff, backoff, never},
	Internal:       {once, never, never},
	NodeBehind:     {once, never, never},
	RateLimited:    {asTold, never, never},
	TryTimeout:     {backoff, never, never},
}

// rule looks the table up; the reason is why the rule is never.
func (p *Policy) rule(cause Cause, class Class) (rule, NotRetried) {
	row := rules[cause]
	found := row.unsafe
	switch class {
	case Read:
		found = row.read
	case IdempotentWrite:
		found = row.idempotent
		internal := cause == Internal || cause == NodeBehind
		if p.InternalWrites && internal || p.LimitedWrites && cause == RateLimited {
			found = row.read
		}
	case UnsafeWrite, Unknown:
	}
	switch {
	case found != never:
		return found, ""
	case row.read != never:
		return never, NotIdempotent
	case cause == CallerGone:
		return never, Gone
	case cause == DeadlinePassed:
		return never, OutOfTime
	case cause == Refused:
		return never, OwnRefusal
	default:
		return never, Permanent
	}
}
