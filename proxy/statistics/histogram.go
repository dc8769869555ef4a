package statistics

import (
	"maps"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// histogram is how many calls took how long, in seconds: in buckets that were chosen,
// and, where they are known, in those of a native histogram, which are a tenth wide.
type histogram struct {
	count, sum float64
	// buckets are not cumulated. The last one is for what is above all bounds.
	bounds  []float64
	buckets []float64
	// native buckets reach up to 2^(index · 2^-schema); those of different schemas do
	// not go together, and then there are none. zero is for what is hardly anything.
	native map[int]float64
	schema int32
	zero   float64
}

// add adds one series of a family.
func (h *histogram) add(from *dto.Histogram) {
	other := histogram{count: float64(from.GetSampleCount()), sum: from.GetSampleSum()}
	before := uint64(0)
	for _, b := range from.GetBucket() {
		other.bounds = append(other.bounds, b.GetUpperBound())
		other.buckets = append(other.buckets, float64(b.GetCumulativeCount()-before))
		before = b.GetCumulativeCount()
	}
	other.buckets = append(other.buckets, float64(from.GetSampleCount()-before))
	if from.Schema != nil {
		other.native, other.schema, other.zero = readNative(from), from.GetSchema(), float64(from.GetZeroCount())
	}
	h.merge(other)
}

// readNative unpacks spans of buckets, of which each count is the difference to the
// one before.
func readNative(from *dto.Histogram) map[int]float64 {
	native := map[int]float64{}
	index, next, count := 0, 0, int64(0)
	for _, span := range from.GetPositiveSpan() {
		index += int(span.GetOffset())
		for range span.GetLength() {
			if next >= len(from.GetPositiveDelta()) {
				return native
			}
			count += from.GetPositiveDelta()[next]
			next++
			native[index] = float64(count)
			index++
		}
	}
	return native
}

// merge adds another one.
func (h *histogram) merge(other histogram) {
	if h.bounds == nil && h.count == 0 {
		*h = other
		h.buckets, h.native = slices.Clone(other.buckets), maps.Clone(other.native)
		return
	}
	h.count += other.count
	h.sum += other.sum
	for i := range min(len(h.buckets), len(other.buckets)) {
		h.buckets[i] += other.buckets[i]
	}
	if h.native == nil || other.native == nil || h.schema != other.schema {
		h.native = nil
		return
	}
	h.zero += other.zero
	for i, n := range other.native {
		h.native[i] += n
	}
}

// sub takes away what had been counted before.
func (h histogram) sub(before histogram) histogram {
	if before.count > h.count || before.bounds == nil {
		return h // nothing, or it began anew: another collection had its place in between
	}
	h.count -= before.count
	h.sum -= before.sum
	h.buckets = slices.Clone(h.buckets)
	for i := range min(len(h.buckets), len(before.buckets)) {
		h.buckets[i] -= before.buckets[i]
	}
	if h.native == nil || before.native == nil || h.schema != before.schema {
		h.native = nil
		return h
	}
	h.native = maps.Clone(h.native)
	h.zero -= before.zero
	for i, n := range before.native {
		h.native[i] -= n
	}
	return h
}

// quantile returns the time below which that part of the calls stayed, as if they
// were spread evenly in their bucket. There are some.
func (h histogram) quantile(q float64) time.Duration {
	left, lower := q*h.count, 0.0
	if h.native != nil {
		left -= h.zero
		for _, i := range slices.Sorted(maps.Keys(h.native)) {
			if n := h.native[i]; n > 0 && left <= n {
				width := math.Exp2(-float64(h.schema))
				return seconds(math.Exp2((float64(i) - 1 + max(left, 0)/n) * width))
			}
			left -= h.native[i]
		}
	}
	left = q * h.count
	for i, upper := range h.bounds {
		if n := h.buckets[i]; n > 0 && left <= n {
			return seconds(lower + (upper-lower)*left/n)
		}
		left -= h.buckets[i]
		lower = upper
	}
	return seconds(lower)
}

// mean returns the average; 0 for that of nothing.
func (h histogram) mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return seconds(h.sum / h.count)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
