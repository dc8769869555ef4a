package e2e_test

import (
	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
)

// near is the query that most searches of the shop use.
func near() *qdrant.Query { return qdrant.NewQueryDense([]float32{0.8, 0.2, 0.1, 0.3}) }

func queries() []step {
	return []step{
		ok("Client.Query", &qdrant.QueryPoints{
			CollectionName: shop, Query: near(), Limit: new(uint64(3)),
			WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
		}),
		ok("Points.Query", &qdrant.QueryPoints{
			CollectionName: shop, Query: near(), Offset: new(uint64(1)), ScoreThreshold: new(float32(0.5)),
			Params: &qdrant.SearchParams{Exact: new(true)},
			Filter: &qdrant.Filter{
				Must:    []*qdrant.Condition{qdrant.NewRange("price", &qdrant.Range{Gte: new(10.0), Lt: new(50.0)})},
				Should:  []*qdrant.Condition{qdrant.NewMatch("color", "red"), qdrant.NewMatchBool("sold", true)},
				MustNot: []*qdrant.Condition{qdrant.NewHasID(qdrant.NewIDNum(3))},
			},
		}),
		ok("Client.Query", &qdrant.QueryPoints{
			CollectionName: shop, Query: near(),
			Filter: &qdrant.Filter{Must: []*qdrant.Condition{
				qdrant.NewGeoRadius("shop.at", 52.5, 13.4, 30000),
				qdrant.NewMatchKeywords("tags[]", "new", "old"),
				qdrant.NewFilterAsCondition(&qdrant.Filter{MinShould: &qdrant.MinShould{
					MinCount: 1, Conditions: []*qdrant.Condition{qdrant.NewIsEmpty("nothing"), qdrant.NewIsNull("color")},
				}}),
			}},
		}),
		ok("Client.Query", &qdrant.QueryPoints{CollectionName: library, Using: new("cover"), Query: qdrant.NewQueryDense([]float32{3, 3})}),
		ok("Client.Query", &qdrant.QueryPoints{
			CollectionName: library, Using: new("terms"), Query: qdrant.NewQuerySparse([]uint32{7, 42}, []float32{1, 1}),
		}),
		ok("Client.Query", &qdrant.QueryPoints{
			CollectionName: library, Using: new("words"), Query: qdrant.NewQueryMulti([][]float32{{1, 0}, {0, 1}}),
		}),
		ok("Client.Query", &qdrant.QueryPoints{CollectionName: shop, Query: qdrant.NewQueryID(qdrant.NewIDNum(1))}),
		fails(codes.NotFound, "Client.Query", &qdrant.QueryPoints{CollectionName: shop, Query: qdrant.NewQueryID(qdrant.NewIDNum(404))}),
		fails(codes.InvalidArgument, "Client.Query", &qdrant.QueryPoints{
			CollectionName: library, Using: new("nope"), Query: qdrant.NewQueryDense([]float32{1}),
		}),
		fails(codes.InvalidArgument, "Client.Query", &qdrant.QueryPoints{CollectionName: shop, Query: qdrant.NewQueryDense([]float32{1})}),
		fails(codes.NotFound, "Client.Query", &qdrant.QueryPoints{CollectionName: ghost, Query: near()}),
	}
}

func moreQueries() []step {
	return []step{
		ok("Client.Query", &qdrant.QueryPoints{
			CollectionName: library,
			Prefetch: []*qdrant.PrefetchQuery{
				{Using: new("text"), Query: qdrant.NewQueryDense([]float32{1, 1, 0}), Limit: new(uint64(5))},
				{Using: new("terms"), Query: qdrant.NewQuerySparse([]uint32{7}, []float32{1}), Limit: new(uint64(5))},
			},
			Query: qdrant.NewQueryFusion(qdrant.Fusion_RRF),
		}),
		ok("Client.Query", &qdrant.QueryPoints{
			CollectionName: shop,
			Query: qdrant.NewQueryRecommend(&qdrant.RecommendInput{
				Positive: []*qdrant.VectorInput{qdrant.NewVectorInputID(qdrant.NewIDNum(1))},
				Negative: []*qdrant.VectorInput{qdrant.NewVectorInputDense([]float32{0.1, 0.1, 0.9, 0.1})},
			}),
		}),
		ok("Client.Query", &qdrant.QueryPoints{
			CollectionName: shop,
			Query:          qdrant.NewQueryOrderBy(&qdrant.OrderBy{Key: "price", Direction: qdrant.Direction_Desc.Enum()}),
		}),
		ok("Client.QueryBatch", &qdrant.QueryBatchPoints{CollectionName: shop, QueryPoints: []*qdrant.QueryPoints{
			{CollectionName: shop, Query: near(), Limit: new(uint64(1))},
			{CollectionName: shop, Filter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatchInt("price", 20)}}},
		}}),
		ok("Points.QueryBatch", &qdrant.QueryBatchPoints{CollectionName: library, QueryPoints: []*qdrant.QueryPoints{
			{CollectionName: library, Using: new("text"), Query: qdrant.NewQueryDense([]float32{1, 1, 1})},
		}}),
		fails(codes.NotFound, "Client.QueryBatch", &qdrant.QueryBatchPoints{
			CollectionName: ghost, QueryPoints: []*qdrant.QueryPoints{{CollectionName: ghost}},
		}),
	}
}

