package memqdrant

import (
	"context"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

// Search, Recommend and their batches are what clients called before there was Query; Qdrant still serves them.

// parseSearch reads a search as a query.
func parseSearch(in *qdrant.SearchPoints) (*query, error) {
	q := &query{
		using:     in.GetVectorName(),
		threshold: in.ScoreThreshold,
		limit:     limitOr(&in.Limit, 0),
		offset:    limitOr(in.Offset, 0),
	}
	var err error
	if q.scoring, err = parseSearchVector(in.VectorName, in.GetVector(), in.GetSparseIndices()); err != nil {
		return nil, err
	}
	if q.filter, err = parseFilter(in.GetFilter()); err != nil {
		return nil, err
	}
	q.withVectors = parseVectorSelector(in.GetWithVectors())
	q.withPayload, err = parsePayloadSelector(in.GetWithPayload(), false)
	return q, err
}

// parseSearchVector reads a flat vector, sparse when it comes with indices.
func parseSearchVector(name *string, data []float32, indices *qdrant.SparseIndices) (scoring, error) {
	if indices == nil {
		return &nearest{to: vectorInput(denseVector(data))}, nil
	}
	if checkSparse(indices.GetData(), data) != nil {
		return nil, malformed("Sparse indices does not match sparse vector conditions: indices and values must be unique and of the same length")
	}
	if name == nil {
		return nil, malformed("Sparse vector must have a name")
	}
	return &nearest{to: vectorInput(newSparse(indices.GetData(), data))}, nil
}

// Search implements [qdrant.PointsServer].
func (s pointsService) Search(_ context.Context, in *qdrant.SearchPoints) (*qdrant.SearchResponse, error) {
	start := time.Now()
	if err := invalidBody(checkSearch(in)); err != nil {
		return nil, err
	}
	q, err := parseSearch(in)
	if err != nil {
		return nil, err
	}
	results, err := s.runAll(in.GetCollectionName(), []*query{q})
	if err != nil {
		return nil, err
	}
	return &qdrant.SearchResponse{Result: results[0].GetResult(), Time: seconds(start)}, nil
}

// SearchBatch implements [qdrant.PointsServer]. All searches run on the collection the batch names.
func (s pointsService) SearchBatch(_ context.Context, in *qdrant.SearchBatchPoints) (*qdrant.SearchBatchResponse, error) {
	start := time.Now()
	problems := append(checkName(in.GetCollectionName()), each("search_points", in.GetSearchPoints(), checkSearch)...)
	if err := invalidBody(append(problems, atLeastOne("timeout", in.Timeout)...)); err != nil {
		return nil, err
	}
	queries, err := parseAll(in.GetSearchPoints(), parseSearch)
	if err != nil {
		return nil, err
	}
	results, err := s.runAll(in.GetCollectionName(), queries)
	return &qdrant.SearchBatchResponse{Result: results, Time: seconds(start)}, err
}

// parseRecommend reads a recommendation as a query. Whether it has the examples it needs is for examplesFor to say:
// only Recommend and its batch ask, before they look anything up.
func parseRecommend(in *qdrant.RecommendPoints) (*query, error) {
	q := &query{
		using:     in.GetUsing(),
		threshold: in.ScoreThreshold,
		limit:     limitOr(&in.Limit, 0),
		offset:    limitOr(in.Offset, 0),
		lookup:    in.GetLookupFrom(),
	}
	r := &recommend{strategy: in.GetStrategy()}
	if _, known := qdrant.RecommendStrategy_name[int32(r.strategy)]; !known {
		return nil, malformed("Unknown recommend strategy: %d", r.strategy)
	}
	var err error
	if r.positive, err = parseExamples(in.GetPositive(), in.GetPositiveVectors()); err != nil {
		return nil, err
	}
	if r.negative, err = parseExamples(in.GetNegative(), in.GetNegativeVectors()); err != nil {
		return nil, err
	}
	q.scoring = r
	if q.filter, err = parseFilter(in.GetFilter()); err != nil {
		return nil, err
	}
	q.withVectors = parseVectorSelector(in.GetWithVectors())
	q.withPayload, err = parsePayloadSelector(in.GetWithPayload(), false)
	return q, err
}

func parseExamples(ids []*qdrant.PointId, vectors []*qdrant.Vector) ([]*input, error) {
	var inputs []*input
	for _, raw := range ids {
		id, err := parseID(raw)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, &input{id: &id})
	}
	for _, raw := range vectors {
		v, err := parseVector(raw)
		if err != nil {
			return nil, err
		}
		if v.multi != nil {
			return nil, malformed("MultiDense vector is not supported in search request")
		}
		inputs = append(inputs, vectorInput(v))
	}
	return inputs, nil
}

// examplesFor refuses recommendations without the examples that their strategy needs.
func examplesFor(queries []*query) error {
	for _, q := range queries {
		r, ok := q.scoring.(*recommend)
		switch {
		case !ok || len(r.positive) > 0:
		case r.strategy == qdrant.RecommendStrategy_AverageVector:
			return badRequest("At least one positive vector ID required with this strategy")
		case len(r.negative) == 0:
			return badRequest("At least one positive or negative vector ID required with this strategy")
		}
	}
	return nil
}

// Recommend implements [qdrant.PointsServer].
func (s pointsService) Recommend(_ context.Context, in *qdrant.RecommendPoints) (*qdrant.RecommendResponse, error) {
	start := time.Now()
	if err := invalidBody(checkRecommend(in)); err != nil {
		return nil, err
	}
	results, err := s.recommendAll(in.GetCollectionName(), []*qdrant.RecommendPoints{in})
	if err != nil {
		return nil, err
	}
	out := &qdrant.RecommendResponse{Time: seconds(start)}
	if len(results) > 0 {
		out.Result = results[0].GetResult()
	}
	return out, nil
}

// RecommendBatch implements [qdrant.PointsServer]. All of it runs on the collection the batch names.
func (s pointsService) RecommendBatch(_ context.Context, in *qdrant.RecommendBatchPoints) (*qdrant.RecommendBatchResponse, error) {
	start := time.Now()
	problems := append(checkName(in.GetCollectionName()), each("recommend_points", in.GetRecommendPoints(), checkRecommend)...)
	if err := invalidBody(append(problems, atLeastOne("timeout", in.Timeout)...)); err != nil {
		return nil, err
	}
	results, err := s.recommendAll(in.GetCollectionName(), in.GetRecommendPoints())
	return &qdrant.RecommendBatchResponse{Result: results, Time: seconds(start)}, err
}

// recommendAll answers nothing at all when no recommendation wants a result, as Qdrant does.
func (s pointsService) recommendAll(name string, in []*qdrant.RecommendPoints) ([]*qdrant.BatchResult, error) {
	queries, err := parseAll(in, parseRecommend)
	if err != nil {
		return nil, err
	}
	wanted := 0
	for _, q := range queries {
		wanted += q.limit
	}
	if wanted == 0 {
		return nil, s.read(name, func(*collection) error { return nil })
	}
	if err := s.read(name, func(*collection) error { return examplesFor(queries) }); err != nil {
		return nil, err
	}
	return s.runAll(name, queries)
}
