package memqdrant

import (
	"math"
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// recommend scores by closeness to positive and distance from negative examples.
type recommend struct {
	positive, negative []*input
	strategy           qdrant.RecommendStrategy
}

// knownVectors leaves out ids whose points lack the vector in question.
func knownVectors(inputs []*input) []vector {
	var known []vector
	for _, in := range inputs {
		if in.known {
			known = append(known, in.vector)
		}
	}
	return known
}

func (r *recommend) inputs() []*input { return slices.Concat(r.positive, r.negative) }

func (r *recommend) best(c *collection, q *query, f *filter) ([]scored, error) {
	positive, negative := knownVectors(r.positive), knownVectors(r.negative)
	score := bestScore
	switch r.strategy {
	case qdrant.RecommendStrategy_BestScore:
	case qdrant.RecommendStrategy_SumScores:
		score = sumScores
	default:
		target, err := averageTarget(positive, negative)
		if err != nil {
			return nil, err
		}
		return (&nearest{to: vectorInput(target)}).best(c, q, f)
	}
	params, err := c.params(q.using)
	if err != nil {
		return nil, err
	}
	for _, examples := range [][]vector{positive, negative} {
		for i := range examples {
			if _, examples[i], err = c.example(q.using, examples[i]); err != nil {
				return nil, err
			}
		}
	}
	found := c.rank(q, f, func(stored vector) (float32, bool) {
		return score(params.compareAll(positive, stored), params.compareAll(negative, stored)), true
	})
	// These scores are no distances, yet Qdrant compares them with the threshold as if they were.
	return cut(found, q.threshold, smallerIsBetter(params.distance)), nil
}

func (p vectorParams) compareAll(examples []vector, stored vector) []float32 {
	similar := make([]float32, len(examples))
	for i, example := range examples {
		similar[i], _ = p.compare(example, stored) // sparse vectors without overlap: 0
	}
	return similar
}

// bestScore takes the closest example; a negative one counts against the point.
func bestScore(positive, negative []float32) float32 {
	best := func(similar []float32) float32 {
		top := float32(math.Inf(-1))
		for _, s := range similar {
			top = max(top, s)
		}
		return top
	}
	p, n := best(positive), best(negative)
	if p > n {
		return sigmoid(p)
	}
	return -sigmoid(n)
}

// sigmoid maps any number to 0…1 without an exponential.
func sigmoid(x float32) float32 {
	if math.IsInf(float64(x), 0) {
		return float32(math.NaN()) // as the division below would, in Qdrant too
	}
	return 0.5 * (x/(1+abs(x)) + 1)
}

func sumScores(positive, negative []float32) float32 {
	var sum, minus float32
	for _, s := range positive {
		sum += s
	}
	for _, s := range negative {
		minus += s
	}
	return sum - minus
}

// averageTarget is the vector to search with: the average of the positives, moved away from that of the negatives.
func averageTarget(positive, negative []vector) (vector, error) {
	target, err := average(positive)
	if err != nil || len(negative) == 0 {
		return target, err
	}
	away, err := average(negative)
	if err != nil {
		return vector{}, err
	}
	switch {
	case target.dense != nil && away.dense != nil:
		moved := make([]float32, min(len(target.dense), len(away.dense)))
		for i := range moved {
			moved[i] = target.dense[i] + target.dense[i] - away.dense[i]
		}
		return vector{dense: moved}, nil
	case target.sparse != nil && away.sparse != nil:
		return target.sparse.combine(away.sparse, func(p, n float32) float32 { return p + p - n }), nil
	case target.multi != nil && away.multi != nil:
		rows := target.multi
		for _, row := range away.multi {
			negated := make([]float32, len(row))
			for i, x := range row {
				negated[i] = -x
			}
			rows = append(rows, negated)
		}
		return vector{multi: rows}, nil
	}
	return vector{}, badInput("Positive and negative vectors should be of the same type, either all dense or all sparse or all multi")
}

// average adds up vectors of one kind and divides by their number; multi vectors are put together instead.
func average(vectors []vector) (vector, error) {
	if len(vectors) == 0 {
		return vector{}, badInput("Positive vectors should not be empty with `average` strategy")
	}
	var sum vector
	for i, v := range vectors {
		switch {
		case i > 0 && (v.dense == nil) != (sum.dense == nil), i > 0 && (v.sparse == nil) != (sum.sparse == nil):
			return vector{}, badInput("Can't average vectors with different types")
		case v.dense != nil:
			total := make([]float32, max(len(sum.dense), len(v.dense)))
			copy(total, sum.dense)
			for j, x := range v.dense {
				total[j] += x
			}
			sum.dense = total
		case v.sparse != nil:
			if sum.sparse == nil {
				sum.sparse = &sparseVector{}
			}
			sum = v.sparse.combine(sum.sparse, func(a, b float32) float32 { return a + b })
		default:
			sum.multi = append(slices.Clip(sum.multi), v.multi...)
		}
	}
	values := sum.dense
	if sum.sparse != nil {
		values = sum.sparse.values
	}
	for i := range values {
		values[i] /= float32(len(vectors))
	}
	return sum, nil
}

// combine merges two sparse vectors index by index; a missing value is 0. The result shares nothing with them.
func (s *sparseVector) combine(other *sparseVector, op func(a, b float32) float32) vector {
	out := &sparseVector{}
	for i, j := 0, 0; i < len(s.indices) || j < len(other.indices); {
		var index uint32
		var a, b float32
		switch {
		case j == len(other.indices) || i < len(s.indices) && s.indices[i] < other.indices[j]:
			index, a = s.indices[i], s.values[i]
			i++
		case i == len(s.indices) || other.indices[j] < s.indices[i]:
			index, b = other.indices[j], other.values[j]
			j++
		default:
			index, a, b = s.indices[i], s.values[i], other.values[j]
			i, j = i+1, j+1
		}
		out.indices = append(out.indices, index)
		out.values = append(out.values, op(a, b))
	}
	return vector{sparse: out}
}
