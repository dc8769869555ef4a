package e2e_test

import (
	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
)

// step is one call of the scenario. Its method is "Client.Query" for a method
// of *qdrant.Client, and "Points.Search" for one of the service clients that it
// hands out.
type step struct {
	method string
	args   []any // without the context
	// memory is the code that memory:// answers with, which keeps the arguments
	// meaningful. A real Qdrant can do more than memory://, and is only compared
	// with itself.
	memory codes.Code
}

// ok is a step that succeeds everywhere.
func ok(method string, args ...any) step { return step{method, args, codes.OK} }

// fails is a step that memory:// refuses.
func fails(code codes.Code, method string, args ...any) step { return step{method, args, code} }

// newestSnapshot stands in arguments for the name of the snapshot that was made
// last.
type newestSnapshot struct{}

// Names in the scenario. They are odd on purpose: it may run against a Qdrant
// that has others.
const (
	shop    = "e2e-shop"  // one unnamed vector
	library = "e2e-books" // named dense, sparse and multi vectors
	alias   = "e2e-alias"
	ghost   = "e2e-ghost" // never exists
)

// script is the scenario: every method at least once, in an order that gives
// the later ones something to work on.
func script() []step {
	var steps []step
	for _, part := range [][]step{
		handles(), collections(), aliases(), upserts(), queries(), moreQueries(), legacySearch(), groupsAndCounts(),
		payloads(), vectors(), batches(), cluster(), snapshots(), farewell(),
	} {
		steps = append(steps, part...)
	}
	return steps
}

func handles() []step {
	return []step{
		ok("Client.GetGrpcClient"),
		ok("Client.GetCollectionsClient"),
		ok("Client.GetPointsClient"),
		ok("Client.GetSnapshotsClient"),
		ok("Client.GetQdrantClient"),
		ok("Client.GetConnection"),
		ok("Client.HealthCheck"),
		ok("Qdrant.HealthCheck", &qdrant.HealthCheckRequest{}),
	}
}

func collections() []step {
	return []step{
		ok("Client.CollectionExists", shop),
		ok("Client.CreateCollection", &qdrant.CreateCollection{
			CollectionName: shop,
			VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 4, Distance: qdrant.Distance_Cosine}),
		}),
		fails(codes.AlreadyExists, "Client.CreateCollection", &qdrant.CreateCollection{
			CollectionName: shop,
			VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 4, Distance: qdrant.Distance_Dot}),
		}),
		fails(codes.InvalidArgument, "Client.CreateCollection", &qdrant.CreateCollection{}),
		ok("Collections.Create", &qdrant.CreateCollection{
			CollectionName: library,
			VectorsConfig: qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{
				"text":  {Size: 3, Distance: qdrant.Distance_Dot},
				"cover": {Size: 2, Distance: qdrant.Distance_Euclid},
				"words": {
					Size: 2, Distance: qdrant.Distance_Cosine,
					MultivectorConfig: &qdrant.MultiVectorConfig{Comparator: qdrant.MultiVectorComparator_MaxSim},
				},
			}),
			SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"terms": {}}),
		}),
		ok("Client.CollectionExists", shop),
		ok("Collections.CollectionExists", &qdrant.CollectionExistsRequest{CollectionName: ghost}),
		ok("Client.ListCollections"),
		ok("Collections.List", &qdrant.ListCollectionsRequest{}),
		ok("Client.GetCollectionInfo", library),
		ok("Collections.Get", &qdrant.GetCollectionInfoRequest{CollectionName: shop}),
		fails(codes.NotFound, "Client.GetCollectionInfo", ghost),
		ok("Client.UpdateCollection", &qdrant.UpdateCollection{
			CollectionName:   shop,
			OptimizersConfig: &qdrant.OptimizersConfigDiff{IndexingThreshold: new(uint64(10000))},
		}),
		ok("Collections.Update", &qdrant.UpdateCollection{
			CollectionName: shop,
			Params:         &qdrant.CollectionParamsDiff{OnDiskPayload: new(true)},
		}),
		fails(codes.NotFound, "Client.UpdateCollection", &qdrant.UpdateCollection{CollectionName: ghost}),
	}
}

func aliases() []step {
	return []step{
		ok("Client.CreateAlias", alias, shop),
		fails(codes.NotFound, "Client.CreateAlias", "e2e-other", ghost),
		ok("Client.ListAliases"),
		ok("Collections.ListAliases", &qdrant.ListAliasesRequest{}),
		ok("Client.RenameAlias", alias, "e2e-renamed"),
		ok("Client.ListCollectionAliases", shop),
		ok("Collections.ListCollectionAliases", &qdrant.ListCollectionAliasesRequest{CollectionName: library}),
		ok("Client.UpdateAliases", []*qdrant.AliasOperations{
			qdrant.NewAliasCreate("e2e-second", library),
			qdrant.NewAliasDelete("e2e-second"),
		}),
		ok("Collections.UpdateAliases", &qdrant.ChangeAliases{
			Actions: []*qdrant.AliasOperations{qdrant.NewAliasRename("e2e-renamed", alias)},
		}),
		ok("Client.GetCollectionInfo", alias),
		ok("Client.DeleteAlias", alias),
		fails(codes.NotFound, "Client.GetCollectionInfo", alias),
	}
}

