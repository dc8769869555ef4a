package memqdrant

import (
	"context"
	"slices"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

type pointsService struct {
	qdrant.UnimplementedPointsServer
	db *database
}

// read finds a collection and calls f with it under the read lock.
func (s pointsService) read(name string, f func(c *collection) error) error {
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	c, err := s.db.find(name)
	if err != nil {
		return err
	}
	return f(c)
}

// Get implements [qdrant.PointsServer]; points that are missing are left out.
func (s pointsService) Get(_ context.Context, in *qdrant.GetPoints) (*qdrant.GetResponse, error) {
	start := time.Now()
	if err := invalidBody(checkName(in.GetCollectionName())); err != nil {
		return nil, err
	}
	ids, err := parseIDs(in.GetIds())
	if err != nil {
		return nil, err
	}
	withPayload, err := parsePayloadSelector(in.GetWithPayload(), false)
	if err != nil {
		return nil, err
	}
	withVectors := parseVectorSelector(in.GetWithVectors())
	out := &qdrant.GetResponse{}
	err = s.read(in.GetCollectionName(), func(c *collection) error {
		for _, id := range ids {
			if p, ok := c.byID[id]; ok {
				out.Result = append(out.Result, p.retrieved(withPayload, withVectors))
			}
		}
		return nil
	})
	out.Time = seconds(start)
	return out, err
}

func (p *point) retrieved(withPayload payloadSelector, withVectors vectorSelector) *qdrant.RetrievedPoint {
	return &qdrant.RetrievedPoint{
		Id:      p.id.proto(),
		Payload: withPayload.of(p.payload),
		Vectors: withVectors.of(p.vectors),
	}
}

// Count implements [qdrant.PointsServer]; the count is exact whether asked for or not.
func (s pointsService) Count(_ context.Context, in *qdrant.CountPoints) (*qdrant.CountResponse, error) {
	start := time.Now()
	problems := append(checkName(in.GetCollectionName()), checkFilter("filter", in.GetFilter())...)
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	f, err := parseFilter(in.GetFilter())
	if err != nil {
		return nil, err
	}
	count := uint64(0)
	err = s.read(in.GetCollectionName(), func(c *collection) error {
		for _, p := range c.points {
			if c.matches(f, p) {
				count++
			}
		}
		return nil
	})
	return &qdrant.CountResponse{Result: &qdrant.CountResult{Count: count}, Time: seconds(start)}, err
}

// scroll is a parsed ScrollPoints.
type scroll struct {
	filter      *filter
	from        *pointID
	limit       int
	orderBy     *orderBy
	withPayload payloadSelector
	withVectors vectorSelector
}

func parseScroll(in *qdrant.ScrollPoints) (*scroll, error) {
	q := &scroll{limit: int(orElse(in.Limit, defaultLimit)), withVectors: parseVectorSelector(in.GetWithVectors())}
	if in.GetOffset() != nil {
		id, err := parseID(in.GetOffset())
		if err != nil {
			return nil, err
		}
		q.from = &id
	}
	var err error
	if q.filter, err = parseFilter(in.GetFilter()); err != nil {
		return nil, err
	}
	if in.GetOrderBy() != nil {
		if q.orderBy, err = parseOrderBy(in.GetOrderBy()); err != nil {
			return nil, err
		}
	}
	q.withPayload, err = parsePayloadSelector(in.GetWithPayload(), true)
	return q, err
}

// Scroll implements [qdrant.PointsServer].
func (s pointsService) Scroll(_ context.Context, in *qdrant.ScrollPoints) (*qdrant.ScrollResponse, error) {
	start := time.Now()
	if err := invalidBody(checkScroll(in)); err != nil {
		return nil, err
	}
	q, err := parseScroll(in)
	if err != nil {
		return nil, err
	}
	out := &qdrant.ScrollResponse{}
	err = s.read(in.GetCollectionName(), func(c *collection) error {
		if q.orderBy != nil {
			return c.scrollOrdered(q, out)
		}
		c.scroll(q, out)
		return nil
	})
	out.Time = seconds(start)
	return out, err
}

// scroll adds a page in the order of ids and the id at which the next one begins.
func (c *collection) scroll(q *scroll, out *qdrant.ScrollResponse) {
	first := 0
	if q.from != nil {
		first, _ = slices.BinarySearchFunc(c.points, *q.from, func(p *point, id pointID) int { return compareIDs(p.id, id) })
	}
	for _, p := range c.points[first:] {
		if !c.matches(q.filter, p) {
			continue
		}
		if len(out.Result) == q.limit {
			out.NextPageOffset = p.id.proto()
			return
		}
		out.Result = append(out.Result, p.retrieved(q.withPayload, q.withVectors))
	}
}

// scrollOrdered adds a page in the order of a payload value; pages go on by start_from, not by an offset.
func (c *collection) scrollOrdered(q *scroll, out *qdrant.ScrollResponse) error {
	if q.from != nil {
		return badInput("Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` " +
			"and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value")
	}
	entries, err := c.entries(q.orderBy, q.filter, q.limit)
	for _, e := range entries {
		r := e.point.retrieved(q.withPayload, q.withVectors)
		r.OrderValue = e.order.proto()
		out.Result = append(out.Result, r)
	}
	return err
}

// Facet implements [qdrant.PointsServer]; counts are exact whether asked for or not.
func (s pointsService) Facet(_ context.Context, in *qdrant.FacetCounts) (*qdrant.FacetResponse, error) {
	start := time.Now()
	if err := invalidBody(checkFacet(in)); err != nil {
		return nil, err
	}
	key, err := parsePath(in.GetKey())
	if err != nil {
		return nil, err
	}
	f, err := parseFilter(in.GetFilter())
	if err != nil {
		return nil, err
	}
	out := &qdrant.FacetResponse{}
	err = s.read(in.GetCollectionName(), func(c *collection) error {
		out.Hits, err = c.facet(key, f, limitOr(in.Limit, defaultLimit))
		return err
	})
	out.Time = seconds(start)
	return out, err
}

// Query implements [qdrant.PointsServer].
func (s pointsService) Query(_ context.Context, in *qdrant.QueryPoints) (*qdrant.QueryResponse, error) {
	start := time.Now()
	if err := invalidBody(checkQuery(in)); err != nil {
		return nil, err
	}
	q, err := parseQuery(in)
	if err != nil {
		return nil, err
	}
	results, err := s.runAll(in.GetCollectionName(), []*query{q})
	if err != nil {
		return nil, err
	}
	return &qdrant.QueryResponse{Result: results[0].GetResult(), Time: seconds(start)}, nil
}

// QueryBatch implements [qdrant.PointsServer]. All queries run on the collection the batch names.
func (s pointsService) QueryBatch(_ context.Context, in *qdrant.QueryBatchPoints) (*qdrant.QueryBatchResponse, error) {
	start := time.Now()
	problems := append(checkName(in.GetCollectionName()), each("query_points", in.GetQueryPoints(), checkQuery)...)
	if err := invalidBody(append(problems, atLeastOne("timeout", in.Timeout)...)); err != nil {
		return nil, err
	}
	queries, err := parseAll(in.GetQueryPoints(), parseQuery)
	if err != nil {
		return nil, err
	}
	results, err := s.runAll(in.GetCollectionName(), queries)
	return &qdrant.QueryBatchResponse{Result: results, Time: seconds(start)}, err
}

func parseAll[T any](in []T, parse func(T) (*query, error)) ([]*query, error) {
	queries := make([]*query, 0, len(in))
	for _, one := range in {
		q, err := parse(one)
		if err != nil {
			return nil, err
		}
		queries = append(queries, q)
	}
	return queries, nil
}

// runAll answers queries on one state of the collection.
func (s pointsService) runAll(name string, queries []*query) ([]*qdrant.BatchResult, error) {
	results := make([]*qdrant.BatchResult, 0, len(queries))
	err := s.read(name, func(c *collection) error {
		for _, q := range queries {
			found, err := s.db.run(c, q)
			if err != nil {
				return err
			}
			results = append(results, &qdrant.BatchResult{Result: answers(found, q)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

func answers(found []scored, q *query) []*qdrant.ScoredPoint {
	var out []*qdrant.ScoredPoint
	for _, s := range found {
		answer := &qdrant.ScoredPoint{
			Id:      s.point.id.proto(),
			Score:   s.score,
			Payload: q.withPayload.of(s.point.payload),
			Vectors: q.withVectors.of(s.point.vectors),
		}
		if s.ranked {
			answer.Version = s.point.version
		}
		if s.order != nil {
			answer.OrderValue = s.order.proto()
		}
		out = append(out, answer)
	}
	return out
}

// Discover implements [qdrant.PointsServer] by refusing.
func (pointsService) Discover(context.Context, *qdrant.DiscoverPoints) (*qdrant.DiscoverResponse, error) {
	return nil, unsupported("Discover")
}

// DiscoverBatch implements [qdrant.PointsServer] by refusing.
func (pointsService) DiscoverBatch(context.Context, *qdrant.DiscoverBatchPoints) (*qdrant.DiscoverBatchResponse, error) {
	return nil, unsupported("Discover")
}

// SearchMatrixPairs implements [qdrant.PointsServer] by refusing.
func (pointsService) SearchMatrixPairs(context.Context, *qdrant.SearchMatrixPoints) (*qdrant.SearchMatrixPairsResponse, error) {
	return nil, unsupported("distance matrices")
}

// SearchMatrixOffsets implements [qdrant.PointsServer] by refusing.
func (pointsService) SearchMatrixOffsets(context.Context, *qdrant.SearchMatrixPoints) (*qdrant.SearchMatrixOffsetsResponse, error) {
	return nil, unsupported("distance matrices")
}
