package proxy

import (
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
	// BreakerThreshold is how many failures in a row open a method's breaker; 0
	// means no breakers.
	BreakerThreshold int
	// Admission bounds the calls in flight.
	Admission resilience.AdmissionConfig
}

// guard is the state of the policy in a [Server].
type guard struct {
	// resilient says that there is a policy. Without, budget and policy are those of
	// a call that is made anew only if it was never sent.
	resilient  bool
	deadlines  resilience.Deadlines
	late       [method.LongDeadline + 1]error // by kind, nil for no deadline of ours
	policy     resilience.Policy
	keepWrites bool
	budget     *resilience.Budget
	breakers   *resilience.Breakers
	admission  *resilience.Admission
}

// protect sets the policy up; nil is none.
func (s *Server) protect(r *Resilience) {
	s.budget = resilience.NewBudget(time.Now())
	if r == nil {
		return
	}
	s.resilient = true
	s.deadlines, s.late = r.Deadlines, newLate(r.Deadlines)
	s.policy, s.keepWrites = r.Retry, r.KeepWrites
	s.admission = resilience.NewAdmission(r.Admission)
	s.breakers = s.newBreakers(r.BreakerThreshold)
	s.metrics.registry.MustRegister(guardCollector{s})
}
