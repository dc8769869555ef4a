package memqdrant_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
)

func TestDistances(t *testing.T) {
	for _, tc := range []struct {
		distance qdrant.Distance
		ids      []uint64
		scores   []float32
	}{
		{qdrant.Distance_Dot, []uint64{3, 1, 2}, []float32{6, 3, 0}},
		{qdrant.Distance_Cosine, []uint64{1, 3, 2}, []float32{1, 0.970143, 0}},
		{qdrant.Distance_Euclid, []uint64{3, 1, 2}, []float32{1.118034, 2, 3.162278}},
		{qdrant.Distance_Manhattan, []uint64{3, 1, 2}, []float32{1.5, 2, 4}},
	} {
		t.Run(tc.distance.String(), func(t *testing.T) {
			a := newAPI(t)
			a.create(t, 2, tc.distance)
			a.put(t, at(1, []float32{1, 0}), at(2, []float32{0, 1}), at(3, []float32{2, 0.5}))
			search := &qdrant.QueryPoints{Query: qdrant.NewQuery(3, 0)}
			got, scores := a.query(t, search)
			wantIDs(t, got, tc.ids...)
			wantScores(t, scores, tc.scores...)

			search.ScoreThreshold = &scores[1] // strictly better than that is only the best
			got, _ = a.query(t, search)
			wantIDs(t, got, tc.ids[0])
		})
	}
}

// line is points 1…n on a line, each at its own number.
func line(t *testing.T, n int) api {
	a := newAPI(t)
	a.create(t, 2, qdrant.Distance_Dot)
	for i := range uint64(n) {
		a.put(t, at(i+1, []float32{float32(i + 1), 1}, "n", int(i+1)))
	}
	return a
}

func TestPrefetch(t *testing.T) {
	a := line(t, 6)
	up, down := qdrant.NewQuery(1, 0), qdrant.NewQuery(-1, 0)
	best := func(q *qdrant.Query, limit uint64) *qdrant.PrefetchQuery {
		return &qdrant.PrefetchQuery{Query: q, Limit: &limit}
	}
	for _, tc := range []struct {
		name   string
		query  *qdrant.QueryPoints
		ids    []uint64
		scores []float32
	}{
		{"rescored", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{best(up, 3)}, Query: down},
			[]uint64{4, 5, 6}, []float32{-4, -5, -6}},
		{"two sources rescored", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{best(up, 1), best(down, 1)}, Query: up},
			[]uint64{6, 1}, []float32{6, 1}},
		{"nested", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{
			{Prefetch: []*qdrant.PrefetchQuery{best(up, 4)}, Query: down, Limit: new(uint64(2))}}, Query: up},
			[]uint64{4, 3}, []float32{4, 3}},
		{"a filter of the root reaches the sources", &qdrant.QueryPoints{
			Prefetch: []*qdrant.PrefetchQuery{best(up, 2)}, Query: up, Filter: must(qdrant.NewRange("n", &qdrant.Range{Lt: new(5.0)}))},
			[]uint64{4, 3}, []float32{4, 3}},
		{"fused with another k", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{best(up, 2), best(up, 1)},
			Query: qdrant.NewQueryRRF(&qdrant.Rrf{K: new(uint32(10))})},
			[]uint64{6, 5}, []float32{2. / 10, 1. / 11}},
		{"fused with weights", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{best(up, 1), best(down, 1)},
			Query: qdrant.NewQueryRRF(&qdrant.Rrf{Weights: []float32{1, 3}})},
			[]uint64{1, 6}, []float32{1 / (1./3 + 1), 1. / 2}},
		{"fused above a threshold", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{best(up, 3)},
			Query: qdrant.NewQueryFusion(qdrant.Fusion_RRF), ScoreThreshold: new(float32(1. / 3))},
			[]uint64{6, 5}, []float32{1. / 2, 1. / 3}},
		{"fused by distribution: one result counts half", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{best(up, 1)},
			Query: qdrant.NewQueryFusion(qdrant.Fusion_DBSF)},
			[]uint64{6}, []float32{0.5}},
		{"fused by distribution: the mean counts half", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{best(up, 3)},
			Query: qdrant.NewQueryFusion(qdrant.Fusion_DBSF)},
			[]uint64{6, 5, 4}, []float32{0.5 + 1./6, 0.5, 0.5 - 1./6}},
		{"offset into fused", &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{best(up, 3)},
			Query: qdrant.NewQueryFusion(qdrant.Fusion_RRF), Offset: new(uint64(1)), Limit: new(uint64(1))},
			[]uint64{5}, []float32{1. / 3}},
		{"an id of a source is no result of the root", &qdrant.QueryPoints{
			Prefetch: []*qdrant.PrefetchQuery{best(qdrant.NewQueryID(qdrant.NewIDNum(6)), 2)}, Query: up},
			[]uint64{5, 4}, []float32{5, 4}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, scores := a.query(t, tc.query)
			wantIDs(t, got, tc.ids...)
			wantScores(t, scores, tc.scores...)
		})
	}
}

