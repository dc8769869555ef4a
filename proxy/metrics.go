package proxy

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// metrics are all that the sidecar counts. Labels come from closed sets: known
// methods and one name for all others, gRPC codes, and our own reasons.
type metrics struct {
	registry *prometheus.Registry
	inFlight atomic.Int64
	failures *prometheus.CounterVec
	started  *prometheus.CounterVec
	handled  *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	attempts     *prometheus.CounterVec
	retries      *prometheus.CounterVec
	notRetried   *prometheus.CounterVec
	transitions  *prometheus.CounterVec
	queueSeconds prometheus.Histogram
	rest         restMetrics
	reloads      reloadMetrics
	// methods holds what is bound to a method, by its Index.
	methods []methodMetrics
}

// methodMetrics are bound when the method is first called, so that a page shows
// what is in use and not sixty methods at zero.
type methodMetrics struct {
	bound   atomic.Pointer[boundMetrics]
	service string
	name    string
	shape   string
}

type boundMetrics struct {
	started prometheus.Counter
	seconds prometheus.Observer
	// By code, those that gRPC does not define last; and by cause. Each is bound
	// when it is first needed.
	handled  [maxCode + 2]atomic.Pointer[prometheus.Counter]
	attempts [resilience.Unclear + 1]atomic.Pointer[prometheus.Counter]
}

