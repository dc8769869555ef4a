package proxy

import (
	"net/http"
	"strconv"

	"qdrant-sidecar/proxy/rest"
	"qdrant-sidecar/resilience"
)

// Budget bounds retries, of whatever else goes to the same Qdrant as well.
func (s *Server) Budget() *resilience.Budget { return s.budget }

// RESTObserver counts what the REST side does among the metrics of the Server.
func (s *Server) RESTObserver() rest.Observer {
	m := &s.metrics.rest
	return rest.Observer{
		Begun: func() { m.inFlight.Add(1) },
		Ended: func(o rest.Observation) {
			m.inFlight.Add(-1)
			m.requests.WithLabelValues(o.Route, statusLabel(o.Code)).Inc()
			m.seconds.WithLabelValues(o.Route).Observe(o.Duration.Seconds())
			for _, cause := range o.Attempts {
				m.attempts.WithLabelValues(o.Route, cause.String()).Inc()
			}
			if o.Repeated {
				success := o.Attempts[len(o.Attempts)-1] == resilience.OK
				s.metrics.retries.WithLabelValues(o.Route, strconv.FormatBool(success)).Inc()
			}
			if o.Reason != "" {
				s.metrics.failures.WithLabelValues(string(o.Reason)).Inc()
			}
			if o.NotRetried != "" {
				s.metrics.notRetried.WithLabelValues(string(o.NotRetried)).Inc()
			}
		},
		BreakerChanged: func(change resilience.Change) {
			open := 0.0
			if change.To == resilience.Open {
				open = 1
			}
			m.breakers.WithLabelValues(change.Method, change.Endpoint).Set(open)
			s.breakerChanged(change)
		},
	}
}

// statusLabel names a status. Those that HTTP does not define share one name: an
// upstream must not be able to make labels.
func statusLabel(code int) string {
	if http.StatusText(code) == "" {
		return "other"
	}
	return strconv.Itoa(code)
}