func TestRecommend(t *testing.T) {
	a := line(t, 4)
	input := func(id uint64) *qdrant.VectorInput { return qdrant.NewVectorInputID(qdrant.NewIDNum(id)) }
	recommend := func(s qdrant.RecommendStrategy, positive, negative []*qdrant.VectorInput) *qdrant.QueryPoints {
		return &qdrant.QueryPoints{Query: qdrant.NewQueryRecommend(&qdrant.RecommendInput{
			Positive: positive, Negative: negative, Strategy: &s})}
	}
	one, two := []*qdrant.VectorInput{input(1)}, []*qdrant.VectorInput{input(2)}
	half := func(x float32) float32 { return 0.5 * (x/(1+x) + 1) }
	for _, tc := range []struct {
		name   string
		query  *qdrant.QueryPoints
		ids    []uint64
		scores []float32
	}{
		{"average", recommend(qdrant.RecommendStrategy_AverageVector, two, one), []uint64{4, 3}, []float32{13, 10}},
		{"sum of scores", recommend(qdrant.RecommendStrategy_SumScores, two, one), []uint64{4, 3}, []float32{4, 3}},
		{"best score", recommend(qdrant.RecommendStrategy_BestScore, two, one), []uint64{4, 3}, []float32{half(9), half(7)}},
		{"best score of negatives only", recommend(qdrant.RecommendStrategy_BestScore, nil, two),
			[]uint64{1, 3, 4}, []float32{-half(3), -half(7), -half(9)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, scores := a.query(t, tc.query)
			wantIDs(t, got, tc.ids...)
			wantScores(t, scores, tc.scores...)
		})
	}
	_, err := a.Query(t.Context(), &qdrant.QueryPoints{CollectionName: "c",
		Query: recommend(qdrant.RecommendStrategy_AverageVector, nil, two).GetQuery()})
	wantStatus(t, err, codes.InvalidArgument, "Wrong input: Positive vectors should not be empty with `average` strategy")
}

func TestSparse(t *testing.T) {
	a := newAPI(t)
	a.createWith(t, &qdrant.CreateCollection{SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{
		"plain": {}, "rare": {Modifier: qdrant.Modifier_Idf.Enum()},
	})})
	for id, indices := range map[uint64][]uint32{1: {5, 1}, 2: {1}, 3: {1, 9}} {
		values := []float32{1, 2}[:len(indices)]
		v := qdrant.NewVectorSparse(indices, values)
		a.put(t, &qdrant.PointStruct{Id: qdrant.NewIDNum(id),
			Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{"plain": v, "rare": v})})
	}
	search := &qdrant.QueryPoints{Query: qdrant.NewQuerySparse([]uint32{9, 5}, []float32{1, 4}), Using: new("plain")}
	got, scores := a.query(t, search)
	wantIDs(t, got, 1, 3) // 2 shares no index with the query
	wantScores(t, scores, 4, 2)

	search.Using = new("rare")
	_, scores = a.query(t, search)
	idf := float32(math.Log((3-1+0.5)/(1+0.5) + 1))
	wantScores(t, scores, 4*idf, 2*idf)
}

