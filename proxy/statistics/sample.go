package statistics

import (
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// sample is what had been counted since the start at one time.
type sample struct {
	at          time.Time
	methods     map[string]*counts
	collections map[string]*counts
	routes      map[string]*counts
	queue       histogram
	// refused are calls that were turned away from the queue, unaffordable those that
	// were not repeated because of the budget, and repeated attempts after a failed one.
	refused, unaffordable, repeated float64
	nodes                           map[string]nodeCounts
}

func newSample() *sample {
	return &sample{
		at: time.Now(), methods: map[string]*counts{}, collections: map[string]*counts{}, routes: map[string]*counts{},
		nodes: map[string]nodeCounts{},
	}
}

// nodeCounts are those of a node.
type nodeCounts struct{ goAways, tooManyResets, ejections, failedChecks uint64 }

// counts are those of calls that have something in common.
type counts struct {
	seconds  histogram
	codes    map[string]float64
	attempts float64
	// Sums of seconds, by where they went, and of how many calls.
	stages map[string]float64
	staged float64
	// Sums of seconds that Qdrant says it took, and of what the same calls took beyond
	// that; and of how many answers.
	qdrant, way, answers float64
}

// read takes what it knows from the families of the metrics page.
func (s *sample) read(families []*dto.MetricFamily) {
	for _, f := range families {
		take, ok := readers[f.GetName()]
		if !ok {
			continue
		}
		for _, m := range f.GetMetric() {
			take(s, labels(m), m)
		}
	}
}

// readers say what is read from which metric. A test holds that all of them exist.
var readers = map[string]func(s *sample, label func(string) string, m *dto.Metric){
	"grpc_server_handling_seconds": func(s *sample, label func(string) string, m *dto.Metric) {
		s.method(label).seconds.add(m.GetHistogram())
	},
	"grpc_server_handled_total": func(s *sample, label func(string) string, m *dto.Metric) {
		s.method(label).codes[label("grpc_code")] += m.GetCounter().GetValue()
	},
	"qdrant_sidecar_attempts_total": func(s *sample, label func(string) string, m *dto.Metric) {
		s.method(label).attempts += m.GetCounter().GetValue()
	},
	"qdrant_sidecar_stage_seconds": func(s *sample, label func(string) string, m *dto.Metric) {
		c, stage := s.method(label), label("stage")
		c.stages[stage] += m.GetHistogram().GetSampleSum()
		if stage == "upstream" { // every call has it
			c.staged += float64(m.GetHistogram().GetSampleCount())
		}
	},
	"qdrant_sidecar_upstream_seconds": func(s *sample, label func(string) string, m *dto.Metric) {
		c, sum := s.method(label), m.GetHistogram().GetSampleSum()
		if label("part") == "way" {
			c.way += sum
			return
		}
		c.qdrant += sum
		c.answers += float64(m.GetHistogram().GetSampleCount())
	},
	"qdrant_sidecar_collection_seconds": func(s *sample, label func(string) string, m *dto.Metric) {
		of(s.collections, label("collection")).seconds.add(m.GetHistogram())
	},
	"qdrant_sidecar_collection_calls_total": func(s *sample, label func(string) string, m *dto.Metric) {
		of(s.collections, label("collection")).codes[label("grpc_code")] += m.GetCounter().GetValue()
	},
	"qdrant_sidecar_collection_attempts_total": func(s *sample, label func(string) string, m *dto.Metric) {
		of(s.collections, label("collection")).attempts += m.GetCounter().GetValue()
	},
	"qdrant_sidecar_rest_request_seconds": func(s *sample, label func(string) string, m *dto.Metric) {
		of(s.routes, label("route")).seconds.add(m.GetHistogram())
	},
	"qdrant_sidecar_rest_requests_total": func(s *sample, label func(string) string, m *dto.Metric) {
		code := label("code")
		if code < "400" { // information, success and redirection
			code = "OK"
		}
		of(s.routes, label("route")).codes[code] += m.GetCounter().GetValue()
	},
	"qdrant_sidecar_rest_attempts_total": func(s *sample, label func(string) string, m *dto.Metric) {
		of(s.routes, label("route")).attempts += m.GetCounter().GetValue()
	},
	"qdrant_sidecar_queue_seconds": func(s *sample, _ func(string) string, m *dto.Metric) {
		s.queue.add(m.GetHistogram())
	},
	"qdrant_sidecar_failures_total": func(s *sample, label func(string) string, m *dto.Metric) {
		if label("reason") == "OVERLOADED" {
			s.refused += m.GetCounter().GetValue()
		}
	},
	"qdrant_sidecar_retries_total": func(s *sample, _ func(string) string, m *dto.Metric) {
		s.repeated += m.GetCounter().GetValue()
	},
	"qdrant_sidecar_not_retried_total": func(s *sample, label func(string) string, m *dto.Metric) {
		if label("reason") == "budget" {
			s.unaffordable += m.GetCounter().GetValue()
		}
	},
}

// labels returns how to look up those of a series.
func labels(m *dto.Metric) func(string) string {
	return func(name string) string {
		for _, l := range m.GetLabel() {
			if l.GetName() == name {
				return l.GetValue()
			}
		}
		return ""
	}
}

func (s *sample) method(label func(string) string) *counts {
	name := "other"
	if service := label("grpc_service"); service != "other" {
		name = strings.TrimPrefix(service, "qdrant.") + "/" + label("grpc_method")
	}
	return of(s.methods, name)
}

func of(group map[string]*counts, name string) *counts {
	c := group[name]
	if c == nil {
		c = &counts{codes: map[string]float64{}, stages: map[string]float64{}}
		group[name] = c
	}
	return c
}
