package proxy

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
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
	handled *prometheus.CounterVec // lacks the code
	seconds prometheus.Observer
}

// buckets reach from a search in memory to a snapshot, in seconds.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// newMetrics registers everything in a registry of its own. The grpc_server_*
// names and labels are those of go-grpc-middleware, whose dashboards many have.
func newMetrics(version string, p *pool.Pool) *metrics {
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
	}
	for known := range method.All() {
		shape := "unary"
		if known == method.Other {
			shape = "bidi_stream"
		}
		m.methods = append(m.methods, methodMetrics{service: known.Service, name: known.Name, shape: shape})
	}
	m.registry.MustRegister(
		m.started, m.handled, m.seconds, m.failures, poolCollector{p},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "qdrant_sidecar_calls_in_flight",
			Help: "Calls that are under way.",
		}, func() float64 { return float64(m.inFlight.Load()) }),
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
		handled: m.handled.MustCurryWith(prometheus.Labels{
			"grpc_type": slot.shape, "grpc_service": slot.service, "grpc_method": slot.name,
		}),
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
	bound.seconds.Observe(time.Since(c.Started).Seconds())
	bound.handled.WithLabelValues(codeOf(err)).Inc()
	if c.Reason != "" {
		m.failures.WithLabelValues(string(c.Reason)).Inc()
	}
	return err
}

// maxCode is the highest code that gRPC defines.
const maxCode = codes.Unauthenticated

// codeOf names the code that the caller gets for err. Codes beyond gRPC's
// seventeen share one name: an upstream must not be able to make labels.
func codeOf(err error) string {
	if errors.Is(err, errPanic) {
		return judge(err).code.String()
	}
	if code := status.Code(err); code <= maxCode {
		return code.String()
	}
	return "other"
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
)

// Describe implements prometheus.Collector.
func (poolCollector) Describe(ch chan<- *prometheus.Desc) { ch <- poolSize; ch <- connections }

// Collect implements prometheus.Collector.
func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	state := c.pool.State()
	var inUse, available float64
	byState := map[pool.ConnState]float64{
		pool.Unused: 0, pool.Connecting: 0, pool.Backoff: 0, pool.Ready: 0, pool.Draining: 0,
	}
	for _, conn := range state.Connections {
		byState[conn.State]++
		switch {
		case conn.InFlight > 0:
			inUse++
		case conn.State == pool.Ready:
			available++
		}
	}
	ch <- prometheus.MustNewConstMetric(poolSize, prometheus.GaugeValue, available, "available")
	ch <- prometheus.MustNewConstMetric(poolSize, prometheus.GaugeValue, inUse, "in_use")
	for s, n := range byState {
		ch <- prometheus.MustNewConstMetric(connections, prometheus.GaugeValue, n, state.Address, s.String())
	}
}
