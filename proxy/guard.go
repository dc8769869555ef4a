package proxy

import (
	"time"

	"qdrant-sidecar/pool"
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
	// Admission bounds the calls in flight. Where LimitEach or QueueEach is set, its
	// Limit or Queue is for each endpoint.
	Admission            resilience.AdmissionConfig
	LimitEach, QueueEach bool
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
	breaking   resilience.BreakerConfig
	methods    []string // by number, as breakers know them
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
	s.breaking = resilience.BreakerConfig{Threshold: r.BreakerThreshold, OnChange: s.breakerChanged}
	for m := range method.All() {
		s.methods = append(s.methods, label(m))
	}
	s.pool.Watch(pool.Watch{
		Changed:   func(nodes []*pool.Node) { s.endpointsChanged(r, nodes) },
		Recovered: func(n *pool.Node) { breakersOf(n).Recovered() },
	})
	s.metrics.registry.MustRegister(guardCollector{s})
}
