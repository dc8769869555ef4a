package memqdrant

import (
	"context"
	"math"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

// grouping is a query whose results are put together by a payload value.
type grouping struct {
	*query
	by     path
	size   int // hits per group
	groups int
	lookup *groupLookup
}

// groupLookup finds for every group the point of another collection that has the group's value as its id.
type groupLookup struct {
	collection  string
	withPayload payloadSelector
	withVectors vectorSelector
}

// newGrouping completes a query whose limits a grouping sets itself.
func newGrouping(q *query, by string, size, groups int, with *qdrant.WithLookup) (*grouping, error) {
	g := &grouping{query: q, size: size, groups: groups}
	var err error
	if g.by, err = parsePath(by); err != nil {
		return nil, err
	}
	// Groups are only as good as what they are made from, so nothing is cut off before.
	q.limit, q.offset = math.MaxInt32, 0
	for _, p := range q.prefetch {
		p.widen(size)
	}
	if with == nil {
		return g, nil
	}
	g.lookup = &groupLookup{collection: with.GetCollection(), withVectors: parseVectorSelector(with.GetWithVectors())}
	g.lookup.withPayload, err = parsePayloadSelector(with.GetWithPayload(), true)
	return g, err
}

// widen raises the limits of prefetches so that they can fill groups.
func (q *query) widen(size int) {
	q.limit *= size
	for _, p := range q.prefetch {
		p.widen(size)
	}
}

// QueryGroups implements [qdrant.PointsServer].
func (s pointsService) QueryGroups(_ context.Context, in *qdrant.QueryPointGroups) (*qdrant.QueryGroupsResponse, error) {
	start := time.Now()
	if err := invalidBody(checkQueryGroups(in)); err != nil {
		return nil, err
	}
	q, err := parseQuery(&qdrant.QueryPoints{
		Prefetch: in.GetPrefetch(), Query: in.GetQuery(), Using: in.Using, Filter: in.GetFilter(), LookupFrom: in.GetLookupFrom(),
		ScoreThreshold: in.ScoreThreshold, WithPayload: in.GetWithPayload(), WithVectors: in.GetWithVectors(),
	})
	if err != nil {
		return nil, err
	}
	g, err := newGrouping(q, in.GetGroupBy(), limitOr(in.GroupSize, defaultGroupSize), limitOr(in.Limit, defaultLimit), in.GetWithLookup())
	if err != nil {
		return nil, err
	}
	result, err := s.group(in.GetCollectionName(), g)
	return &qdrant.QueryGroupsResponse{Result: result, Time: seconds(start)}, err
}

// SearchGroups implements [qdrant.PointsServer].
func (s pointsService) SearchGroups(_ context.Context, in *qdrant.SearchPointGroups) (*qdrant.SearchGroupsResponse, error) {
	start := time.Now()
	if err := invalidBody(checkSearchGroups(in)); err != nil {
		return nil, err
	}
	q, err := parseSearch(&qdrant.SearchPoints{
		Vector: in.GetVector(), SparseIndices: in.GetSparseIndices(), VectorName: in.VectorName, Filter: in.GetFilter(),
		ScoreThreshold: in.ScoreThreshold, WithPayload: in.GetWithPayload(), WithVectors: in.GetWithVectors(),
	})
	if err != nil {
		return nil, err
	}
	g, err := newGrouping(q, in.GetGroupBy(), int(in.GetGroupSize()), int(in.GetLimit()), in.GetWithLookup())
	if err != nil {
		return nil, err
	}
	result, err := s.group(in.GetCollectionName(), g)
	return &qdrant.SearchGroupsResponse{Result: result, Time: seconds(start)}, err
}

// RecommendGroups implements [qdrant.PointsServer].
func (s pointsService) RecommendGroups(_ context.Context, in *qdrant.RecommendPointGroups) (*qdrant.RecommendGroupsResponse, error) {
	start := time.Now()
	if err := invalidBody(checkRecommendGroups(in)); err != nil {
		return nil, err
	}
	q, err := parseRecommend(&qdrant.RecommendPoints{
		Positive: in.GetPositive(), Negative: in.GetNegative(), PositiveVectors: in.GetPositiveVectors(),
		NegativeVectors: in.GetNegativeVectors(), Strategy: in.Strategy, Using: in.Using, LookupFrom: in.GetLookupFrom(),
		Filter: in.GetFilter(), ScoreThreshold: in.ScoreThreshold, WithPayload: in.GetWithPayload(), WithVectors: in.GetWithVectors(),
	})
	if err != nil {
		return nil, err
	}
	g, err := newGrouping(q, in.GetGroupBy(), int(in.GetGroupSize()), int(in.GetLimit()), in.GetWithLookup())
	if err != nil {
		return nil, err
	}
	result, err := s.group(in.GetCollectionName(), g)
	return &qdrant.RecommendGroupsResponse{Result: result, Time: seconds(start)}, err
}

func (s pointsService) group(name string, g *grouping) (*qdrant.GroupsResult, error) {
	out := &qdrant.GroupsResult{}
	err := s.read(name, func(c *collection) error {
		found, err := s.db.run(c, g.query)
		if err != nil {
			return err
		}
		out.Groups = g.collect(found)
		return s.db.lookUp(g.lookup, out.Groups)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// groupKey is a value that groups can form by: a text or an integer.
type groupKey struct {
	isText  bool
	text    string
	integer int64
}

// collect walks hits from the best on; groups come in the order of their best hit.
func (g *grouping) collect(found []scored) []*qdrant.PointGroup {
	var groups []*qdrant.PointGroup
	at := map[groupKey]int{}
	for _, hit := range found {
		for _, key := range g.keys(hit.point) {
			i, known := at[key]
			if !known {
				if len(groups) == g.groups {
					continue
				}
				i = len(groups)
				at[key] = i
				groups = append(groups, &qdrant.PointGroup{Id: key.proto()})
			}
			if len(groups[i].Hits) < g.size {
				groups[i].Hits = append(groups[i].Hits, answers([]scored{hit}, g.query)...)
			}
		}
	}
	return groups
}

// keys are the groups that p belongs to. A single value that no group can form by keeps p out of all of them.
func (g *grouping) keys(p *point) []groupKey {
	var keys []groupKey
	seen := map[groupKey]bool{}
	for _, v := range g.by.get(p.payload, nil) {
		values := []*qdrant.Value{v}
		if list, ok := v.GetKind().(*qdrant.Value_ListValue); ok {
			values = list.ListValue.GetValues()
		}
		for _, item := range values {
			var key groupKey
			switch kind := item.GetKind().(type) {
			case *qdrant.Value_StringValue:
				key = groupKey{isText: true, text: kind.StringValue}
			case *qdrant.Value_IntegerValue:
				key = groupKey{integer: kind.IntegerValue}
			default:
				return nil
			}
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func (k groupKey) proto() *qdrant.GroupId {
	switch {
	case k.isText:
		return &qdrant.GroupId{Kind: &qdrant.GroupId_StringValue{StringValue: k.text}}
	case k.integer >= 0:
		return &qdrant.GroupId{Kind: &qdrant.GroupId_UnsignedValue{UnsignedValue: uint64(k.integer)}}
	default:
		return &qdrant.GroupId{Kind: &qdrant.GroupId_IntegerValue{IntegerValue: k.integer}}
	}
}

// lookUp adds to each group the point whose id is the group's value, where there is one.
func (db *database) lookUp(l *groupLookup, groups []*qdrant.PointGroup) error {
	if l == nil {
		return nil
	}
	c, err := db.find(l.collection)
	if err != nil {
		return notFound("Collection %s not found", l.collection)
	}
	for _, g := range groups {
		var raw *qdrant.PointId
		switch kind := g.GetId().GetKind().(type) {
		case *qdrant.GroupId_UnsignedValue:
			raw = qdrant.NewIDNum(kind.UnsignedValue)
		case *qdrant.GroupId_StringValue:
			raw = qdrant.NewIDUUID(kind.StringValue)
		}
		if id, err := parseID(raw); err == nil && c.byID[id] != nil {
			g.Lookup = c.byID[id].retrieved(l.withPayload, l.withVectors)
		}
	}
	return nil
}
