package main

import (
	"context"

	"github.com/qdrant/go-client/qdrant"
)

// clear removes what an earlier run may have left. It is no step.
func (s *scenario) clear() {
	for _, name := range []string{items, named} {
		for range 20 {
			if exists, err := s.client.CollectionExists(s.ctx, name); err == nil && !exists {
				break
			}
			_ = s.client.DeleteCollection(s.ctx, name) // asked again above
		}
	}
}

func (s *scenario) schema() {
	s.step("health check", unsafe, func(ctx context.Context) (any, error) { return s.client.HealthCheck(ctx) })
	s.step("collection exists: no", read, func(ctx context.Context) (any, error) { return s.client.CollectionExists(ctx, items) })
	create := &qdrant.CreateCollection{
		CollectionName: items,
		VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: dimensions, Distance: qdrant.Distance_Cosine}),
	}
	s.step("create collection", unsafe, func(ctx context.Context) (any, error) { return nil, s.client.CreateCollection(ctx, create) })
	s.step("create collection with named vectors", unsafe, func(ctx context.Context) (any, error) {
		return nil, s.client.CreateCollection(ctx, &qdrant.CreateCollection{
			CollectionName: named,
			VectorsConfig: qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{
				"text": {Size: 3, Distance: qdrant.Distance_Dot},
				"words": {
					Size: 2, Distance: qdrant.Distance_Cosine,
					MultivectorConfig: &qdrant.MultiVectorConfig{Comparator: qdrant.MultiVectorComparator_MaxSim},
				},
			}),
			SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"terms": {}}),
		})
	})
	s.step("create collection: exists", unsafe, func(ctx context.Context) (any, error) { return nil, s.client.CreateCollection(ctx, create) })
	s.step("collection exists: yes", read, func(ctx context.Context) (any, error) { return s.client.CollectionExists(ctx, items) })
	s.step("list collections", read, func(ctx context.Context) (any, error) { return s.client.ListCollections(ctx) })
	s.step("update collection", write, func(ctx context.Context) (any, error) {
		return nil, s.client.UpdateCollection(ctx, &qdrant.UpdateCollection{
			CollectionName:   items,
			OptimizersConfig: &qdrant.OptimizersConfigDiff{IndexingThreshold: new(uint64(20000))},
		})
	})
	s.step("collection info", read, func(ctx context.Context) (any, error) {
		info, err := s.client.GetCollectionInfo(ctx, named)
		return info.GetConfig(), err
	})
	for _, index := range []struct {
		field string
		kind  qdrant.FieldType
	}{
		{"color", qdrant.FieldType_FieldTypeKeyword},
		{"n", qdrant.FieldType_FieldTypeInteger},
		{"price", qdrant.FieldType_FieldTypeFloat},
		{"shop.at", qdrant.FieldType_FieldTypeGeo},
		{"since", qdrant.FieldType_FieldTypeDatetime},
		{"text", qdrant.FieldType_FieldTypeText},
	} {
		s.step("index "+index.field, write, func(ctx context.Context) (any, error) {
			r, err := s.client.CreateFieldIndex(ctx, &qdrant.CreateFieldIndexCollection{
				CollectionName: items, Wait: new(true), FieldName: index.field, FieldType: index.kind.Enum(),
			})
			return r.GetStatus().String(), err
		})
	}
}

func (s *scenario) aliases() {
	s.step("create alias", unsafe, func(ctx context.Context) (any, error) { return nil, s.client.CreateAlias(ctx, "sdk-alias", items) })
	s.step("count by alias", read, func(ctx context.Context) (any, error) {
		return s.client.Count(ctx, &qdrant.CountPoints{CollectionName: "sdk-alias", Exact: new(true)})
	})
	s.step("rename alias", unsafe, func(ctx context.Context) (any, error) {
		return nil, s.client.RenameAlias(ctx, "sdk-alias", "sdk-renamed")
	})
	s.step("switch alias", unsafe, func(ctx context.Context) (any, error) {
		return nil, s.client.UpdateAliases(ctx, []*qdrant.AliasOperations{
			qdrant.NewAliasDelete("sdk-renamed"), qdrant.NewAliasCreate("sdk-renamed", named),
		})
	})
	s.step("list aliases", read, func(ctx context.Context) (any, error) { return s.client.ListAliases(ctx) })
	s.step("list aliases of a collection", read, func(ctx context.Context) (any, error) {
		return s.client.ListCollectionAliases(ctx, named)
	})
	s.step("delete alias", unsafe, func(ctx context.Context) (any, error) { return nil, s.client.DeleteAlias(ctx, "sdk-renamed") })
}

// snapshots have the time in their names.
func (s *scenario) snapshots() {
	var name string
	s.step("create snapshot", unsafe, func(ctx context.Context) (any, error) {
		snapshot, err := s.client.CreateSnapshot(ctx, named)
		name = snapshot.GetName()
		return err == nil, err
	})
	s.step("list snapshots", read, func(ctx context.Context) (any, error) {
		list, err := s.client.ListSnapshots(ctx, named)
		return len(list) > 0, err
	})
	s.step("delete snapshot", unsafe, func(ctx context.Context) (any, error) {
		return nil, s.client.DeleteSnapshot(ctx, named, name)
	})
	s.step("list full snapshots", read, func(ctx context.Context) (any, error) {
		list, err := s.client.ListFullSnapshots(ctx)
		return len(list), err
	})
}

func (s *scenario) farewell() {
	for _, name := range []string{items, named} {
		s.step("delete collection "+name, unsafe, func(ctx context.Context) (any, error) { return nil, s.client.DeleteCollection(ctx, name) })
	}
	s.step("delete collection: none", unsafe, func(ctx context.Context) (any, error) { return nil, s.client.DeleteCollection(ctx, ghost) })
}
