package memqdrant

import (
	"cmp"
	"slices"
)

const defaultRRFK = 2

// fusion merges the results of prefetches: by rank, or by scores that each prefetch's distribution normalises.
type fusion struct {
	byDistribution bool
	k              int
	weights        []float32 // by rank only: how much each prefetch counts; empty is all the same
}

func (*fusion) inputs() []*input { return nil }

func (*fusion) best(*collection, *query, *filter) ([]scored, error) {
	return nil, badInput("Validation failed: cannot apply Fusion without prefetches")
}

// of fuses sources and keeps the best that reach the threshold.
func (f *fusion) of(sources [][]scored, threshold *float32, limit int) ([]scored, error) {
	if len(f.weights) > 0 && len(f.weights) != len(sources) {
		return nil, badInput("Validation failed: Number of weights in RRF should match number of pre-fetches: got %d, expected %d",
			len(f.weights), len(sources))
	}
	var fused []scored
	at := map[*point]int{}
	for i, source := range sources {
		if f.byDistribution {
			source = normalisedScores(source)
		}
		for rank, s := range source {
			if !f.byDistribution {
				s.score = f.rankScore(rank, i)
			}
			if known, again := at[s.point]; again {
				fused[known].score += s.score
				continue
			}
			at[s.point] = len(fused)
			fused = append(fused, s)
		}
	}
	// Stable, so equal scores come in the order of the prefetches; Qdrant leaves them to its hash map.
	slices.SortStableFunc(fused, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	if threshold != nil {
		if end := slices.IndexFunc(fused, func(s scored) bool { return s.score < *threshold }); end >= 0 {
			fused = fused[:end]
		}
	}
	return fused[:min(limit, len(fused))], nil
}

// rankScore is what a place (from 0) in the result of a prefetch is worth. A weight stretches the places.
func (f *fusion) rankScore(place, source int) float32 {
	weight := float32(1)
	if len(f.weights) > 0 {
		weight = f.weights[source]
	}
	if weight <= 0 {
		return 0
	}
	return 1 / (float32(place+1)/weight + float32(f.k) - 1)
}

// normalisedScores maps the scores within three standard deviations around their mean to 0…1.
func normalisedScores(source []scored) []scored {
	out := slices.Clone(source)
	if len(out) == 1 {
		out[0].score = 0.5
	}
	if len(out) < 2 {
		return out
	}
	var mean, squares float32 // Welford's running mean and sum of squared deviations
	for i, s := range out {
		before := s.score - mean
		mean += before / float32(i+1)
		squares += before * (s.score - mean)
	}
	deviation := sqrt(squares / float32(len(out)-1))
	low, high := mean-3*deviation, mean+3*deviation
	for i := range out {
		if low == high {
			out[i].score = 0.5
		} else {
			out[i].score = (out[i].score - low) / (high - low)
		}
	}
	return out
}
