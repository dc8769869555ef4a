package main

import (
	"context"

	"github.com/qdrant/go-client/qdrant"
)

func (s *scenario) query(name string, q *qdrant.QueryPoints) {
	s.step("query "+name, read, func(ctx context.Context) (any, error) { return s.client.Query(ctx, q) })
}

func (s *scenario) queries() {
	near := qdrant.NewQueryDense(vector(77))
	s.query("nearest", &qdrant.QueryPoints{CollectionName: items, Query: near})
	s.query("by id", &qdrant.QueryPoints{CollectionName: items, Query: qdrant.NewQueryID(qdrant.NewIDNum(5)), Limit: new(uint64(3))})
	s.query("with everything", &qdrant.QueryPoints{
		CollectionName: items, Query: near, Limit: new(uint64(3)), Offset: new(uint64(1)), ScoreThreshold: new(float32(0.5)),
		Params:      &qdrant.SearchParams{Exact: new(true), HnswEf: new(uint64(64))},
		WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
	})
	s.query("filtered", &qdrant.QueryPoints{
		CollectionName: items, Query: near,
		WithPayload: qdrant.NewWithPayloadInclude("n", "color"),
		Filter: &qdrant.Filter{
			Must:    []*qdrant.Condition{qdrant.NewRange("price", &qdrant.Range{Gte: new(10.0), Lt: new(50.0)})},
			Should:  []*qdrant.Condition{qdrant.NewMatch("color", "red"), qdrant.NewMatchBool("sold", true)},
			MustNot: []*qdrant.Condition{qdrant.NewHasID(ids(1, 2, 3)...), qdrant.NewMatchKeywords("tags", "t0", "t1")},
		},
	})
	s.query("filtered by place, time and text", &qdrant.QueryPoints{
		CollectionName: items, Query: near,
		Filter: must(
			qdrant.NewGeoRadius("shop.at", 47.5, 8.5, 10_000),
			qdrant.NewMatchText("text", "number"),
			qdrant.NewFilterAsCondition(&qdrant.Filter{MinShould: &qdrant.MinShould{
				MinCount: 1, Conditions: []*qdrant.Condition{qdrant.NewIsEmpty("nothing"), qdrant.NewIsNull("color")},
			}}),
		),
	})
	s.query("named vector", &qdrant.QueryPoints{CollectionName: named, Using: new("text"), Query: qdrant.NewQueryDense([]float32{1, 2, 3})})
	s.query("sparse vector", &qdrant.QueryPoints{
		CollectionName: named, Using: new("terms"), Query: qdrant.NewQuerySparse([]uint32{7, 42}, []float32{1, 1}),
	})
	s.query("multivector", &qdrant.QueryPoints{
		CollectionName: named, Using: new("words"), Query: qdrant.NewQueryMulti([][]float32{{1, 0}, {0, 1}}),
	})
	s.query("recommend", &qdrant.QueryPoints{CollectionName: items, Query: qdrant.NewQueryRecommend(&qdrant.RecommendInput{
		Positive: []*qdrant.VectorInput{qdrant.NewVectorInputID(qdrant.NewIDNum(1))},
		Negative: []*qdrant.VectorInput{qdrant.NewVectorInputDense(vector(2))},
	})})
	s.query("fusion", &qdrant.QueryPoints{
		CollectionName: named,
		Prefetch: []*qdrant.PrefetchQuery{
			{Using: new("text"), Query: qdrant.NewQueryDense([]float32{1, 3, 0}), Limit: new(uint64(5))},
			{Using: new("terms"), Query: qdrant.NewQuerySparse([]uint32{7}, []float32{1}), Limit: new(uint64(5))},
		},
		Query: qdrant.NewQueryFusion(qdrant.Fusion_RRF),
	})
	s.query("order by", &qdrant.QueryPoints{
		CollectionName: items, Query: qdrant.NewQueryOrderBy(&qdrant.OrderBy{Key: "n", Direction: qdrant.Direction_Desc.Enum()}),
	})
	s.query("discover", &qdrant.QueryPoints{CollectionName: items, Query: qdrant.NewQueryDiscover(&qdrant.DiscoverInput{
		Target: qdrant.NewVectorInputDense(vector(9)),
		Context: &qdrant.ContextInput{Pairs: []*qdrant.ContextInputPair{{
			Positive: qdrant.NewVectorInputID(qdrant.NewIDNum(1)), Negative: qdrant.NewVectorInputID(qdrant.NewIDNum(2)),
		}}},
	})})
}

