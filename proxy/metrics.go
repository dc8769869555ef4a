package proxy

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// metrics are all that the sidecar counts. Each is defined in this file, with its
// name, its labels and what it means, and docs/metrics.md is made from that; where
// they are counted, and read at a scrape, is in the files beside it.
//
// Labels come from closed sets: known methods and one name for all others, gRPC
// codes, our own reasons, the endpoints that are in use. Names of collections, which
// callers make up, are admitted one by one ([collectionMetrics]).
type metrics struct {
	definer

	inFlight atomic.Int64
	// methods holds what is bound to a method, by its Index.
	methods []methodMetrics

	started, handled        *prometheus.CounterVec
	messagesIn, messagesOut *prometheus.CounterVec
	seconds                 *prometheus.HistogramVec
	stages, upstream        *prometheus.HistogramVec
	failures                *prometheus.CounterVec
	callsInFlight           reading
	collections             collectionMetrics

	attempts, retries, retried *prometheus.CounterVec
	notRetried                 *prometheus.CounterVec
	replayed                   prometheus.Counter
	retriesInFlight            reading
	recentRetries, recentCalls reading
	budgetLeft, budgetReserve  reading
	stored                     reading

	breakerOpen, breakerState reading
	transitions               *prometheus.CounterVec

	queueSeconds                         prometheus.Histogram
	turnedAway                           *prometheus.CounterVec
	queueDepth, admitted, admissionLimit reading
	paused                               reading

	endpoints endpointMetrics
	clients   clientMetrics
	rest      restMetrics

	ready, draining, build reading
	reloads                reloadMetrics
}

// Labels that several metrics have.
const (
	labelMethod   = "grpc_method"
	labelService  = "grpc_service"
	labelCode     = "grpc_code"
	labelEndpoint = "endpoint"
	labelReason   = "reason"
)

// callBuckets reach from an answer out of memory to a snapshot, in seconds. Scrapers
// that speak protobuf get native histograms besides, which need no such choice.
var callBuckets = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60,
}

// newMetrics defines everything in a registry of its own; collections is how many
// collections have metrics of their own.
func newMetrics(collections int) *metrics {
	m := &metrics{definer: newDefiner()}
	m.defineCalls()
	m.defineCollections(collections)
	m.defineRetries()
	m.defineBreakers()
	m.defineQueue()
	m.defineEndpoints()
	m.defineClients()
	m.defineREST()
	m.defineProcess()
	m.bindMethods()
	m.bindReasons()
	return m
}

// The grpc_server_* names and labels are those of go-grpc-middleware, whose
// dashboards many have. To its histogram the code is added: what is summed over it,
// as dashboards do, stays the same.
func (m *metrics) defineCalls() {
	m.section = "Calls"
	byMethod := []string{"grpc_type", labelService, labelMethod}
	m.started = m.counters("grpc_server_started_total", "Calls that arrived at the sidecar.", byMethod...)
	m.handled = m.counters("grpc_server_handled_total", "Calls that ended, by the code that the caller got.", append(byMethod, labelCode)...)
	m.messagesIn = m.counters("grpc_server_msg_received_total", "Messages that callers sent: one a call, but for streams.", byMethod...)
	m.messagesOut = m.counters("grpc_server_msg_sent_total", "Messages that callers were sent: the answers, but for streams. An error has none.", byMethod...)
	m.seconds = m.histograms("grpc_server_handling_seconds",
		"Time from a call's arrival to its end, as its caller saw it.", append(byMethod, labelCode)...)
	m.stages = m.histograms("qdrant_sidecar_stage_seconds",
		"Where the time of calls went: to receive the request; waiting in a queue of the sidecar's, for a place or a connection; "+
			"in backoff between attempts; upstream, which is Qdrant and the network; and the sidecar's own work. "+
			"Every call has own; of the others those that took time are in it.", labelService, labelMethod, "stage")
	m.upstream = m.histograms("qdrant_sidecar_upstream_seconds",
		"Where the time upstream went, of some answers of each method: qdrant is what Qdrant says in them that it took; way is what the call took beyond that, "+
			"which is the network and the wait before Qdrant began. Of calls that succeeded at their first attempt.", labelService, labelMethod, "part")
	m.failures = m.counters("qdrant_sidecar_failures_total",
		"Calls that the sidecar itself failed, by the reason that its caller is told. What Qdrant answered is not in it.", labelReason)
	m.callsInFlight = m.gauge("qdrant_sidecar_calls_in_flight", "Calls that are under way.")
}

