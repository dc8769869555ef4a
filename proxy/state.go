package proxy

import "qdrant-sidecar/resilience"

// Queue returns the state of the queue for a place; false when there is none.
func (s *Server) Queue() (resilience.AdmissionState, bool) {
	if s.admission == nil {
		return resilience.AdmissionState{}, false
	}
	return s.admission.State(), true
}

// Breakers returns the state of the circuit breakers, by the address of their
// endpoint; none when they are off.
func (s *Server) Breakers() map[string][]resilience.Status {
	all := map[string][]resilience.Status{}
	for _, n := range s.pool.Nodes() {
		if breakers, ok := n.Kept().(*resilience.Breakers); ok {
			all[n.Address()] = breakers.Status()
		}
	}
	return all
}
