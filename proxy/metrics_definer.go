package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// family is what docs/metrics.md says of one metric.
type family struct {
	section, name, kind, help string
	labels                    []string
}

// definer makes metrics, registers them, and remembers what it made. It is used
// while a Server is made, and read afterwards.
type definer struct {
	registry *prometheus.Registry
	families []family
	section  string // of what is defined next
	// readings are what the Server reads when it is scraped.
	readings []reading
}

func newDefiner() definer { return definer{registry: prometheus.NewRegistry()} }

func (d *definer) note(kind, name, help string, labels []string) {
	d.families = append(d.families, family{d.section, name, kind, help, labels})
}

func (d *definer) counter(name, help string) prometheus.Counter {
	d.note("counter", name, help, nil)
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	d.registry.MustRegister(c)
	return c
}

func (d *definer) counters(name, help string, labels ...string) *prometheus.CounterVec {
	d.note("counter", name, help, labels)
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	d.registry.MustRegister(c)
	return c
}

func (d *definer) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	d.note("gauge", name, help, labels)
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	d.registry.MustRegister(g)
	return g
}

func (d *definer) histogram(name, help string) prometheus.Histogram {
	d.note("histogram", name, help, nil)
	h := prometheus.NewHistogram(histogramOf(name, help))
	d.registry.MustRegister(h)
	return h
}

func (d *definer) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	d.note("histogram", name, help, labels)
	h := prometheus.NewHistogramVec(histogramOf(name, help), labels)
	d.registry.MustRegister(h)
	return h
}

// histogramOf are the options of every histogram, all of which are of seconds. The
// native one has buckets a tenth apart, and makes them wider rather than have more
// than so many; it goes back to narrow ones once an hour.
func histogramOf(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: callBuckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// reading is a metric whose value is read when it is scraped.
type reading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func (d *definer) gauge(name, help string, labels ...string) reading {
	d.note("gauge", name, help, labels)
	return d.reading(prometheus.GaugeValue, name, help, labels)
}

// count is a counter that somebody else keeps.
func (d *definer) count(name, help string, labels ...string) reading {
	d.note("counter", name, help, labels)
	return d.reading(prometheus.CounterValue, name, help, labels)
}

func (d *definer) reading(kind prometheus.ValueType, name, help string, labels []string) reading {
	r := reading{prometheus.NewDesc(name, help, labels, nil), kind}
	d.readings = append(d.readings, r)
	return r
}

// runtime registers what every Go program has: its CPU and memory among it.
func (d *definer) runtime() {
	d.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
}