func (m *metrics) defineCollections(most int) {
	m.section = "Collections"
	byCollection := []string{"collection", "kind"}
	m.collections.init(most,
		m.counters("qdrant_sidecar_collection_calls_total",
			"Calls that name a collection, by the code that the caller got. A collection gets a name here with its first call of the Points service that succeeds, "+
				"as long as there is room (--metrics-collections); the rest is other.", append(byCollection, labelCode)...),
		m.counters("qdrant_sidecar_collection_attempts_total", "Attempts of such calls.", byCollection...),
		m.histograms("qdrant_sidecar_collection_seconds", "Time from the arrival of such a call to its end.", byCollection...))
}

func (m *metrics) defineRetries() {
	m.section = "Attempts and retries"
	m.attempts = m.counters("qdrant_sidecar_attempts_total", "Attempts of calls, by what each came to.", labelService, labelMethod, "outcome")
	m.retries = m.counters("qdrant_retry_total", "Calls that were repeated, by whether they succeeded in the end.", "operation", "success")
	m.retried = m.counters("qdrant_sidecar_retries_total", "Attempts that followed one that failed, by what that one came to.", labelReason)
	m.notRetried = m.counters("qdrant_sidecar_not_retried_total", "Calls that failed, by why they were not repeated, or not once more.", labelReason)
	m.replayed = m.counter("qdrant_sidecar_replayed_bytes_total", "Bytes of requests that were sent once more.")
	m.stored = m.gauge("qdrant_sidecar_stored_request_bytes",
		"Bytes of requests that are stored, so that they can be sent again. Beyond --retry-buffer-total they are passed on as they come.")
	m.retriesInFlight = m.gauge("qdrant_sidecar_retries_in_flight", "Retries that are under way or wait for their time.")
	m.recentRetries = m.gauge("qdrant_sidecar_recent_retries", "Retries of the last 10 s: the budget is a fifth of the recent calls, or 20.")
	m.recentCalls = m.gauge("qdrant_sidecar_recent_calls", "Calls of the last 10 s, by which the retries are bounded.")
	m.budgetLeft = m.gauge("qdrant_sidecar_retry_budget_left", "Retries that the budget would still grant now.")
	m.budgetReserve = m.gauge("qdrant_sidecar_retry_reserve_left",
		"Retries that it has beside for calls whose connection ended, and reads that leave a node that hangs: at most 500, and a fifth of one more with each call that Qdrant answers well.")
}

func (m *metrics) defineBreakers() {
	m.section = "Circuit breakers"
	m.breakerOpen = m.gauge("qdrant_circuit_breaker_open",
		"1 while calls of the method are refused because too many have failed; of methods that were called.", "method", labelEndpoint)
	m.breakerState = m.gauge("qdrant_sidecar_breaker_state", "0 closed, 1 half-open, 2 open; of methods that were called.", "method", labelEndpoint)
	m.transitions = m.counters("qdrant_sidecar_breaker_transitions_total", "Changes of breakers, by the state they changed to.", "to")
}

func (m *metrics) defineQueue() {
	m.section = "Queue"
	m.queueDepth = m.gauge("qdrant_sidecar_queue_depth", "Calls that wait for a place among those in flight.")
	m.queueSeconds = m.histogram("qdrant_sidecar_queue_seconds",
		"Time that calls waited for a place among those in flight. Those that did not wait are not in it.")
	m.turnedAway = m.counters("qdrant_sidecar_turned_away_total", "Attempts that got no place: the queue was full, too slow, or too slow for their deadline.", labelReason)
	m.admitted = m.gauge("qdrant_sidecar_admitted_calls", "Calls that have a place among those in flight.")
	m.paused = m.gauge("qdrant_sidecar_paused", "1 while an operator has calls paused.")
	m.admissionLimit = m.gauge("qdrant_sidecar_admission_limit", "Most calls in flight, --max-concurrent-calls; 0 is any number.")
}

