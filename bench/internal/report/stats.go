// Package report makes tables of what was measured: medians and minima, ratios
// within one run, and what of the sidecar's limits holds.
package report

import (
	"math"
	"slices"
	"time"

	"qdrant-sidecar/bench/internal/run"
)

// value takes one number out of a round.
type value func(run.Round) float64

func cpu(r run.Round) float64  { return micros(r.CPU) }
func rate(r run.Round) float64 { return r.Rate }
func mb(r run.Round) float64   { return r.MB }
func p50(r run.Round) float64  { return micros(r.P50) }
func p99(r run.Round) float64  { return micros(r.P99) }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// each applies a value to all rounds.
func each(rounds []run.Round, v value) []float64 {
	out := make([]float64, len(rounds))
	for i, r := range rounds {
		out[i] = v(r)
	}
	return out
}

// median returns NaN without numbers.
func median(numbers []float64) float64 {
	if len(numbers) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(numbers))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// least returns NaN without numbers.
func least(numbers []float64) float64 {
	if len(numbers) == 0 {
		return math.NaN()
	}
	return slices.Min(numbers)
}

// ratio is the median of a's value over b's in the same round: a machine that is
// slow for a whole round is slow for both.
func ratio(a, b []run.Round, v value) float64 {
	return paired(a, b, func(x, y run.Round) float64 { return v(x) / v(y) })
}

// added is the median of a's value less b's in the same round.
func added(a, b []run.Round, v value) float64 {
	return paired(a, b, func(x, y run.Round) float64 { return v(x) - v(y) })
}

func paired(a, b []run.Round, of func(x, y run.Round) float64) float64 {
	var out []float64
	for i := range min(len(a), len(b)) {
		out = append(out, of(a[i], b[i]))
	}
	return median(out)
}
