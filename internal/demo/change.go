package demo

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// change is how far one series moved. Buckets of histograms and quantiles of summaries
// are left out: their count and mean tell a person more.
type change struct {
	labels []label // sorted by name
	text   string  // "+3", or "0 -> 3" for a gauge
	mean   string  // of a histogram or summary, of what came between the readings
}

type label struct{ name, value string }

// family is a metric with the changes of those of its series that moved.
type family struct {
	name    string
	changes []change
}

// moved compares two readings of the families that are about Qdrant and gRPC, sorted by
// name and then by labels. What only the second has started from zero.
func moved(before, after snapshot) []family {
	var all []family
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if !strings.HasPrefix(name, "grpc_server_") && !strings.HasPrefix(name, "qdrant_") {
			continue
		}
		f := family{name: name}
		was, is := series(before[name]), series(after[name])
		for _, k := range slices.Sorted(maps.Keys(is)) {
			if c, ok := compare(name, after[name].GetType(), was[k], is[k]); ok {
				f.changes = append(f.changes, c)
			}
		}
		if len(f.changes) > 0 {
			all = append(all, f)
		}
	}
	return all
}

// series are the metrics of a family by their labels, which are one key however they
// were ordered: quoting keeps two sets of labels from looking alike.
func series(f *dto.MetricFamily) map[string]*dto.Metric {
	all := make(map[string]*dto.Metric)
	for _, m := range f.GetMetric() {
		var key strings.Builder
		for _, l := range labels(m) {
			fmt.Fprintf(&key, "%s=%q,", l.name, l.value)
		}
		all[key.String()] = m
	}
	return all
}

func labels(m *dto.Metric) []label {
	all := make([]label, 0, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		all = append(all, label{l.GetName(), l.GetValue()})
	}
	slices.SortFunc(all, func(a, b label) int { return cmp.Compare(a.name, b.name) })
	return all
}

// compare returns how far one series moved, and false if it did not. before may be nil.
func compare(name string, kind dto.MetricType, before, after *dto.Metric) (change, bool) {
	from, fromSum := value(kind, before)
	to, toSum := value(kind, after)
	if from == to || math.IsNaN(from) || math.IsNaN(to) {
		return change{}, false
	}
	c := change{labels: labels(after), text: signed(to - from)}
	switch kind {
	case dto.MetricType_GAUGE:
		c.text = number(from) + " -> " + number(to)
	case dto.MetricType_HISTOGRAM, dto.MetricType_SUMMARY:
		c.mean = mean(name, (toSum-fromSum)/(to-from))
	}
	return c, true
}

// value is a series as one number, the count of a histogram or summary, whose sum is the
// other result.
func value(kind dto.MetricType, m *dto.Metric) (v, sum float64) {
	switch kind {
	case dto.MetricType_COUNTER:
		return m.GetCounter().GetValue(), 0
	case dto.MetricType_GAUGE:
		return m.GetGauge().GetValue(), 0
	case dto.MetricType_HISTOGRAM:
		return float64(m.GetHistogram().GetSampleCount()), m.GetHistogram().GetSampleSum()
	case dto.MetricType_SUMMARY:
		return float64(m.GetSummary().GetSampleCount()), m.GetSummary().GetSampleSum()
	default:
		return m.GetUntyped().GetValue(), 0
	}
}

// mean is in the unit that the family's name ends with.
func mean(name string, v float64) string {
	if strings.HasSuffix(name, "_seconds") {
		return milliseconds(v * 1000)
	}
	return number(v)
}

func signed(v float64) string {
	if v > 0 {
		return "+" + number(v)
	}
	return number(v)
}

// number writes whole numbers in full and others short.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
