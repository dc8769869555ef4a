package main

import (
	"context"

	"github.com/qdrant/go-client/qdrant"
)

// batch is how many points Go programs like to upsert at once.
const batch = 250

func (s *scenario) load() {
	s.step("upsert 10,000 points", write, func(ctx context.Context) (any, error) {
		statuses := map[string]int{}
		for first := 0; first < points; first += batch {
			list := make([]*qdrant.PointStruct, batch)
			for i := range list {
				list[i] = point(first + i)
			}
			r, err := s.client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: items, Wait: new(true), Points: list})
			if err != nil {
				return nil, err
			}
			statuses[r.GetStatus().String()]++
		}
		return statuses, nil
	})
	s.step("upsert a UUID", write, func(ctx context.Context) (any, error) {
		p := point(10_001)
		p.Id = qdrant.NewIDUUID(someUUID)
		return s.status(s.client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: items, Wait: new(true), Points: []*qdrant.PointStruct{p}}))
	})
	s.step("upsert named vectors", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: named, Wait: new(true), Points: books()}))
	})
	s.step("upsert without waiting", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: items, Points: []*qdrant.PointStruct{point(1)}}))
	})
}

// status leaves out the operation's number: a repeated write has another.
func (s *scenario) status(r *qdrant.UpdateResult, err error) (any, error) {
	return r.GetStatus().String(), err
}

func (s *scenario) payloads() {
	wait := new(true)
	s.step("set payload", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.SetPayload(ctx, &qdrant.SetPayloadPoints{
			CollectionName: items, Wait: wait, PointsSelector: selected(1, 2), Payload: qdrant.NewValueMap(map[string]any{"sale": true}),
		}))
	})
	s.step("set payload by filter", unsafe, func(ctx context.Context) (any, error) {
		return s.status(s.client.SetPayload(ctx, &qdrant.SetPayloadPoints{
			CollectionName: items, Wait: wait, PointsSelector: qdrant.NewPointsSelectorFilter(must(qdrant.NewMatchInt("n", 7))),
			Payload: qdrant.NewValueMap(map[string]any{"lucky": "yes"}),
		}))
	})
	s.step("overwrite payload", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.OverwritePayload(ctx, &qdrant.SetPayloadPoints{
			CollectionName: items, Wait: wait, PointsSelector: selected(3),
			Payload: qdrant.NewValueMap(map[string]any{"color": "weiß", "n": 3}),
		}))
	})
	s.step("delete payload", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.DeletePayload(ctx, &qdrant.DeletePayloadPoints{
			CollectionName: items, Wait: wait, PointsSelector: selected(4), Keys: []string{"price", "text"},
		}))
	})
	s.step("clear payload", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.ClearPayload(ctx, &qdrant.ClearPayloadPoints{CollectionName: items, Wait: wait, Points: selected(5)}))
	})
	s.step("payloads after edits", read, func(ctx context.Context) (any, error) {
		return s.client.Get(ctx, &qdrant.GetPoints{CollectionName: items, Ids: ids(1, 2, 3, 4, 5, 7), WithPayload: qdrant.NewWithPayload(true)})
	})
}

func (s *scenario) vectors() {
	s.step("update vectors", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.UpdateVectors(ctx, &qdrant.UpdatePointVectors{
			CollectionName: named, Wait: new(true),
			Points: []*qdrant.PointVectors{{Id: qdrant.NewIDNum(3), Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{
				"terms": qdrant.NewVectorSparse([]uint32{3}, []float32{1}),
			})}},
		}))
	})
	s.step("delete vectors", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.DeleteVectors(ctx, &qdrant.DeletePointVectors{
			CollectionName: named, Wait: new(true), PointsSelector: qdrant.NewPointsSelector(qdrant.NewIDUUID(otherUUID)),
			Vectors: &qdrant.VectorsSelector{Names: []string{"words"}},
		}))
	})
	s.step("vectors after edits", read, func(ctx context.Context) (any, error) {
		return s.client.Scroll(ctx, &qdrant.ScrollPoints{CollectionName: named, WithVectors: qdrant.NewWithVectors(true)})
	})
}

func (s *scenario) batches() {
	// Unsafe, because it deletes beside other changes.
	s.step("update batch", unsafe, func(ctx context.Context) (any, error) {
		list, err := s.client.UpdateBatch(ctx, &qdrant.UpdateBatchPoints{
			CollectionName: items, Wait: new(true),
			Operations: []*qdrant.PointsUpdateOperation{
				qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{Points: []*qdrant.PointStruct{point(20_000)}}),
				qdrant.NewPointsUpdateSetPayload(&qdrant.PointsUpdateOperation_SetPayload{
					PointsSelector: selected(20_000), Payload: qdrant.NewValueMap(map[string]any{"color": "black"}),
				}),
				qdrant.NewPointsUpdateDeletePoints(&qdrant.PointsUpdateOperation_DeletePoints{Points: selected(10)}),
			},
		})
		return len(list), err
	})
	s.step("delete by ids", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.Delete(ctx, &qdrant.DeletePoints{CollectionName: items, Wait: new(true), Points: selected(11, 12, 99_999)}))
	})
	s.step("delete by filter", unsafe, func(ctx context.Context) (any, error) {
		return s.status(s.client.Delete(ctx, &qdrant.DeletePoints{
			CollectionName: items, Wait: new(true),
			Points: qdrant.NewPointsSelectorFilter(must(qdrant.NewRange("n", &qdrant.Range{Gte: new(9000.0), Lt: new(9100.0)}))),
		}))
	})
	s.step("delete index", write, func(ctx context.Context) (any, error) {
		return s.status(s.client.DeleteFieldIndex(ctx, &qdrant.DeleteFieldIndexCollection{CollectionName: items, Wait: new(true), FieldName: "since"}))
	})
	s.step("count after deletes", read, func(ctx context.Context) (any, error) {
		return s.client.Count(ctx, &qdrant.CountPoints{CollectionName: items, Exact: new(true)})
	})
}