func upserts() []step {
	return []step{
		ok("Client.Upsert", &qdrant.UpsertPoints{CollectionName: shop, Wait: new(true), Points: goods()}),
		ok("Points.Upsert", &qdrant.UpsertPoints{CollectionName: library, Wait: new(true), Points: books()}),
		fails(codes.InvalidArgument, "Client.Upsert", &qdrant.UpsertPoints{
			CollectionName: shop, Wait: new(true),
			Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(9), Vectors: qdrant.NewVectors(1, 2)}},
		}),
		fails(codes.NotFound, "Client.Upsert", &qdrant.UpsertPoints{CollectionName: ghost, Wait: new(true), Points: goods()}),
		ok("Client.CreateFieldIndex", &qdrant.CreateFieldIndexCollection{
			CollectionName: shop, Wait: new(true), FieldName: "color", FieldType: qdrant.FieldType_FieldTypeKeyword.Enum(),
		}),
		ok("Points.CreateFieldIndex", &qdrant.CreateFieldIndexCollection{
			CollectionName: shop, Wait: new(true), FieldName: "price", FieldType: qdrant.FieldType_FieldTypeInteger.Enum(),
			FieldIndexParams: qdrant.NewPayloadIndexParamsInt(&qdrant.IntegerIndexParams{Lookup: new(true), Range: new(true)}),
		}),
		ok("Client.Get", &qdrant.GetPoints{
			CollectionName: shop, Ids: []*qdrant.PointId{qdrant.NewIDNum(1), qdrant.NewIDNum(99)},
			WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
		}),
		ok("Points.Get", &qdrant.GetPoints{
			CollectionName: library, Ids: []*qdrant.PointId{qdrant.NewIDUUID(firstBook)},
			WithPayload: qdrant.NewWithPayloadInclude("title"), WithVectors: qdrant.NewWithVectorsInclude("terms", "words"),
		}),
		fails(codes.NotFound, "Client.Get", &qdrant.GetPoints{CollectionName: ghost, Ids: []*qdrant.PointId{qdrant.NewIDNum(1)}}),
	}
}

func goods() []*qdrant.PointStruct {
	var points []*qdrant.PointStruct
	for i, g := range []struct {
		vector []float32
		color  string
		price  int
	}{
		{[]float32{0.9, 0.1, 0.1, 0.2}, "red", 10},
		{[]float32{0.1, 0.8, 0.3, 0.1}, "green", 20},
		{[]float32{0.2, 0.2, 0.7, 0.4}, "blue", 30},
		{[]float32{0.7, 0.3, 0.2, 0.5}, "red", 40},
		{[]float32{0.3, 0.6, 0.1, 0.9}, "grün ✓", 50},
	} {
		points = append(points, &qdrant.PointStruct{
			Id:      qdrant.NewIDNum(uint64(i + 1)),
			Vectors: qdrant.NewVectorsDense(g.vector),
			Payload: qdrant.NewValueMap(map[string]any{
				"color": g.color, "price": g.price, "sold": i%2 == 0, "weight": float64(g.price) / 8,
				"shop": map[string]any{"city": "Berlin", "at": map[string]any{"lat": 52.5 + float64(i)/10, "lon": 13.4}},
				"tags": []any{"new", g.color}, "since": "2024-05-0" + string(rune('1'+i)) + "T12:00:00Z",
			}),
		})
	}
	return points
}

// Books have UUIDs as ids.
const (
	firstBook  = "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a001"
	secondBook = "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a002"
)

func books() []*qdrant.PointStruct {
	return []*qdrant.PointStruct{
		{
			Id: qdrant.NewIDUUID(firstBook),
			Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{
				"text":  qdrant.NewVectorDense([]float32{1, 0, 0.5}),
				"cover": qdrant.NewVectorDense([]float32{3, 4}),
				"terms": qdrant.NewVectorSparse([]uint32{1, 7, 42}, []float32{0.5, 1.5, 0.25}),
				"words": qdrant.NewVectorMulti([][]float32{{1, 0}, {0.6, 0.8}}),
			}),
			Payload: qdrant.NewValueMap(map[string]any{"title": "Moby-Dick", "year": 1851}),
		},
		{
			Id: qdrant.NewIDUUID(secondBook),
			Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{
				"text":  qdrant.NewVectorDense([]float32{0.2, 1, 0}),
				"cover": qdrant.NewVectorDense([]float32{0, 1}),
				"terms": qdrant.NewVectorSparse([]uint32{7, 9}, []float32{2, 1}),
				"words": qdrant.NewVectorMulti([][]float32{{0, 1}}),
			}),
			Payload: qdrant.NewValueMap(map[string]any{"title": "Emma", "year": 1815}),
		},
		{
			Id:      qdrant.NewIDNum(3),
			Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{"text": qdrant.NewVectorDense([]float32{0.4, 0.4, 0.4})}),
			Payload: qdrant.NewValueMap(map[string]any{"title": nil, "year": 1999}),
		},
	}
}