// endpointMetrics are of the endpoints that are in use, as they are at the time of
// the scrape. The series of one that was removed end.
type endpointMetrics struct {
	poolSize, connections, streams      reading
	standing, clients, ejections        reading
	checkFailures, checkTook, roundTrip reading
	dials, ended, goAways               reading
	bytes, resets                       reading
}

func (m *metrics) defineEndpoints() {
	m.section = "Connections to Qdrant"
	e := &m.endpoints
	e.poolSize = m.gauge("qdrant_connection_pool_size", "Open connections to Qdrant: in_use ones carry calls, available ones do not.", "state")
	e.connections = m.gauge("qdrant_sidecar_connections",
		"Places for connections to Qdrant by state; together they are the bound, QDRANT_POOL_SIZE.", labelEndpoint, "state")
	e.streams = m.gauge("qdrant_sidecar_connection_streams", "Calls that an open connection carries now.", labelEndpoint, "connection")
	e.standing = m.gauge("qdrant_sidecar_endpoint",
		"1 for the standing of an endpoint: only good ones get new callers while there are any. The series of one that was removed ends.", labelEndpoint, "standing")
	e.clients = m.gauge("qdrant_sidecar_endpoint_clients", "Callers' connections whose calls go to the endpoint.", labelEndpoint)
	e.ejections = m.count("qdrant_sidecar_ejections_total",
		"How often an endpoint was left out for a while because calls failed there.", labelEndpoint)
	e.checkFailures = m.count("qdrant_sidecar_health_check_failures_total",
		"HealthChecks of the sidecar's own that were not answered in time.", labelEndpoint)
	e.checkTook = m.gauge("qdrant_sidecar_health_check_seconds",
		"What the newest of them took that was answered: the network, and a Qdrant that has nothing to do for it.", labelEndpoint)
	e.roundTrip = m.gauge("qdrant_sidecar_ping_seconds",
		"What the newest PING on an open connection took (--pool-ping-interval): the network, and no more of Qdrant than its HTTP/2.", labelEndpoint, "connection")
	e.dials = m.count("qdrant_sidecar_dials_total", "Attempts to connect, by what each came to.", labelEndpoint, "outcome")
	e.ended = m.count("qdrant_sidecar_connections_ended_total", "Connections that were open and take no more calls, by why.", labelEndpoint, labelReason)
	e.goAways = m.count("qdrant_sidecar_goaways_total",
		"Connections that the endpoint ended with GOAWAY: in good order, because of too many resets, or otherwise.", labelEndpoint, labelReason)
	e.bytes = m.count("qdrant_sidecar_upstream_bytes_total", "Bytes of HTTP/2 between the sidecar and Qdrant, without what TLS adds.", labelEndpoint, "direction")
	e.resets = m.count("qdrant_sidecar_upstream_resets_total",
		"Streams to Qdrant that were ended with RST_STREAM: received ones by Qdrant, sent ones by the sidecar. Only codes that came.", labelEndpoint, "direction", "code")
}

// clientMetrics are of the callers.
type clientMetrics struct {
	connections   atomic.Int64
	open          reading
	accepted      prometheus.Counter
	refused       *prometheus.CounterVec
	bytes, resets reading
}

