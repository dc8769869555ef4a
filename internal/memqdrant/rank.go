package memqdrant

import (
	"cmp"
	"math"
	"slices"
)

// rank scores the vectors named q.using of all points that pass f and returns the best.
func (c *collection) rank(q *query, f *filter, similarity func(stored vector) (float32, bool)) []scored {
	r := ranking{limit: q.limit}
	for _, p := range c.points {
		stored, has := p.vectors[q.using]
		if !has || !c.matches(f, p) {
			continue
		}
		if s, comparable := similarity(stored); comparable {
			r.add(scored{point: p, score: s, similar: s, ranked: true})
		}
	}
	r.prune()
	return r.found
}

// ranking keeps the best of what is added. It holds up to twice its limit before it sorts, so that sorting is rare.
type ranking struct {
	limit int
	found []scored
	worst *scored // the last one within the limit, once that many were found
}

func (r *ranking) add(s scored) {
	if r.worst != nil && compareSimilar(s, *r.worst) > 0 {
		return
	}
	r.found = append(r.found, s)
	if len(r.found) >= 2*r.limit {
		r.prune()
	}
}

func (r *ranking) prune() {
	slices.SortFunc(r.found, compareSimilar)
	if len(r.found) >= r.limit && r.limit > 0 {
		worst := r.found[r.limit-1]
		r.worst = &worst
	}
	r.found = r.found[:min(r.limit, len(r.found))]
}

// compareSimilar orders by similarity, most similar first.
//
// Equal scores come out of a real Qdrant in the order its segments and their heaps leave them, which is stable enough
// for the recording to show: first segment first, within a segment the later point first.
func compareSimilar(a, b scored) int {
	return cmp.Or(
		cmp.Compare(b.similar, a.similar),
		cmp.Compare(a.point.segment, b.point.segment),
		cmp.Compare(b.point.insert, a.point.insert),
	)
}

// cut keeps the leading scores that are strictly better than the threshold.
func cut(found []scored, threshold *float32, smallerIsBetter bool) []scored {
	if threshold == nil {
		return found
	}
	end := slices.IndexFunc(found, func(s scored) bool {
		if smallerIsBetter {
			return s.score >= *threshold
		}
		return s.score <= *threshold
	})
	if end < 0 {
		return found
	}
	return found[:end]
}

// weighByRarity multiplies the values of a sparse query by the inverse document frequency of their indices.
func (c *collection) weighByRarity(name string, v vector) vector {
	var documents float64
	containing := make([]float64, len(v.sparse.indices))
	for _, p := range c.points {
		stored, has := p.vectors[name]
		if !has {
			continue
		}
		documents++
		for i, index := range v.sparse.indices {
			if _, found := slices.BinarySearch(stored.sparse.indices, index); found {
				containing[i]++
			}
		}
	}
	weighed := &sparseVector{indices: v.sparse.indices, values: make([]float32, len(v.sparse.values))}
	for i, value := range v.sparse.values {
		idf := math.Log((documents-containing[i]+0.5)/(containing[i]+0.5) + 1)
		weighed.values[i] = value * float32(idf)
	}
	return vector{sparse: weighed}
}
