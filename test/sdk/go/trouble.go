package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

func (s *scenario) mistakes() {
	near := qdrant.NewQueryDense(vector(1))
	s.step("query of a collection that is not there", read, func(ctx context.Context) (any, error) {
		return s.client.Query(ctx, &qdrant.QueryPoints{CollectionName: ghost, Query: near})
	})
	s.step("query near a point that is not there", read, func(ctx context.Context) (any, error) {
		return s.client.Query(ctx, &qdrant.QueryPoints{CollectionName: items, Query: qdrant.NewQueryID(qdrant.NewIDNum(99_999))})
	})
	s.step("query of a vector that is not there", read, func(ctx context.Context) (any, error) {
		return s.client.Query(ctx, &qdrant.QueryPoints{CollectionName: named, Using: new("nope"), Query: near})
	})
	s.step("mistake: wrong dimension", write, func(ctx context.Context) (any, error) {
		return s.client.Upsert(ctx, &qdrant.UpsertPoints{
			CollectionName: items, Wait: new(true),
			Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1, 2)}},
		})
	})
	s.step("mistake: invalid request", read, func(ctx context.Context) (any, error) {
		return s.client.Scroll(ctx, &qdrant.ScrollPoints{CollectionName: items, Limit: new(uint32(0))})
	})
	s.step("mistake: upsert nowhere", write, func(ctx context.Context) (any, error) {
		return s.client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: ghost, Wait: new(true), Points: []*qdrant.PointStruct{point(1)}})
	})
	s.step("alias of nothing", unsafe, func(ctx context.Context) (any, error) {
		return nil, s.client.CreateAlias(ctx, "sdk-alias", ghost)
	})
	// The sidecar stores, and repeats, requests up to 4 MiB.
	s.step("upsert 6 MiB in one point", unsafe, func(ctx context.Context) (any, error) {
		p := point(30_000)
		p.Payload["large"] = qdrant.NewValueString(strings.Repeat("0123456789abcdef", 6<<16))
		return s.status(s.client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: items, Wait: new(true), Points: []*qdrant.PointStruct{p}}))
	})
	s.step("read 6 MiB in one point", read, func(ctx context.Context) (any, error) {
		return s.client.Get(ctx, &qdrant.GetPoints{CollectionName: items, Ids: ids(30_000), WithPayload: qdrant.NewWithPayload(true)})
	})
}

// parallel is 16 goroutines that share the client.
func (s *scenario) parallel() {
	const workers, each = 16, 10
	s.step("parallel reads", read, func(ctx context.Context) (any, error) {
		return together(workers, func(worker int) (any, error) {
			var last any
			for i := range each {
				list, err := s.client.Query(ctx, &qdrant.QueryPoints{CollectionName: items, Query: qdrant.NewQueryDense(vector(worker*each + i))})
				if err != nil {
					return nil, err
				}
				last = list[0].GetId().String()
			}
			return last, nil
		})
	})
	s.step("parallel writes", write, func(ctx context.Context) (any, error) {
		return together(workers, func(worker int) (any, error) {
			list := []*qdrant.PointStruct{}
			for i := range each {
				list = append(list, point(40_000+worker*each+i))
			}
			return s.status(s.client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: items, Wait: new(true), Points: list}))
		})
	})
	s.step("count after parallel writes", read, func(ctx context.Context) (any, error) {
		return s.client.Count(ctx, &qdrant.CountPoints{CollectionName: items, Exact: new(true)})
	})
}

func together(workers int, work func(worker int) (any, error)) (any, error) {
	results, errs := make([]any, workers), make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { results[w], errs[w] = work(w) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// patience is about time: a pause, and calls that are given up.
func (s *scenario) patience(idle time.Duration) {
	time.Sleep(idle) //nolint:forbidigo // not in the step, whose time would be over
	s.step("query after a pause", read, func(ctx context.Context) (any, error) {
		return s.client.Query(ctx, &qdrant.QueryPoints{CollectionName: items, Query: qdrant.NewQueryDense(vector(3))})
	})
	long := &qdrant.QueryBatchPoints{CollectionName: items}
	for i := range 300 {
		long.QueryPoints = append(long.QueryPoints, &qdrant.QueryPoints{
			CollectionName: items, Query: qdrant.NewQueryDense(vector(i)), Params: &qdrant.SearchParams{Exact: new(true)},
		})
	}
	s.step("timeout", read, func(ctx context.Context) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		defer cancel()
		list, err := s.client.QueryBatch(ctx, long)
		return len(list), err
	})
	s.step("cancel", read, func(ctx context.Context) (any, error) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(30*time.Millisecond, cancel)
		list, err := s.client.QueryBatch(ctx, long)
		return len(list), err
	})
	s.step("count after giving up", read, func(ctx context.Context) (any, error) {
		return s.client.Count(ctx, &qdrant.CountPoints{CollectionName: items, Exact: new(true)})
	})
}

// attempts makes one call of each kind, of different methods, for a runner that counts what reaches Qdrant.
func (s *scenario) attempts() {
	s.step("Query", read, func(ctx context.Context) (any, error) {
		return s.client.Query(ctx, &qdrant.QueryPoints{CollectionName: items, Query: qdrant.NewQueryDense(vector(1))})
	})
	s.step("SetPayload", write, func(ctx context.Context) (any, error) {
		return s.client.SetPayload(ctx, &qdrant.SetPayloadPoints{CollectionName: items, PointsSelector: selected(1)})
	})
	s.step("Create", read, func(ctx context.Context) (any, error) { // not unsafe: then it would be repeated here
		return nil, s.client.CreateCollection(ctx, &qdrant.CreateCollection{
			CollectionName: items,
			VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
		})
	})
}
