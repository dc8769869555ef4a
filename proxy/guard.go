package proxy

import (
	"hash/maphash"
	"time"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// Resilience is what a Server does about failures.
type Resilience struct {
	// Deadlines are the times of calls that came without one.
	Deadlines resilience.Deadlines
	// Retry says how often and how fast failed attempts are repeated.
	Retry resilience.Policy
	// KeepWrites has no write repeated that Qdrant may have seen, not even one that
	// leaves the same state.
	KeepWrites bool
	// RepeatWindow is for how long a call that was given up on is remembered, so that the
	// same call made again has no more attempts; 0 means not.
	RepeatWindow time.Duration
	// BreakerThreshold is how many failures in a row open a method's breaker; 0
	// means no breakers.
	BreakerThreshold int
	// Admission bounds the calls in flight. Where LimitEach or QueueEach is set, its
	// Limit or Queue is for each endpoint.
	Admission            resilience.AdmissionConfig
	LimitEach, QueueEach bool
}

// guard is the state of the policy in a [Server], beside its [rules].
type guard struct {
	// resilient says that there is a policy. Without, budget and rules are those of
	// a call that is made anew only if it was never sent.
	resilient  bool
	budget     *resilience.Budget
	methods    []string // by number, as breakers know them
	admission  *resilience.Admission
	pauser     *resilience.Pauser
	repeats    *resilience.Repeats // nil for none
	repeatSeed maphash.Seed
}

// protect sets the policy up; nil is none.
func (s *Server) protect(r *Resilience) {
	s.budget = resilience.NewBudget(time.Now())
	if r == nil {
		return
	}
	s.resilient = true
	s.admission = resilience.NewAdmission(r.Admission)
	s.repeats, s.repeatSeed = resilience.NewRepeats(r.RepeatWindow), maphash.MakeSeed()
	s.pauser = resilience.NewPauser(s.pauseEnded)
	s.pauser.Add(s.admission)
	for m := range method.All() {
		s.methods = append(s.methods, label(m))
	}
	s.pool.Watch(s.watch())
}