// buckets reach from a search in memory to a snapshot, in seconds.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// newMetrics registers everything in a registry of its own. The grpc_server_*
// names and labels are those of go-grpc-middleware, whose dashboards many have.
func newMetrics(version string, store *h2.Store) *metrics {
	byMethod := []string{"grpc_type", "grpc_service", "grpc_method"}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		started: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grpc_server_started_total",
			Help: "Calls that arrived at the sidecar.",
		}, byMethod),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grpc_server_handled_total",
			Help: "Calls that ended, by the code the caller got.",
		}, append(byMethod, "grpc_code")),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "grpc_server_handling_seconds",
			Help:    "Time from a call's arrival to its end, as its caller saw it.",
			Buckets: buckets,
		}, byMethod),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "qdrant_sidecar_failures_total",
			Help: "Calls that the sidecar itself failed, by reason. What Qdrant answered is not in it.",
		}, []string{"reason"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "qdrant_sidecar_attempts_total",
			Help: "Attempts of calls, by what each came to.",
		}, []string{"grpc_service", "grpc_method", "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "qdrant_retry_total",
			Help: "Calls that were repeated, by whether they succeeded in the end.",
		}, []string{"operation", "success"}),
		notRetried: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "qdrant_sidecar_not_retried_total",
			Help: "Calls that failed, by why they were not repeated, or not once more.",
		}, []string{"reason"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "qdrant_sidecar_breaker_transitions_total",
			Help: "Changes of breakers, by the state they changed to.",
		}, []string{"to"}),
		queueSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "qdrant_sidecar_queue_seconds",
			Help:    "Time that calls waited for a place among those in flight. Those that did not wait are not in it.",
			Buckets: buckets,
		}),
	}
	m.rest.init(m.registry)
	for known := range method.All() {
		shape := "unary"
		if known == method.Other {
			shape = "bidi_stream"
		}
		m.methods = append(m.methods, methodMetrics{service: known.Service, name: known.Name, shape: shape})
	}
	m.registry.MustRegister(
		m.started, m.handled, m.seconds, m.failures,
		m.attempts, m.retries, m.notRetried, m.transitions, m.queueSeconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "qdrant_sidecar_calls_in_flight",
			Help: "Calls that are under way.",
		}, func() float64 { return float64(m.inFlight.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "qdrant_sidecar_stored_request_bytes",
			Help: "Bytes of requests that are stored, so that they can be sent again. Beyond --retry-buffer-total they are passed on as they come.",
		}, func() float64 { return float64(store.Used()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "qdrant_sidecar_build_info",
			Help:        "Always 1; what was built is in the labels.",
			ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
		}, func() float64 { return 1 }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Gatherer gives the metrics page what to show.
func (s *Server) Gatherer() prometheus.Gatherer { return s.metrics.registry }

func (m *metrics) of(known *method.Method) *boundMetrics {
	slot := &m.methods[known.Index]
	if bound := slot.bound.Load(); bound != nil {
		return bound
	}
	labels := []string{slot.shape, slot.service, slot.name}
	// Two first calls at once bind the same series twice: no harm.
	bound := &boundMetrics{
		started: m.started.WithLabelValues(labels...),
		seconds: m.seconds.WithLabelValues(labels...),
	}
	slot.bound.Store(bound)
	return bound
}

// begin is the layer's way in.
func (m *metrics) begin(_ context.Context, c *Call) error {
	m.inFlight.Add(1)
	m.of(c.Method).started.Inc()
	return nil
}

// end is the layer's way out.
func (m *metrics) end(_ context.Context, c *Call, err error) error {
	m.inFlight.Add(-1)
	bound := m.of(c.Method)
	bound.seconds.Observe(c.Took().Seconds())
	code := min(codeNumber(err), maxCode+1)
	counter := bound.handled[code].Load()
	if counter == nil {
		slot := &m.methods[c.Method.Index]
		counter = bind(&bound.handled[code], m.handled, slot.shape, slot.service, slot.name, codeName(code))
	}
	(*counter).Inc()
	if c.Reason != "" {
		m.failures.WithLabelValues(string(c.Reason)).Inc()
	}
	return err
}

// attempted counts an attempt.
func (m *metrics) attempted(of *method.Method, cause resilience.Cause) {
	slot := &m.of(of).attempts[cause]
	counter := slot.Load()
	if counter == nil {
		counter = bind(slot, m.attempts, of.Service, of.Name, cause.String())
	}
	(*counter).Inc()
}

// bind keeps a counter for the next time. Two that do so at once keep the same.
func bind(slot *atomic.Pointer[prometheus.Counter], of *prometheus.CounterVec, labels ...string) *prometheus.Counter {
	counter := new(of.WithLabelValues(labels...))
	slot.Store(counter)
	return counter
}

// repeated counts a call that was repeated, under the origin's name and labels.
func (m *metrics) repeated(of *method.Method, success bool) {
	m.retries.WithLabelValues(label(of), strconv.FormatBool(success)).Inc()
}

// maxCode is the highest code that gRPC defines.
const maxCode = codes.Unauthenticated

// codeNumber is the code that the caller gets for err.
func codeNumber(err error) codes.Code {
	if errors.Is(err, errPanic) {
		return judge(err).code
	}
	return status.Code(err)
}

// codeName names a code. Those beyond gRPC's seventeen share one name: an upstream
// must not be able to make labels.
func codeName(code codes.Code) string {
	if code <= maxCode {
		return code.String()
	}
	return "other"
}

// restMetrics are those of the REST side, by route: a template of a path, never a
// path.
type restMetrics struct {
	inFlight atomic.Int64
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	attempts *prometheus.CounterVec
	breakers *prometheus.GaugeVec
}

func (m *restMetrics) init(registry *prometheus.Registry) {
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "qdrant_sidecar_rest_requests_total",
		Help: "REST requests that ended, by the status that the caller got.",
	}, []string{"route", "code"})
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "qdrant_sidecar_rest_request_seconds",
		Help:    "Time from the arrival of a REST request to the end of its answer.",
		Buckets: buckets,
	}, []string{"route"})
	m.attempts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "qdrant_sidecar_rest_attempts_total",
		Help: "Attempts of REST requests, by what each came to.",
	}, []string{"route", "outcome"})
	m.breakers = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "qdrant_sidecar_rest_circuit_breaker_open",
		Help: "1 while REST requests of the route are refused because too many have failed; of routes where that has happened.",
	}, []string{"route", "endpoint"})
	registry.MustRegister(m.requests, m.seconds, m.attempts, m.breakers, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "qdrant_sidecar_rest_requests_in_flight",
		Help: "REST requests that are under way.",
	}, func() float64 { return float64(m.inFlight.Load()) }))
}

