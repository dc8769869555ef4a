package proxy

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// scrape shows what is read at the time of a scrape: the state of pool, breakers,
// budget, queue and listeners.
type scrape struct{ s *Server }

// shower takes what is read.
type shower chan<- prometheus.Metric

func (out shower) show(r reading, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(r.desc, r.kind, value, labels...)
}

// Gatherer gives the metrics page what to show.
func (s *Server) Gatherer() prometheus.Gatherer { return s.metrics.registry }

// Describe implements prometheus.Collector.
func (c scrape) Describe(ch chan<- *prometheus.Desc) {
	for _, r := range c.s.metrics.readings {
		ch <- r.desc
	}
}

// Collect implements prometheus.Collector.
func (c scrape) Collect(ch chan<- prometheus.Metric) {
	out, s := shower(ch), c.s
	s.showProcess(out)
	s.showPool(out)
	s.showClients(out)
	if s.resilient {
		s.showBreakers(out)
		s.showQueue(out)
	}
}

func (s *Server) showProcess(out shower) {
	m := s.metrics
	out.show(m.callsInFlight, float64(m.inFlight.Load()))
	out.show(m.rest.requestsInFlight, float64(m.rest.inFlight.Load()))
	out.show(m.stored, float64(s.store.Used()))
	out.show(m.ready, truth(s.Ready() == nil))
	out.show(m.draining, truth(s.Draining()))
	out.show(m.build, 1, s.version, runtime.Version())
	out.show(m.reloads.successful, truth(!m.reloads.failed.Load()))
	out.show(m.reloads.at, float64(m.reloads.last.Load().UnixMilli())/1000)
}

// Reloaded counts that the configuration was read anew, by whether it was right.
func (s *Server) Reloaded(success bool) {
	r := &s.metrics.reloads
	r.total.WithLabelValues(strconv.FormatBool(success)).Inc()
	r.failed.Store(!success)
	if success {
		r.last.Store(new(time.Now()))
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (s *Server) showPool(out shower) {
	e := &s.metrics.endpoints
	state := s.pool.State()
	var inUse, available float64
	for i := range state.Endpoints {
		for _, conn := range state.Endpoints[i].Connections {
			switch {
			case conn.InFlight > 0:
				inUse++
			case conn.State == pool.Ready:
				available++
			}
		}
		e.show(out, &state.Endpoints[i])
	}
	out.show(e.poolSize, available, "available")
	out.show(e.poolSize, inUse, "in_use")
}

// show shows one endpoint.
func (m *endpointMetrics) show(out shower, e *pool.EndpointState) {
	m.showConnections(out, e)
	for s := pool.Gone; s <= pool.Good; s++ {
		out.show(m.standing, truth(s == e.Standing), e.Address, s.String())
	}
	out.show(m.clients, float64(e.Clients), e.Address)
	out.show(m.ejections, float64(e.Ejections), e.Address)
	out.show(m.checkFailures, float64(e.FailedChecks), e.Address)
	if e.CheckTook > 0 {
		out.show(m.checkTook, e.CheckTook.Seconds(), e.Address)
	}
	for outcome, n := range e.Dials {
		out.show(m.dials, float64(n), e.Address, pool.DialOutcome(outcome).String())
	}
	for reason, n := range e.Ended {
		out.show(m.ended, float64(n), e.Address, pool.Ending(reason).String())
	}
	out.show(m.goAways, float64(e.GoAways), e.Address, "graceful")
	out.show(m.goAways, float64(e.TooManyResets), e.Address, "too_many_resets")
	out.show(m.goAways, float64(e.OtherGoAways), e.Address, other)
	out.show(m.bytes, float64(e.Traffic.Received), e.Address, received)
	out.show(m.bytes, float64(e.Traffic.Sent), e.Address, sent)
	showResets(out, m.resets, &e.Traffic, e.Address)
}

func (m *endpointMetrics) showConnections(out shower, e *pool.EndpointState) {
	byState := map[pool.ConnState]float64{
		pool.Unused: 0, pool.Connecting: 0, pool.Backoff: 0, pool.Ready: 0, pool.Draining: 0,
	}
	for _, conn := range e.Connections {
		byState[conn.State]++
		if conn.Opened.IsZero() {
			continue
		}
		id := strconv.Itoa(conn.ID)
		out.show(m.streams, float64(conn.InFlight), e.Address, id)
		if conn.RoundTrip > 0 {
			out.show(m.roundTrip, conn.RoundTrip.Seconds(), e.Address, id)
		}
	}
	for state, n := range byState {
		out.show(m.connections, n, e.Address, state.String())
	}
}

// The directions of bytes and resets, as a label: seen from the sidecar.
const (
	received = "received"
	sent     = "sent"
)

// showResets shows the codes that came.
func showResets(out shower, r reading, n *h2.TrafficCount, labels ...string) {
	for code := range n.ResetsReceived {
		if count := n.ResetsReceived[code]; count > 0 {
			out.show(r, float64(count), append(labels, received, resetName(code))...)
		}
		if count := n.ResetsSent[code]; count > 0 {
			out.show(r, float64(count), append(labels, sent, resetName(code))...)
		}
	}
}

// resetName names a code of HTTP/2, those that it does not define by one name.
func resetName(code int) string {
	if code > int(http2.ErrCodeHTTP11Required) {
		return other
	}
	return http2.ErrCode(code).String()
}

func (s *Server) showClients(out shower) {
	c := &s.metrics.clients
	out.show(c.open, float64(c.connections.Load()))
	n := s.traffic.Count()
	out.show(c.bytes, float64(n.Received), received)
	out.show(c.bytes, float64(n.Sent), sent)
	showResets(out, c.resets, &n)
}

func (s *Server) showBreakers(out shower) {
	m := s.metrics
	for _, n := range s.pool.Nodes() {
		for i, breaker := range breakersOf(n).Status() {
			if m.methods[i].bound.Load() == nil {
				continue
			}
			out.show(m.breakerOpen, truth(breaker.State == resilience.Open), breaker.Method, n.Address())
			out.show(m.breakerState, float64(breaker.State), breaker.Method, n.Address())
		}
	}
}

func (s *Server) showQueue(out shower) {
	m := s.metrics
	queue := s.admission.State()
	out.show(m.queueDepth, float64(queue.Waiting))
	out.show(m.admitted, float64(queue.InFlight))
	out.show(m.admissionLimit, float64(queue.Limit))
	out.show(m.paused, truth(!s.Paused().Began.IsZero()))
	budget := s.budget.State(time.Now())
	out.show(m.retriesInFlight, float64(budget.Retrying))
	out.show(m.recentRetries, float64(budget.RecentRetries))
	out.show(m.recentCalls, float64(budget.RecentCalls))
	out.show(m.budgetLeft, float64(budget.Left))
	out.show(m.budgetReserve, float64(budget.Reserve))
}