func TestQueriesThatAreRefused(t *testing.T) {
	a := newAPI(t)
	a.createWith(t, &qdrant.CreateCollection{
		VectorsConfig:       qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"d": {Size: 2, Distance: qdrant.Distance_Dot}}),
		SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"s": {}}),
	})
	a.put(t, &qdrant.PointStruct{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectorsMap(nil)})
	sparse := qdrant.NewQuerySparse([]uint32{1}, []float32{1})
	for _, tc := range []struct {
		query *qdrant.QueryPoints
		code  codes.Code
		want  string
	}{
		{&qdrant.QueryPoints{Query: qdrant.NewQuery(1, 2), Using: new("s")}, codes.InvalidArgument,
			"Wrong input: Conversion between sparse and regular vectors failed"},
		{&qdrant.QueryPoints{Query: sparse, Using: new("d")}, codes.InvalidArgument,
			"Wrong input: Conversion between sparse and regular vectors failed"},
		{&qdrant.QueryPoints{Query: qdrant.NewQuerySparse([]uint32{1, 1}, []float32{1, 2}), Using: new("s")}, codes.InvalidArgument,
			"Validation error in body: [query.variant.variant.indices: Validation error: must be unique [{}]]"},
		{&qdrant.QueryPoints{Query: qdrant.NewQuerySparse([]uint32{1}, []float32{1, 2}), Using: new("s")}, codes.InvalidArgument,
			"values: Validation error: must be the same length as indices [{}]"},
		{&qdrant.QueryPoints{Query: qdrant.NewQueryID(qdrant.NewIDNum(1)), Using: new("d")}, codes.NotFound,
			`Not found: Vector with name "d" for point not found`},
		{&qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{{}}}, codes.InvalidArgument,
			"Bad request: A query is needed to merge the prefetches."},
		{&qdrant.QueryPoints{ScoreThreshold: new(float32(1))}, codes.InvalidArgument,
			"Bad request: A query is needed to use the score_threshold."},
		{&qdrant.QueryPoints{Query: qdrant.NewQueryFusion(qdrant.Fusion_RRF), Using: new("d"), Prefetch: []*qdrant.PrefetchQuery{{}}},
			codes.InvalidArgument, "Bad request: Fusion queries cannot be combined with the 'using' field."},
		{&qdrant.QueryPoints{Query: &qdrant.Query{}}, codes.InvalidArgument, "Query variant is missing"},
		{&qdrant.QueryPoints{Filter: must(qdrant.NewMatch("a..b", "x"))}, codes.InvalidArgument, "Invalid json path: 'a..b'"},
		{&qdrant.QueryPoints{Filter: must(field(&qdrant.FieldCondition{Key: "a"}))}, codes.InvalidArgument,
			"[filter.must[0].condition_one_of.match: Validation error: At least one field condition must be specified [{}]]"},
		{&qdrant.QueryPoints{Query: qdrant.NewQueryRRF(&qdrant.Rrf{Weights: []float32{1}}), Prefetch: []*qdrant.PrefetchQuery{{}, {}}},
			codes.InvalidArgument, "Number of weights in RRF should match number of pre-fetches: got 1, expected 2"},
		{&qdrant.QueryPoints{Query: qdrant.NewQueryID(qdrant.NewIDNum(1)), LookupFrom: &qdrant.LookupLocation{CollectionName: "no"}},
			codes.NotFound, "Not found: Collection no not found"},
		{&qdrant.QueryPoints{Query: qdrant.NewQueryContext(&qdrant.ContextInput{})}, codes.Unimplemented,
			"memory:// does not do context search; use a real Qdrant for it"},
	} {
		t.Run(tc.want, func(t *testing.T) {
			tc.query.CollectionName = "c"
			_, err := a.Query(t.Context(), tc.query)
			wantStatus(t, err, tc.code, tc.want)
		})
	}
}

func TestLookupFrom(t *testing.T) {
	a := line(t, 3)
	_, err := a.collections.Create(t.Context(), &qdrant.CreateCollection{CollectionName: "other", VectorsConfig: qdrant.NewVectorsConfigMap(
		map[string]*qdrant.VectorParams{"v": {Size: 2, Distance: qdrant.Distance_Dot}})})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: "other", Points: []*qdrant.PointStruct{{
		Id: qdrant.NewIDNum(3), Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{"v": qdrant.NewVectorDense([]float32{-1, 0})})}}})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := a.query(t, &qdrant.QueryPoints{
		Query:      qdrant.NewQueryID(qdrant.NewIDNum(3)),
		LookupFrom: &qdrant.LookupLocation{CollectionName: "other", VectorName: new("v")},
	})
	wantIDs(t, got, 1, 2, 3) // 3 is a result: the id was another collection's
}

func TestSample(t *testing.T) {
	a := line(t, 50)
	search := &qdrant.QueryPoints{Query: qdrant.NewQuerySample(qdrant.Sample_Random), Limit: new(uint64(50)), Offset: new(uint64(10))}
	first, scores := a.query(t, search)
	second, _ := a.query(t, search)
	if len(first) != 50 || scores[0] != 1 {
		t.Errorf("got %d points, score %v; want all 50 (an offset means nothing here), score 1", len(first), scores[0])
	}
	if slices.Equal(first, second) {
		t.Error("two samples of 50 came in the same order")
	}
	slices.Sort(first)
	if len(slices.Compact(first)) != 50 {
		t.Error("a sample has the same point twice")
	}
}

func TestMultiVectors(t *testing.T) {
	a := newAPI(t)
	a.createWith(t, &qdrant.CreateCollection{VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{
		Size: 2, Distance: qdrant.Distance_Cosine,
		MultivectorConfig: &qdrant.MultiVectorConfig{Comparator: qdrant.MultiVectorComparator_MaxSim},
	})})
	a.put(t, &qdrant.PointStruct{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectorsMulti([][]float32{{2, 0}, {0, 3}})})
	a.put(t, at(2, []float32{1, 1})) // a dense vector is one row
	_, scores := a.query(t, &qdrant.QueryPoints{Query: qdrant.NewQueryMulti([][]float32{{1, 0}, {0, 1}})})
	wantScores(t, scores, 2, float32(math.Sqrt2))

	out, err := a.Get(t.Context(), &qdrant.GetPoints{CollectionName: "c", Ids: []*qdrant.PointId{qdrant.NewIDNum(1)},
		WithVectors: qdrant.NewWithVectors(true)})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(out.GetResult()[0].GetVectors().GetVector().GetMultiDense().GetVectors())
	if want := fmt.Sprint([]*qdrant.DenseVector{{Data: []float32{1, 0}}, {Data: []float32{0, 1}}}); got != want {
		t.Errorf("stored %v, want it normalised row by row: %v", got, want)
	}
}
