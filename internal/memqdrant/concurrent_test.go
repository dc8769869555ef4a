package memqdrant_test

import (
	"sync"
	"testing"

	"github.com/qdrant/go-client/qdrant"
)

// Readers marshal answers after the lock is released; writers must not touch what those share.
func TestConcurrentUse(t *testing.T) {
	const workers, rounds = 8, 60
	a := newAPI(t)
	a.create(t, 2, qdrant.Distance_Cosine)
	a.put(t, at(1, []float32{1, 1}, "a", object{"b": 1}, "list", []any{object{"k": 1}}))
	ctx := t.Context()
	calls := []func(i uint64) error{
		func(i uint64) error {
			_, err := a.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "c", Wait: new(true), Points: []*qdrant.PointStruct{
				at(i%5+1, []float32{float32(i), 1}, "a", object{"b": int(i)}, "list", []any{object{"k": 1}})}})
			return err
		},
		func(i uint64) error {
			_, err := a.SetPayload(ctx, &qdrant.SetPayloadPoints{CollectionName: "c", Wait: new(true), Key: new("list[]"),
				Payload: fields("n", int(i)), PointsSelector: byNum(1)})
			return err
		},
		func(uint64) error {
			_, err := a.DeletePayload(ctx, &qdrant.DeletePayloadPoints{CollectionName: "c", Keys: []string{"a.b", "list[].n"}, PointsSelector: byNum(1)})
			return err
		},
		func(i uint64) error {
			_, err := a.UpdateVectors(ctx, &qdrant.UpdatePointVectors{CollectionName: "c", Points: []*qdrant.PointVectors{
				{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(float32(i), 2)}}})
			return err
		},
		func(uint64) error {
			_, err := a.Query(ctx, &qdrant.QueryPoints{CollectionName: "c", Query: qdrant.NewQuery(1, 0),
				WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true)})
			return err
		},
		func(uint64) error {
			_, err := a.Scroll(ctx, &qdrant.ScrollPoints{CollectionName: "c", WithPayload: qdrant.NewWithPayloadInclude("list[].k")})
			return err
		},
		func(uint64) error {
			_, err := a.collections.Get(ctx, &qdrant.GetCollectionInfoRequest{CollectionName: "c"})
			return err
		},
		func(i uint64) error {
			_, err := a.collections.Update(ctx, &qdrant.UpdateCollection{CollectionName: "c",
				OptimizersConfig: &qdrant.OptimizersConfigDiff{IndexingThreshold: &i}, Metadata: fields("i", int(i))})
			return err
		},
		func(i uint64) error {
			_, err := a.Delete(ctx, &qdrant.DeletePoints{CollectionName: "c", Points: byNum(i%4 + 2)})
			return err
		},
	}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range rounds {
				if err := calls[(worker+i)%len(calls)](uint64(i)); err != nil {
					t.Errorf("call %d: %v", (worker+i)%len(calls), err)
				}
			}
		})
	}
	wg.Wait()
}
