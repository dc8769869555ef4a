package proxy

import (
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// Rules are the part of a [Config] that may change while calls are under way. A call
// is under those that held when it came, all of its attempts included.
type Rules struct {
	APIKey string
	// Resilience stays nil if it was, and is not nil otherwise: whether there is a
	// policy cannot change.
	Resilience *Resilience
	MinReady   int
}

// rules are [Rules] as calls need them. They are replaced as a whole and never
// changed, so that it costs a call no lock to be under them.
type rules struct {
	apiKey     string
	minReady   int
	deadlines  resilience.Deadlines
	late       [method.LongDeadline + 1]error // by kind, nil for no deadline of ours
	policy     resilience.Policy
	keepWrites bool
	// of is what they were made of, zero without a policy.
	of Resilience
}

func newRules(r Rules) *rules {
	made := &rules{apiKey: r.APIKey, minReady: max(1, r.MinReady)}
	if p := r.Resilience; p != nil {
		made.of = *p
		made.deadlines, made.late = p.Deadlines, newLate(p.Deadlines)
		made.policy, made.keepWrites = p.Retry, p.KeepWrites
	}
	return made
}

// Apply puts other rules in force, for calls that come from now on; bounds of calls
// in flight and breakers change at once, and what they have counted counts. It is not
// called concurrently.
func (s *Server) Apply(r Rules) {
	if s.resilient != (r.Resilience != nil) {
		r.Resilience = nil
		if s.resilient {
			r.Resilience = new(s.rules.Load().of)
		}
	}
	made := newRules(r)
	s.rules.Store(made)
	if !s.resilient {
		return
	}
	s.admission.SetMaxWait(made.of.Admission.MaxWait)
	// The pool tells of its endpoints one set after another, so that no bound of an
	// older set, or of older rules, comes last.
	s.pool.Watch(s.watch())
}

// watch is what the policy wants to know of the pool.
func (s *Server) watch() pool.Watch {
	return pool.Watch{
		Changed:   s.endpointsChanged,
		Recovered: func(n *pool.Node) { breakersOf(n).Recovered() },
	}
}