func legacySearch() []step {
	vector := []float32{0.2, 0.7, 0.2, 0.2}
	search := &qdrant.SearchPoints{CollectionName: shop, Vector: vector, Limit: 2, WithPayload: qdrant.NewWithPayload(true)}
	recommend := &qdrant.RecommendPoints{
		CollectionName: shop, Positive: []*qdrant.PointId{qdrant.NewIDNum(1)}, Negative: []*qdrant.PointId{qdrant.NewIDNum(3)}, Limit: 2,
	}
	discover := &qdrant.DiscoverPoints{
		CollectionName: shop, Target: qdrant.NewTargetID(qdrant.NewIDNum(1)), Limit: 2,
	}
	return []step{
		ok("Points.Search", search),
		fails(codes.InvalidArgument, "Points.Search", &qdrant.SearchPoints{CollectionName: shop, Vector: vector}),
		ok("Points.SearchBatch", &qdrant.SearchBatchPoints{CollectionName: shop, SearchPoints: []*qdrant.SearchPoints{search, search}}),
		ok("Points.SearchGroups", &qdrant.SearchPointGroups{
			CollectionName: shop, Vector: vector, Limit: 2, GroupBy: "color", GroupSize: 2,
		}),
		ok("Points.Recommend", recommend),
		ok("Points.RecommendBatch", &qdrant.RecommendBatchPoints{
			CollectionName: shop, RecommendPoints: []*qdrant.RecommendPoints{recommend},
		}),
		ok("Points.RecommendGroups", &qdrant.RecommendPointGroups{
			CollectionName: shop, Positive: []*qdrant.PointId{qdrant.NewIDNum(1)}, Limit: 2, GroupBy: "color", GroupSize: 1,
		}),
		fails(codes.Unimplemented, "Points.Discover", discover),
		fails(codes.Unimplemented, "Points.DiscoverBatch", &qdrant.DiscoverBatchPoints{
			CollectionName: shop, DiscoverPoints: []*qdrant.DiscoverPoints{discover},
		}),
	}
}

func groupsAndCounts() []step {
	groups := &qdrant.QueryPointGroups{
		CollectionName: shop, Query: near(), GroupBy: "color", GroupSize: new(uint64(2)), Limit: new(uint64(3)),
		WithPayload: qdrant.NewWithPayloadExclude("shop"),
	}
	facet := &qdrant.FacetCounts{CollectionName: shop, Key: "color", Exact: new(true)}
	count := &qdrant.CountPoints{
		CollectionName: shop, Exact: new(true),
		Filter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("color", "grün ✓")}},
	}
	scroll := &qdrant.ScrollPoints{CollectionName: shop, Limit: new(uint32(2)), Offset: qdrant.NewIDNum(2)}
	matrix := &qdrant.SearchMatrixPoints{CollectionName: shop, Sample: new(uint64(5)), Limit: new(uint64(2))}
	return []step{
		ok("Client.QueryGroups", groups),
		ok("Points.QueryGroups", groups),
		ok("Client.Facet", facet),
		ok("Points.Facet", facet),
		fails(codes.InvalidArgument, "Client.Facet", &qdrant.FacetCounts{CollectionName: shop, Key: "weight"}),
		ok("Client.Count", &qdrant.CountPoints{CollectionName: shop, Exact: new(true)}),
		ok("Points.Count", count),
		fails(codes.NotFound, "Client.Count", &qdrant.CountPoints{CollectionName: ghost}),
		ok("Client.Scroll", &qdrant.ScrollPoints{CollectionName: library, WithVectors: qdrant.NewWithVectors(true)}),
		ok("Client.ScrollAndOffset", scroll),
		ok("Points.Scroll", &qdrant.ScrollPoints{
			CollectionName: shop, OrderBy: &qdrant.OrderBy{Key: "price", StartFrom: qdrant.NewStartFromInt(20)},
			WithPayload: qdrant.NewWithPayload(true),
		}),
		fails(codes.InvalidArgument, "Client.Scroll", &qdrant.ScrollPoints{CollectionName: shop, Limit: new(uint32(0))}),
		fails(codes.Unimplemented, "Client.SearchMatrixPairs", matrix),
		fails(codes.Unimplemented, "Points.SearchMatrixPairs", matrix),
		fails(codes.Unimplemented, "Client.SearchMatrixOffsets", matrix),
		fails(codes.Unimplemented, "Points.SearchMatrixOffsets", matrix),
	}
}