// poolCollector shows the pool as it is at the time of the scrape.
type poolCollector struct{ pool *pool.Pool }

var (
	poolSize = prometheus.NewDesc("qdrant_connection_pool_size",
		"Open connections to Qdrant: in_use ones carry calls, available ones do not.",
		[]string{"state"}, nil)
	connections = prometheus.NewDesc("qdrant_sidecar_connections",
		"Places for connections to Qdrant by state; together they are the bound, QDRANT_POOL_SIZE.",
		[]string{"endpoint", "state"}, nil)
	endpointStanding = prometheus.NewDesc("qdrant_sidecar_endpoint",
		"1 for the standing of an endpoint: only good ones get new callers while there are any. The series of one that was removed ends.",
		[]string{"endpoint", "standing"}, nil)
	endpointClients = prometheus.NewDesc("qdrant_sidecar_endpoint_clients",
		"Callers' connections whose calls go to the endpoint.", []string{"endpoint"}, nil)
	endpointEjections = prometheus.NewDesc("qdrant_sidecar_ejections_total",
		"How often an endpoint was left out for a while because calls failed there.", []string{"endpoint"}, nil)
	endpointChecks = prometheus.NewDesc("qdrant_sidecar_health_check_failures_total",
		"HealthChecks of the sidecar's own that were not answered in time.", []string{"endpoint"}, nil)
	endpointGoAways = prometheus.NewDesc("qdrant_sidecar_goaways_total",
		"Connections that the endpoint ended with GOAWAY: in good order, because of too many resets, or otherwise.",
		[]string{"endpoint", "reason"}, nil)
)

// Describe implements prometheus.Collector.
func (poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		poolSize, connections, endpointStanding, endpointClients, endpointEjections, endpointChecks, endpointGoAways,
	} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	state := c.pool.State()
	var inUse, available float64
	for i := range state.Endpoints {
		e := &state.Endpoints[i]
		for _, conn := range e.Connections {
			switch {
			case conn.InFlight > 0:
				inUse++
			case conn.State == pool.Ready:
				available++
			}
		}
		collectEndpoint(ch, e)
	}
	ch <- prometheus.MustNewConstMetric(poolSize, prometheus.GaugeValue, available, "available")
	ch <- prometheus.MustNewConstMetric(poolSize, prometheus.GaugeValue, inUse, "in_use")
}

func collectEndpoint(ch chan<- prometheus.Metric, e *pool.EndpointState) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, kind, value, append([]string{e.Address}, labels...)...)
	}
	byState := map[pool.ConnState]float64{
		pool.Unused: 0, pool.Connecting: 0, pool.Backoff: 0, pool.Ready: 0, pool.Draining: 0,
	}
	for _, conn := range e.Connections {
		byState[conn.State]++
	}
	for s, n := range byState {
		send(connections, prometheus.GaugeValue, n, s.String())
	}
	for s := pool.Gone; s <= pool.Good; s++ {
		is := 0.0
		if s == e.Standing {
			is = 1
		}
		send(endpointStanding, prometheus.GaugeValue, is, s.String())
	}
	send(endpointClients, prometheus.GaugeValue, float64(e.Clients))
	send(endpointEjections, prometheus.CounterValue, float64(e.Ejections))
	send(endpointChecks, prometheus.CounterValue, float64(e.FailedChecks))
	send(endpointGoAways, prometheus.CounterValue, float64(e.GoAways), "graceful")
	send(endpointGoAways, prometheus.CounterValue, float64(e.TooManyResets), "too_many_resets")
	send(endpointGoAways, prometheus.CounterValue, float64(e.OtherGoAways), "other")
}

