package seeing_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"qdrant-sidecar/test/sidecar"
)

// page is what /metrics shows.
type page struct {
	text   string
	series []series
}

// series is one line of it: "name{labels} value".
type series struct {
	name, labels string
	value        float64
}

// readPage asks the sidecar for it.
func readPage(t *testing.T, s *sidecar.Sidecar) page {
	t.Helper()
	text, err := s.Scrape()
	if err != nil {
		t.Fatal(err)
	}
	p := page{text: text}
	for line := range strings.Lines(p.text) {
		end := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || end < 0 {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[end:]), 64)
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		name, labels, _ := strings.Cut(line[:end], "{")
		p.series = append(p.series, series{name, labels, value})
	}
	return p
}

// each calls f with the values of a metric that have such a label.
func (p page) each(name, label string, f func(float64)) {
	for _, s := range p.series {
		if s.name == name && strings.Contains(s.labels, label) {
			f(s.value)
		}
	}
}

// sum adds them up.
func (p page) sum(name string, label ...string) (sum float64) {
	p.each(name, strings.Join(label, ","), func(v float64) { sum += v })
	return sum
}

// mean is the average of what a histogram has counted; 0 of nothing.
func (p page) mean(name, label string) float64 {
	if n := p.sum(name+"_count", label); n > 0 {
		return p.sum(name+"_sum", label) / n
	}
	return 0
}

// least is the smallest; 0 when there is none.
func (p page) least(name string) float64 {
	least := math.Inf(1)
	p.each(name, "", func(v float64) { least = min(least, v) })
	if math.IsInf(least, 1) {
		return 0
	}
	return least
}
