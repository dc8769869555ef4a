package memqdrant

import (
	"math"

	"github.com/qdrant/go-client/qdrant"
)

// All arithmetic is float32 and in the order of the vector, as in Qdrant's plain kernels: scores of few dimensions
// come out equal to the bit, longer ones within a rounding of its SIMD kernels.

// similarity is larger for vectors that are closer; Euclid and Manhattan are negated for that.
func similarity(d qdrant.Distance, a, b []float32) float32 {
	var sum float32
	switch d {
	case qdrant.Distance_Euclid:
		for i, x := range a {
			diff := x - b[i]
			sum += diff * diff
		}
		return -sum
	case qdrant.Distance_Manhattan:
		for i, x := range a {
			sum += abs(x - b[i])
		}
		return -sum
	default: // cosine is the dot product of unit vectors
		for i, x := range a {
			sum += x * b[i]
		}
		return sum
	}
}

// scoreOf turns a similarity into the score that clients see.
func scoreOf(d qdrant.Distance, similarity float32) float32 {
	switch d {
	case qdrant.Distance_Euclid:
		return sqrt(abs(similarity))
	case qdrant.Distance_Manhattan:
		return abs(similarity)
	default:
		return similarity
	}
}

// smallerIsBetter tells which way scores of a distance are ordered.
func smallerIsBetter(d qdrant.Distance) bool {
	return d == qdrant.Distance_Euclid || d == qdrant.Distance_Manhattan
}

// compare returns how similar stored is to example and whether they can be compared at all: sparse vectors without a
// common index cannot, and are no result.
func (p vectorParams) compare(example, stored vector) (float32, bool) {
	switch {
	case example.sparse != nil && stored.sparse != nil:
		return sparseDot(example.sparse, stored.sparse)
	case example.dense != nil && stored.dense != nil:
		return similarity(p.distance, example.dense, stored.dense), true
	default:
		return p.maxSim(example.rows(), stored.rows()), true
	}
}

// maxSim adds up, for every row of the example, its best match among the stored rows.
func (p vectorParams) maxSim(example, stored [][]float32) float32 {
	var sum float32
	for _, q := range example {
		best := float32(math.Inf(-1))
		for _, s := range stored {
			best = max(best, similarity(p.distance, q, s))
		}
		sum += best
	}
	return sum
}

// rows sees a dense vector as a multi vector with one row.
func (v vector) rows() [][]float32 {
	if v.dense != nil {
		return [][]float32{v.dense}
	}
	return v.multi
}

// sparseDot walks two ascending index lists; overlap is false when they share nothing.
func sparseDot(a, b *sparseVector) (sum float32, overlap bool) {
	for i, j := 0, 0; i < len(a.indices) && j < len(b.indices); {
		switch {
		case a.indices[i] < b.indices[j]:
			i++
		case a.indices[i] > b.indices[j]:
			j++
		default:
			sum += a.values[i] * b.values[j]
			overlap = true
			i, j = i+1, j+1
		}
	}
	return sum, overlap
}

// normalised scales v to length one, and leaves it alone when it is zero or already there.
func normalised(v []float32) []float32 {
	var sum float32
	for _, x := range v {
		sum += x * x
	}
	if sum < 1.1920929e-7 || abs(sum-1) <= 1e-6 {
		return v
	}
	length := sqrt(sum)
	unit := make([]float32, len(v))
	for i, x := range v {
		unit[i] = x / length
	}
	return unit
}

func abs(x float32) float32  { return float32(math.Abs(float64(x))) }
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
