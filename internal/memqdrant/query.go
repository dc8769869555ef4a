package memqdrant

import (
	"github.com/qdrant/go-client/qdrant"
)

const (
	defaultLimit     = 10
	defaultGroupSize = 3
)

// query is one step of a search: score the points that come from the prefetches, or all points without any.
type query struct {
	prefetch []*query
	scoring  scoring // nil: every point scores 1, in the order of ids
	using    string  // the vector to compare with
	filter   *filter

	threshold     *float32
	limit, offset int
	lookup        *qdrant.LookupLocation // where ids are looked up; nil is here

	withPayload payloadSelector
	withVectors vectorSelector
}

// scoring is how a query scores points.
type scoring interface {
	// inputs are the vectors that points are compared with.
	inputs() []*input
	// best returns the best points among those that pass f, at most q.limit.
	best(c *collection, q *query, f *filter) ([]scored, error)
}

// input is a vector of a query, given as such or as the id of a point that has it.
type input struct {
	id     *pointID
	name   string // of the vector that id stands for, once it was looked up
	vector vector
	known  bool // vector is set: always, unless the point of that id has none of that name
}

// parseQuery reads a universal query.
func parseQuery(in *qdrant.QueryPoints) (*query, error) {
	q := &query{
		using:     in.GetUsing(),
		threshold: in.ScoreThreshold,
		limit:     limitOr(in.Limit, defaultLimit),
		offset:    limitOr(in.Offset, 0),
		lookup:    in.GetLookupFrom(),
	}
	var err error
	if q.prefetch, err = parsePrefetches(in.GetPrefetch()); err != nil {
		return nil, err
	}
	if q.scoring, err = parseScoring(in.GetQuery()); err != nil {
		return nil, err
	}
	if q.filter, err = parseFilter(in.GetFilter()); err != nil {
		return nil, err
	}
	q.withVectors = parseVectorSelector(in.GetWithVectors())
	q.withPayload, err = parsePayloadSelector(in.GetWithPayload(), false)
	return q, err
}

// limitOr reads an optional count. Counts that no collection reaches are cut, so that sums of them stay in range.
func limitOr(v *uint64, byDefault int) int {
	const enough = 1 << 30
	if v == nil {
		return byDefault
	}
	return int(min(*v, enough))
}

func parsePrefetches(in []*qdrant.PrefetchQuery) ([]*query, error) {
	var queries []*query
	for _, p := range in {
		q := &query{
			using:     p.GetUsing(),
			threshold: p.ScoreThreshold,
			limit:     limitOr(p.Limit, defaultLimit),
			lookup:    p.GetLookupFrom(),
		}
		var err error
		if q.prefetch, err = parsePrefetches(p.GetPrefetch()); err != nil {
			return nil, err
		}
		if q.scoring, err = parseScoring(p.GetQuery()); err != nil {
			return nil, err
		}
		if q.filter, err = parseFilter(p.GetFilter()); err != nil {
			return nil, err
		}
		queries = append(queries, q)
	}
	return queries, nil
}

func parseScoring(in *qdrant.Query) (scoring, error) {
	if in == nil {
		return nil, nil
	}
	switch v := in.GetVariant().(type) {
	case *qdrant.Query_Nearest:
		to, err := parseInput(v.Nearest)
		return &nearest{to: to}, err
	case *qdrant.Query_Recommend:
		r := &recommend{strategy: v.Recommend.GetStrategy()}
		var err error
		if r.positive, err = parseInputs(v.Recommend.GetPositive()); err != nil {
			return nil, err
		}
		r.negative, err = parseInputs(v.Recommend.GetNegative())
		return r, err
	case *qdrant.Query_OrderBy:
		return parseOrderBy(v.OrderBy)
	case *qdrant.Query_Fusion:
		switch v.Fusion {
		case qdrant.Fusion_RRF:
			return &fusion{k: defaultRRFK}, nil
		case qdrant.Fusion_DBSF:
			return &fusion{byDistribution: true}, nil
		}
		return nil, malformed("invalid fusion type value %d", v.Fusion)
	case *qdrant.Query_Rrf:
		return &fusion{k: int(orElse(v.Rrf.K, defaultRRFK)), weights: v.Rrf.GetWeights()}, nil
	case *qdrant.Query_Sample:
		return sample{}, nil
	case *qdrant.Query_Discover:
		return nil, unsupported("Discover")
	case *qdrant.Query_Context:
		return nil, unsupported("context search")
	case *qdrant.Query_Formula:
		return nil, unsupported("formulas")
	case *qdrant.Query_NearestWithMmr:
		return nil, unsupported("MMR")
	case *qdrant.Query_RelevanceFeedback:
		return nil, unsupported("relevance feedback")
	default:
		return nil, malformed("Query variant is missing")
	}
}

func orElse[T any](v *T, byDefault T) T {
	if v == nil {
		return byDefault
	}
	return *v
}

func parseInputs(in []*qdrant.VectorInput) ([]*input, error) {
	inputs := make([]*input, 0, len(in))
	for _, raw := range in {
		parsed, err := parseInput(raw)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, parsed)
	}
	return inputs, nil
}

func parseInput(in *qdrant.VectorInput) (*input, error) {
	switch v := in.GetVariant().(type) {
	case *qdrant.VectorInput_Id:
		id, err := parseID(v.Id)
		return &input{id: &id}, err
	case *qdrant.VectorInput_Dense:
		return vectorInput(denseVector(v.Dense.GetData())), nil
	case *qdrant.VectorInput_Sparse:
		return vectorInput(newSparse(v.Sparse.GetIndices(), v.Sparse.GetValues())), nil
	case *qdrant.VectorInput_MultiDense:
		return vectorInput(multiVector(v.MultiDense)), nil
	case *qdrant.VectorInput_Document, *qdrant.VectorInput_Image, *qdrant.VectorInput_Object:
		return nil, unsupported("inference")
	default:
		return nil, malformed("VectorInput variant is missing")
	}
}

func vectorInput(v vector) *input { return &input{vector: v, known: true} }

// inputs are the vectors that q itself compares points with.
func (q *query) inputs() []*input {
	if q.scoring == nil {
		return nil
	}
	return q.scoring.inputs()
}

// depth is how many levels of prefetches q has.
func (q *query) depth() int {
	deepest := 0
	for _, p := range q.prefetch {
		deepest = max(deepest, 1+p.depth())
	}
	return deepest
}

// validate refuses combinations that make no sense, in q and everything it prefetches.
func (q *query) validate() error {
	if len(q.prefetch) > 0 && q.scoring == nil {
		return badRequest("A query is needed to merge the prefetches. Can't have prefetches without defining a query.")
	}
	if q.threshold != nil {
		if _, ordered := q.scoring.(*orderBy); ordered {
			return badRequest("Can't use score_threshold with an order_by query.")
		}
		if q.scoring == nil {
			return badRequest("A query is needed to use the score_threshold. Can't have score_threshold without defining a query.")
		}
	}
	if _, fused := q.scoring.(*fusion); fused && q.using != "" {
		return badRequest("Fusion queries cannot be combined with the 'using' field.")
	}
	for _, p := range q.prefetch {
		if err := p.validate(); err != nil {
			return err
		}
	}
	return nil
}