func (s *scenario) moreQueries() {
	near := qdrant.NewQueryDense(vector(77))
	s.query("formula", &qdrant.QueryPoints{
		CollectionName: items,
		Prefetch:       []*qdrant.PrefetchQuery{{Query: near}},
		Query: qdrant.NewQueryFormula(&qdrant.Formula{Expression: qdrant.NewExpressionSum(&qdrant.SumExpression{
			Sum: []*qdrant.Expression{qdrant.NewExpressionVariable("$score"), qdrant.NewExpressionConstant(1)},
		})}),
	})
	s.step("query sample", read, func(ctx context.Context) (any, error) {
		list, err := s.client.Query(ctx, &qdrant.QueryPoints{
			CollectionName: items, Query: qdrant.NewQuerySample(qdrant.Sample_Random), Limit: new(uint64(4)),
		})
		return len(list), err
	})
	s.step("query batch", read, func(ctx context.Context) (any, error) {
		return s.client.QueryBatch(ctx, &qdrant.QueryBatchPoints{CollectionName: items, QueryPoints: []*qdrant.QueryPoints{
			{CollectionName: items, Query: near, Limit: new(uint64(2))},
			{CollectionName: items, Filter: must(qdrant.NewMatchInt("n", 20))},
		}})
	})
	s.step("query groups", read, func(ctx context.Context) (any, error) {
		return s.client.QueryGroups(ctx, &qdrant.QueryPointGroups{
			CollectionName: items, Query: near, GroupBy: "color", GroupSize: new(uint64(2)), Limit: new(uint64(3)),
		})
	})
	s.step("facet", read, func(ctx context.Context) (any, error) {
		return s.client.Facet(ctx, &qdrant.FacetCounts{CollectionName: items, Key: "color", Exact: new(true)})
	})
	matrix := &qdrant.SearchMatrixPoints{
		CollectionName: items, Sample: new(uint64(3)), Limit: new(uint64(2)), Filter: must(qdrant.NewHasID(ids(1, 2, 3)...)),
	}
	s.step("distance matrix, pairs", read, func(ctx context.Context) (any, error) { return s.client.SearchMatrixPairs(ctx, matrix) })
	s.step("distance matrix, offsets", read, func(ctx context.Context) (any, error) {
		return s.client.SearchMatrixOffsets(ctx, matrix)
	})
}

func (s *scenario) scrolls() {
	s.step("count", read, func(ctx context.Context) (any, error) {
		return s.client.Count(ctx, &qdrant.CountPoints{CollectionName: items, Exact: new(true)})
	})
	s.step("count filtered", read, func(ctx context.Context) (any, error) {
		return s.client.Count(ctx, &qdrant.CountPoints{CollectionName: items, Exact: new(true), Filter: must(qdrant.NewMatch("color", "red"))})
	})
	s.step("retrieve", read, func(ctx context.Context) (any, error) {
		return s.client.Get(ctx, &qdrant.GetPoints{
			CollectionName: items, Ids: append(ids(1, 99_999), qdrant.NewIDUUID(someUUID)),
			WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
		})
	})
	s.step("scroll to the end", read, func(ctx context.Context) (any, error) {
		var all []string
		for offset := (*qdrant.PointId)(nil); ; {
			page, next, err := s.client.ScrollAndOffset(ctx, &qdrant.ScrollPoints{
				CollectionName: items, Limit: new(uint32(1000)), Offset: offset, WithPayload: qdrant.NewWithPayload(true),
			})
			if err != nil {
				return nil, err
			}
			for _, p := range page {
				all = append(all, p.GetId().String())
			}
			if offset = next; next == nil {
				return all, nil
			}
		}
	})
	s.step("scroll ordered", read, func(ctx context.Context) (any, error) {
		return s.client.Scroll(ctx, &qdrant.ScrollPoints{
			CollectionName: items, Limit: new(uint32(5)), OrderBy: &qdrant.OrderBy{Key: "n", StartFrom: qdrant.NewStartFromInt(4321)},
		})
	})
}