func (m *metrics) defineClients() {
	m.section = "Callers"
	c := &m.clients
	c.open = m.gauge("qdrant_sidecar_client_connections", "Callers' connections that are open.")
	c.accepted = m.counter("qdrant_sidecar_client_connections_total", "Callers' connections that were accepted.")
	c.refused = m.counters("qdrant_sidecar_client_connections_refused_total",
		"Of these, connections that spoke something else than HTTP/2 without TLS, by what it was.", "protocol")
	c.bytes = m.count("qdrant_sidecar_client_bytes_total", "Bytes of HTTP/2 between callers and the sidecar.", "direction")
	c.resets = m.count("qdrant_sidecar_client_resets_total",
		"Streams of callers that were ended with RST_STREAM: received ones by the caller, which is how a call is cancelled. Only codes that came.", "direction", "code")
}

// restMetrics are those of the REST side, by route: a template of a path, never a
// path.
type restMetrics struct {
	inFlight         atomic.Int64
	requestsInFlight reading
	requests         *prometheus.CounterVec
	seconds          *prometheus.HistogramVec
	attempts         *prometheus.CounterVec
	breakers         *prometheus.GaugeVec
}

func (m *metrics) defineREST() {
	m.section = "REST"
	r := &m.rest
	r.requests = m.counters("qdrant_sidecar_rest_requests_total", "REST requests that ended, by the status that the caller got.", "route", "code")
	r.seconds = m.histograms("qdrant_sidecar_rest_request_seconds", "Time from the arrival of a REST request to the end of its answer.", "route")
	r.attempts = m.counters("qdrant_sidecar_rest_attempts_total", "Attempts of REST requests, by what each came to.", "route", "outcome")
	r.breakers = m.gauges("qdrant_sidecar_rest_circuit_breaker_open",
		"1 while REST requests of the route are refused because too many have failed; of routes where that has happened.", "route", labelEndpoint)
	r.requestsInFlight = m.gauge("qdrant_sidecar_rest_requests_in_flight", "REST requests that are under way.")
}

func (m *metrics) defineProcess() {
	m.section = "The sidecar itself"
	m.ready = m.gauge("qdrant_sidecar_ready", "1 when /readyz says yes.")
	m.draining = m.gauge("qdrant_sidecar_draining", "1 once the sidecar is ending: calls under way go on, new ones go elsewhere.")
	m.build = m.gauge("qdrant_sidecar_build_info", "Always 1; what was built is in the labels.", "version", "goversion")
	r := &m.reloads
	r.total = m.counters("qdrant_sidecar_reloads_total", "How often the configuration was read anew, by whether it was right and was put in force.", "success")
	r.successful = m.gauge("qdrant_sidecar_last_reload_successful", "1 unless the configuration was wrong when it was read last; then the one before is in force.")
	r.at = m.gauge("qdrant_sidecar_last_reload_success_timestamp_seconds", "When the configuration in force was read.")
	m.runtime()
}

// reloadMetrics are those of configurations that were read anew.
type reloadMetrics struct {
	total          *prometheus.CounterVec
	successful, at reading
	// What they read: whether the last one was wrong, and when the last right one was.
	failed atomic.Bool
	last   atomic.Pointer[time.Time]
}

// bindMethods makes room for what is bound to methods.
func (m *metrics) bindMethods() {
	for known := range method.All() {
		shape := "unary"
		if known == method.Other {
			shape = "bidi_stream"
		}
		m.methods = append(m.methods, methodMetrics{service: known.Service, name: known.Name, shape: shape})
	}
}

// bindReasons shows counters of small closed sets from the start: what rises from
// nothing to one is no increase to Prometheus if the nothing was never there.
func (m *metrics) bindReasons() {
	for _, reason := range everyReason() {
		m.failures.WithLabelValues(string(reason))
	}
	for _, reason := range resilience.EveryNotRetried() {
		m.notRetried.WithLabelValues(string(reason))
	}
	for _, reason := range resilience.EveryOverloadReason() {
		m.turnedAway.WithLabelValues(string(reason))
	}
	for _, success := range []string{"false", "true"} {
		m.reloads.total.WithLabelValues(success)
	}
	for state := resilience.Closed; state <= resilience.Open; state++ {
		m.transitions.WithLabelValues(state.String())
	}
	for _, protocol := range strangers {
		m.clients.refused.WithLabelValues(protocol)
	}
}