func payloads() []step {
	first := qdrant.NewPointsSelector(qdrant.NewIDNum(1))
	red := qdrant.NewPointsSelectorFilter(&qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("color", "red")}})
	set := &qdrant.SetPayloadPoints{
		CollectionName: shop, Wait: new(true), PointsSelector: red,
		Payload: qdrant.NewValueMap(map[string]any{"sale": true}),
	}
	overwrite := &qdrant.SetPayloadPoints{
		CollectionName: shop, Wait: new(true), PointsSelector: first,
		Payload: qdrant.NewValueMap(map[string]any{"color": "white", "price": 11}),
	}
	remove := &qdrant.DeletePayloadPoints{CollectionName: shop, Wait: new(true), PointsSelector: first, Keys: []string{"price"}}
	wipe := &qdrant.ClearPayloadPoints{CollectionName: shop, Wait: new(true), Points: qdrant.NewPointsSelector(qdrant.NewIDNum(2))}
	state := ok("Client.Scroll", &qdrant.ScrollPoints{CollectionName: shop, WithPayload: qdrant.NewWithPayload(true)})
	return []step{
		ok("Client.SetPayload", set),
		ok("Points.SetPayload", set),
		fails(codes.NotFound, "Client.SetPayload", &qdrant.SetPayloadPoints{CollectionName: ghost, Wait: new(true), PointsSelector: first}),
		ok("Client.OverwritePayload", overwrite),
		ok("Points.OverwritePayload", overwrite),
		state,
		ok("Client.DeletePayload", remove),
		ok("Points.DeletePayload", remove),
		ok("Client.ClearPayload", wipe),
		ok("Points.ClearPayload", wipe),
		state,
		ok("Client.DeleteFieldIndex", &qdrant.DeleteFieldIndexCollection{CollectionName: shop, Wait: new(true), FieldName: "price"}),
		ok("Points.DeleteFieldIndex", &qdrant.DeleteFieldIndexCollection{CollectionName: shop, Wait: new(true), FieldName: "never"}),
		ok("Client.GetCollectionInfo", shop),
	}
}

func vectors() []step {
	update := &qdrant.UpdatePointVectors{
		CollectionName: library, Wait: new(true),
		Points: []*qdrant.PointVectors{{
			Id: qdrant.NewIDNum(3),
			Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{
				"terms": qdrant.NewVectorSparse([]uint32{3}, []float32{1}),
				"cover": qdrant.NewVectorDense([]float32{5, 5}),
			}),
		}},
	}
	remove := &qdrant.DeletePointVectors{
		CollectionName: library, Wait: new(true), PointsSelector: qdrant.NewPointsSelector(qdrant.NewIDUUID(secondBook)),
		Vectors: &qdrant.VectorsSelector{Names: []string{"cover"}},
	}
	state := ok("Client.Scroll", &qdrant.ScrollPoints{CollectionName: library, WithVectors: qdrant.NewWithVectors(true)})
	return []step{
		ok("Client.UpdateVectors", update),
		ok("Points.UpdateVectors", update),
		fails(codes.NotFound, "Client.UpdateVectors", &qdrant.UpdatePointVectors{
			CollectionName: library, Wait: new(true),
			Points: []*qdrant.PointVectors{{
				Id:      qdrant.NewIDNum(404),
				Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{"cover": qdrant.NewVectorDense([]float32{1, 1})}),
			}},
		}),
		state,
		ok("Client.DeleteVectors", remove),
		ok("Points.DeleteVectors", remove),
		state,
	}
}

