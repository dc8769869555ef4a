package memqdrant_test

import (
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
)

func (a api) exists(t testing.TB, name string) bool {
	t.Helper()
	out, err := a.collections.CollectionExists(t.Context(), &qdrant.CollectionExistsRequest{CollectionName: name})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetResult().GetExists()
}

func (a api) alias(t testing.TB, actions ...*qdrant.AliasOperations) error {
	t.Helper()
	_, err := a.collections.UpdateAliases(t.Context(), &qdrant.ChangeAliases{Actions: actions})
	return err
}

func TestAliases(t *testing.T) {
	a := newAPI(t)
	a.create(t, 1, qdrant.Distance_Dot)
	if err := a.alias(t, qdrant.NewAliasCreate("x", "c"), qdrant.NewAliasRename("x", "y")); err != nil {
		t.Fatal(err)
	}
	if !a.exists(t, "y") || a.exists(t, "x") {
		t.Error("want alias y and no x after a rename")
	}
	wantStatus(t, a.alias(t, qdrant.NewAliasCreate("c", "c")), codes.AlreadyExists, "Wrong input: Collection `c` already exists!")
	wantStatus(t, a.alias(t, &qdrant.AliasOperations{}), codes.InvalidArgument, "Malformed AliasOperation type")
	_, err := a.collections.Create(t.Context(), &qdrant.CreateCollection{CollectionName: "y"})
	wantStatus(t, err, codes.InvalidArgument, "Can't create collection with name y. Alias with the same name already exists")

	out, err := a.collections.Delete(t.Context(), &qdrant.DeleteCollection{CollectionName: "y"})
	if err != nil || out.GetResult() {
		t.Errorf("deleting an alias as a collection: got %v, %v; want false", out, err)
	}
	if _, err := a.collections.Delete(t.Context(), &qdrant.DeleteCollection{CollectionName: "c"}); err != nil {
		t.Fatal(err)
	}
	if a.exists(t, "y") {
		t.Error("an alias outlived its collection")
	}
	list, err := a.collections.ListAliases(t.Context(), &qdrant.ListAliasesRequest{})
	if err != nil || len(list.GetAliases()) != 0 {
		t.Errorf("got aliases %v, %v; want none", list, err)
	}
}

func TestCollectionInfo(t *testing.T) {
	a := newAPI(t)
	a.createWith(t, &qdrant.CreateCollection{
		VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
		HnswConfig:    &qdrant.HnswConfigDiff{M: new(uint64(32))},
		Metadata:      fields("team", "search", "old", 1),
	})
	a.put(t, at(1, []float32{1, 2}, "k", "x"), at(2, []float32{1, 2}, "k", 5))
	a.index(t, "k", qdrant.FieldType_FieldTypeKeyword, nil)
	_, err := a.collections.Update(t.Context(), &qdrant.UpdateCollection{
		CollectionName:   "c",
		OptimizersConfig: &qdrant.OptimizersConfigDiff{IndexingThreshold: new(uint64(7))},
		VectorsConfig:    qdrant.NewVectorsConfigDiff(&qdrant.VectorParamsDiff{OnDisk: new(true)}),
		Params:           &qdrant.CollectionParamsDiff{ReplicationFactor: new(uint32(2))},
		Metadata:         fields("old", nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.collections.Get(t.Context(), &qdrant.GetCollectionInfoRequest{CollectionName: "c"})
	if err != nil {
		t.Fatal(err)
	}
	info := out.GetResult()
	config := info.GetConfig()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"m", config.GetHnswConfig().GetM(), uint64(32)},
		{"ef_construct", config.GetHnswConfig().GetEfConstruct(), uint64(100)},
		{"indexing threshold", config.GetOptimizerConfig().GetIndexingThreshold(), uint64(7)},
		{"flush interval", config.GetOptimizerConfig().GetFlushIntervalSec(), uint64(5)},
		{"on disk", config.GetParams().GetVectorsConfig().GetParams().GetOnDisk(), true},
		{"replication", config.GetParams().GetReplicationFactor(), uint32(2)},
		{"metadata", len(config.GetMetadata()), 1},
		{"points", info.GetPointsCount(), uint64(2)},
		{"points in the index", info.GetPayloadSchema()["k"].GetPoints(), uint64(1)},
		{"kind of the index", info.GetPayloadSchema()["k"].GetDataType(), qdrant.PayloadSchemaType_Keyword},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestCollectionsThatAreRefused(t *testing.T) {
	a := newAPI(t)
	good := &qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}
	for _, tc := range []struct {
		want string
		in   *qdrant.CreateCollection
	}{
		{"[vectors_config.config.map.[].size: value 0 invalid, must be from 1 to 65536]", &qdrant.CreateCollection{CollectionName: "x",
			VectorsConfig: qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"a": {Distance: qdrant.Distance_Dot}, "b": {}})}},
		{"[collection_name: collection name cannot contain \"?\" char; hnsw_config.ef_construct: value 3 invalid, must be 4 or larger]",
			&qdrant.CreateCollection{CollectionName: "x?", HnswConfig: &qdrant.HnswConfigDiff{EfConstruct: new(uint64(3))}}},
		{"[shard_number: value 0 invalid, must be 1 or larger]", &qdrant.CreateCollection{CollectionName: "x", ShardNumber: new(uint32(0))}},
		{"Malformed distance parameter, unexpected value: 77", &qdrant.CreateCollection{CollectionName: "x",
			VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 1, Distance: 77})}},
		{"Dense and sparse vector names must be unique - duplicate found with 'v'", &qdrant.CreateCollection{CollectionName: "x",
			VectorsConfig:       qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"v": good}),
			SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"v": {}})}},
		{"Sparse vector name cannot be empty", &qdrant.CreateCollection{CollectionName: "x",
			SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"": {}})}},
		{"Invalid dense vector name `a/b`: vector name cannot contain \"/\" char", &qdrant.CreateCollection{CollectionName: "x",
			VectorsConfig: qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"a/b": good})}},
		{"Invalid dense vector name `" + strings.Repeat("v", 201) + "`: vector name must be at most 200 bytes long",
			&qdrant.CreateCollection{CollectionName: "x", VectorsConfig: qdrant.NewVectorsConfigMap(
				map[string]*qdrant.VectorParams{strings.Repeat("v", 201): good})}},
	} {
		t.Run(tc.want, func(t *testing.T) {
			_, err := a.collections.Create(t.Context(), tc.in)
			wantStatus(t, err, codes.InvalidArgument, tc.want)
		})
	}
}