// guardCollector shows breakers, budget and queue as they are at the time of the
// scrape.
type guardCollector struct{ s *Server }

var (
	breakerOpen = prometheus.NewDesc("qdrant_circuit_breaker_open",
		"1 while calls of the method are refused because too many have failed; of methods that were called.",
		[]string{"method", "endpoint"}, nil)
	queueDepth = prometheus.NewDesc("qdrant_sidecar_queue_depth",
		"Calls that wait for a place among those in flight.", nil, nil)
	admitted = prometheus.NewDesc("qdrant_sidecar_admitted_calls",
		"Calls that have a place among those in flight.", nil, nil)
	admissionLimit = prometheus.NewDesc("qdrant_sidecar_admission_limit",
		"Most calls in flight, --max-concurrent-calls; 0 is any number.", nil, nil)
	retriesInFlight = prometheus.NewDesc("qdrant_sidecar_retries_in_flight",
		"Retries that are under way or wait for their time.", nil, nil)
	recentRetries = prometheus.NewDesc("qdrant_sidecar_recent_retries",
		"Retries of the last 10 s: the budget is a fifth of the recent calls, or 20.", nil, nil)
	paused = prometheus.NewDesc("qdrant_sidecar_paused",
		"1 while an operator has calls paused.", nil, nil)
	recentCalls = prometheus.NewDesc("qdrant_sidecar_recent_calls",
		"Calls of the last 10 s, by which the retries are bounded.", nil, nil)
)

// Describe implements prometheus.Collector.
func (guardCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		breakerOpen, queueDepth, admitted, admissionLimit, retriesInFlight, recentRetries, recentCalls, paused,
	} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (c guardCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	for _, n := range c.s.pool.Nodes() {
		for i, breaker := range breakersOf(n).Status() {
			if c.s.metrics.methods[i].bound.Load() == nil {
				continue
			}
			open := 0
			if breaker.State == resilience.Open {
				open = 1
			}
			gauge(breakerOpen, open, breaker.Method, n.Address())
		}
	}
	queue := c.s.admission.State()
	gauge(queueDepth, queue.Waiting)
	gauge(admitted, queue.InFlight)
	gauge(admissionLimit, queue.Limit)
	budget := c.s.budget.State(time.Now())
	gauge(retriesInFlight, budget.Retrying)
	gauge(recentRetries, budget.RecentRetries)
	gauge(recentCalls, budget.RecentCalls)
	pauses := 0
	if !c.s.Paused().Began.IsZero() {
		pauses = 1
	}
	gauge(paused, pauses)
}

// reloadMetrics are those of configurations that were read anew.
type reloadMetrics struct {
	total      *prometheus.CounterVec
	successful prometheus.Gauge
	at         prometheus.Gauge
}

func (m *reloadMetrics) init(registry *prometheus.Registry) {
	m.total = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "qdrant_sidecar_reloads_total",
		Help: "How often the configuration was read anew, by whether it was right and was put in force.",
	}, []string{"success"})
	m.successful = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "qdrant_sidecar_last_reload_successful",
		Help: "1 unless the configuration was wrong when it was read last; then the one before is in force.",
	})
	m.at = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "qdrant_sidecar_last_reload_success_timestamp_seconds",
		Help: "When the configuration in force was read.",
	})
	registry.MustRegister(m.total, m.successful, m.at)
	for _, success := range []string{"false", "true"} {
		m.total.WithLabelValues(success)
	}
	m.successful.Set(1)
	m.at.SetToCurrentTime()
}

// Reloaded counts that the configuration was read anew, by whether it was right.
func (s *Server) Reloaded(success bool) {
	m := &s.metrics.reloads
	m.total.WithLabelValues(strconv.FormatBool(success)).Inc()
	m.successful.Set(0)
	if success {
		m.successful.Set(1)
		m.at.SetToCurrentTime()
	}
}