func batches() []step {
	batch := &qdrant.UpdateBatchPoints{CollectionName: shop, Wait: new(true), Operations: []*qdrant.PointsUpdateOperation{
		qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{Points: []*qdrant.PointStruct{
			{Id: qdrant.NewIDNum(6), Vectors: qdrant.NewVectors(1, 1, 1, 1)},
		}}),
		qdrant.NewPointsUpdateSetPayload(&qdrant.PointsUpdateOperation_SetPayload{
			PointsSelector: qdrant.NewPointsSelector(qdrant.NewIDNum(6)),
			Payload:        qdrant.NewValueMap(map[string]any{"color": "black"}),
		}),
		qdrant.NewPointsUpdateDeletePoints(&qdrant.PointsUpdateOperation_DeletePoints{
			Points: qdrant.NewPointsSelector(qdrant.NewIDNum(5)),
		}),
	}}
	return []step{
		ok("Client.UpdateBatch", batch),
		ok("Points.UpdateBatch", batch),
		fails(codes.NotFound, "Client.UpdateBatch", &qdrant.UpdateBatchPoints{CollectionName: ghost, Operations: batch.GetOperations()}),
		ok("Client.Delete", &qdrant.DeletePoints{
			CollectionName: shop, Wait: new(true), Points: qdrant.NewPointsSelector(qdrant.NewIDNum(1), qdrant.NewIDNum(404)),
		}),
		ok("Points.Delete", &qdrant.DeletePoints{
			CollectionName: shop, Wait: new(true),
			Points: qdrant.NewPointsSelectorFilter(&qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("color", "blue")}}),
		}),
		fails(codes.NotFound, "Client.Delete", &qdrant.DeletePoints{
			CollectionName: ghost, Wait: new(true), Points: qdrant.NewPointsSelector(qdrant.NewIDNum(1)),
		}),
		ok("Client.Scroll", &qdrant.ScrollPoints{CollectionName: shop, WithPayload: qdrant.NewWithPayload(true)}),
	}
}

func cluster() []step {
	create := &qdrant.CreateShardKey{ShardKey: qdrant.NewShardKey("berlin")}
	remove := &qdrant.DeleteShardKey{ShardKey: qdrant.NewShardKey("berlin")}
	setup := qdrant.NewUpdateCollectionClusterMoveShard(shop, &qdrant.MoveShard{ShardId: 0, FromPeerId: 1, ToPeerId: 2})
	return []step{
		ok("Client.GetCollectionClusterInfo", shop),
		ok("Collections.CollectionClusterInfo", &qdrant.CollectionClusterInfoRequest{CollectionName: library}),
		fails(codes.InvalidArgument, "Client.UpdateClusterCollectionSetup", setup),
		fails(codes.InvalidArgument, "Collections.UpdateCollectionClusterSetup", setup),
		fails(codes.InvalidArgument, "Client.CreateShardKey", shop, create),
		fails(codes.InvalidArgument, "Collections.CreateShardKey", &qdrant.CreateShardKeyRequest{CollectionName: shop, Request: create}),
		ok("Client.ListShardKeys", shop),
		ok("Collections.ListShardKeys", &qdrant.ListShardKeysRequest{CollectionName: library}),
		fails(codes.InvalidArgument, "Client.DeleteShardKey", shop, remove),
		fails(codes.InvalidArgument, "Collections.DeleteShardKey", &qdrant.DeleteShardKeyRequest{CollectionName: shop, Request: remove}),
	}
}

func snapshots() []step {
	return []step{
		fails(codes.Unimplemented, "Client.CreateSnapshot", shop),
		ok("Client.ListSnapshots", shop),
		fails(codes.Unimplemented, "Client.DeleteSnapshot", shop, newestSnapshot{}),
		fails(codes.Unimplemented, "Snapshots.Create", &qdrant.CreateSnapshotRequest{CollectionName: library}),
		ok("Snapshots.List", &qdrant.ListSnapshotsRequest{CollectionName: library}),
		fails(codes.Unimplemented, "Client.DeleteSnapshot", library, newestSnapshot{}),
		fails(codes.Unimplemented, "Snapshots.Delete", &qdrant.DeleteSnapshotRequest{CollectionName: shop, SnapshotName: "none.snapshot"}),
		fails(codes.NotFound, "Client.ListSnapshots", ghost),
		fails(codes.Unimplemented, "Client.CreateFullSnapshot"),
		ok("Client.ListFullSnapshots"),
		fails(codes.Unimplemented, "Client.DeleteFullSnapshot", newestSnapshot{}),
		fails(codes.Unimplemented, "Snapshots.CreateFull", &qdrant.CreateFullSnapshotRequest{}),
		ok("Snapshots.ListFull", &qdrant.ListFullSnapshotsRequest{}),
		fails(codes.Unimplemented, "Client.DeleteFullSnapshot", newestSnapshot{}),
		fails(codes.Unimplemented, "Snapshots.DeleteFull", &qdrant.DeleteFullSnapshotRequest{SnapshotName: "none.snapshot"}),
	}
}

func farewell() []step {
	return []step{
		ok("Client.DeleteCollection", shop),
		// Its answer says "false", which the SDK makes an error without a code of.
		fails(codes.Unknown, "Client.DeleteCollection", ghost),
		ok("Collections.Delete", &qdrant.DeleteCollection{CollectionName: library}),
		ok("Client.ListCollections"),
		ok("Client.Close"),
	}
}
