package memqdrant

import (
	"math/rand/v2"
	"slices"
)

// scored is a point with what a query made of it.
type scored struct {
	point   *point
	score   float32
	ranked  bool        // the score says something about the vectors; only then do answers name the point's version
	order   *orderValue // the value it was ordered by
	similar float32     // the score before it was turned into a distance; larger is better
}

// maxPrefetchDepth is Qdrant's.
const maxPrefetchDepth = 64

// run answers a query on c. The caller holds the lock.
func (db *database) run(c *collection, q *query) ([]scored, error) {
	if err := db.resolve(c, q); err != nil {
		return nil, err
	}
	if err := q.validate(); err != nil {
		return nil, err
	}
	if depth := q.depth(); depth > maxPrefetchDepth {
		return nil, badInput("Validation failed: prefetches depth %d exceeds max depth %d", depth, maxPrefetchDepth)
	}
	root := *q
	root.filter = merge(exceptIDs(c.referenced(q)), q.filter)
	root.limit += root.offset
	if _, random := root.scoring.(sample); random && len(root.prefetch) == 0 {
		root.offset = 0
	}
	found, err := c.execute(&root, root.filter)
	if err != nil {
		return nil, err
	}
	found = slices.CompactFunc(found, func(a, b scored) bool { return a.point == b.point && a.score == b.score })
	found = found[min(root.offset, len(found)):]
	return found[:min(q.limit, len(found))], nil
}

// resolve replaces ids in the inputs of q and its prefetches by the vectors of those points.
func (db *database) resolve(c *collection, q *query) error {
	for _, in := range q.inputs() {
		if in.id == nil {
			continue
		}
		from, err := db.lookupCollection(c, q)
		if err != nil {
			return err
		}
		p, ok := from.byID[*in.id]
		if !ok {
			return noPoint(*in.id)
		}
		in.name = q.using
		if q.lookup != nil && q.lookup.VectorName != nil {
			in.name = q.lookup.GetVectorName()
		}
		in.vector, in.known = p.vectors[in.name]
	}
	for _, p := range q.prefetch {
		if err := db.resolve(c, p); err != nil {
			return err
		}
	}
	return nil
}

// lookupCollection is where the ids of q are looked up.
func (db *database) lookupCollection(c *collection, q *query) (*collection, error) {
	if q.lookup == nil {
		return c, nil
	}
	other, err := db.find(q.lookup.GetCollectionName())
	if err != nil {
		return nil, notFound("Collection %s not found", q.lookup.GetCollectionName())
	}
	return other, nil
}

// referenced are the ids that q and its prefetches look up in c itself; they are no result.
func (c *collection) referenced(q *query) []pointID {
	var ids []pointID
	if q.lookup == nil || q.lookup.GetCollectionName() == c.name {
		for _, in := range q.inputs() {
			if in.id != nil {
				ids = append(ids, *in.id)
			}
		}
	}
	for _, p := range q.prefetch {
		ids = append(ids, c.referenced(p)...)
	}
	return ids
}

// execute runs q with f in place of its filter. Filters reach down to where points are fetched and no further.
func (c *collection) execute(q *query, f *filter) ([]scored, error) {
	if len(q.prefetch) == 0 {
		return c.score(q, f)
	}
	sources := make([][]scored, 0, len(q.prefetch))
	fetched := map[pointID]bool{}
	for _, p := range q.prefetch {
		source, err := c.execute(p, merge(f, p.filter))
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
		for _, s := range source {
			fetched[s.point.id] = true
		}
	}
	if fuse, ok := q.scoring.(*fusion); ok {
		return fuse.of(sources, q.threshold, q.limit)
	}
	return c.score(q, &filter{must: []condition{idIn(fetched)}})
}

// score finds the best points among those that pass f.
func (c *collection) score(q *query, f *filter) ([]scored, error) {
	if q.scoring == nil {
		all := c.pass(f)
		return all[:min(q.limit, len(all))], nil
	}
	return q.scoring.best(c, q, f)
}

// pass returns the points that pass f in the order of ids, each with Qdrant's score for "not scored".
func (c *collection) pass(f *filter) []scored {
	var all []scored
	for _, p := range c.points {
		if c.matches(f, p) {
			all = append(all, scored{point: p, score: 1})
		}
	}
	return all
}

// sample takes random points.
type sample struct{}

func (sample) inputs() []*input { return nil }

func (sample) best(c *collection, q *query, f *filter) ([]scored, error) {
	all := c.pass(f)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(q.limit, len(all))], nil
}

// nearest scores by closeness to one vector.
type nearest struct{ to *input }

func (n *nearest) inputs() []*input { return []*input{n.to} }

func (n *nearest) best(c *collection, q *query, f *filter) ([]scored, error) {
	if !n.to.known {
		return nil, notFound("Vector with name %q for point not found", n.to.name)
	}
	params, example, err := c.example(q.using, n.to.vector)
	if err != nil {
		return nil, err
	}
	found := c.rank(q, f, func(stored vector) (float32, bool) { return params.compare(example, stored) })
	for i := range found {
		found[i].score = scoreOf(params.distance, found[i].similar)
	}
	return cut(found, q.threshold, smallerIsBetter(params.distance)), nil
}

// example checks and prepares a vector to compare the vectors of that name with.
func (c *collection) example(name string, v vector) (vectorParams, vector, error) {
	params, err := c.params(name)
	if err != nil {
		return params, v, err
	}
	if err := params.check(v); err != nil {
		return params, v, err
	}
	if params.idf {
		v = c.weighByRarity(name, v)
	}
	return params, params.prepare(v), nil
}
