package method

import "qdrant-sidecar/resilience"

// row is what the methods that it names have in common.
type row struct {
	names string // separated by white space
	Method
}

// table lists the unary RPCs of Qdrant's public port. It holds what Qdrant 1.18
// and 1.19 serve, which is more than go-client knows. Qdrant's only two streams,
// StorageRead/ReadBytesStream and server reflection, are left out on purpose:
// they only read, but a stream is never repeated once anything was sent.
var table = []struct {
	name string
	rows []row
}{
	{"qdrant.Qdrant", []row{
		{"HealthCheck", Method{
			Class: resilience.Read, Deadline: ReadDeadline, Health: true,
			Reason: "tells that Qdrant is there, and its version",
		}},
	}},
	{"qdrant.Collections", []row{
		{"Get CollectionExists ListCollectionAliases ListShardKeys", Method{
			Collection: true, Class: resilience.Read, Deadline: ReadDeadline,
			Reason: "tells about a collection",
		}},
		{"CollectionClusterInfo", Method{
			Collection: true, Class: resilience.Read, Deadline: ReadDeadline, NodeLocal: true,
			Reason: "tells which shards the answering node has",
		}},
		{"List ListAliases", Method{
			Class: resilience.Read, Deadline: ReadDeadline,
			Reason: "lists names",
		}},
		{"Create", Method{
			Collection: true, Class: resilience.UnsafeWrite, Deadline: LongDeadline,
			Reason: "the second time it fails: ALREADY_EXISTS",
		}},
		{"Update", Method{
			Collection: true, Class: resilience.IdempotentWrite, Deadline: LongDeadline,
			Reason: "sets the same parameters to the same values",
		}},
		{"Delete", Method{
			Collection: true, Class: resilience.UnsafeWrite, Deadline: LongDeadline,
			Reason: "the second time it answers false, or deletes what somebody has created anew",
		}},
		{"UpdateAliases", Method{
			Class: resilience.UnsafeWrite, Deadline: LongDeadline,
			Reason: "the second time a rename fails: NOT_FOUND",
		}},
		{"UpdateCollectionClusterSetup", Method{
			Collection: true, Class: resilience.UnsafeWrite, Deadline: LongDeadline,
			Reason: "starts or stops a transfer of shards once more, or fails because it goes on already",
		}},
		{"CreateShardKey DeleteShardKey", Method{
			Collection: true, Class: resilience.UnsafeWrite, Deadline: LongDeadline,
			Reason: "the second time it fails: the key exists already, or no longer",
		}},
	}},
	{"qdrant.Points", []row{
		{`Get Scroll Count Query QueryBatch QueryGroups Facet SearchMatrixPairs SearchMatrixOffsets
			Search SearchBatch SearchGroups Recommend RecommendBatch RecommendGroups Discover DiscoverBatch`, Method{
			Collection: true, Class: resilience.Read, Deadline: ReadDeadline,
			Reason: "looks for points",
		}},
		{"Upsert UpdateVectors", Method{
			Collection: true, Class: resilience.IdempotentWrite, Deadline: WriteDeadline,
			Reason: "writes the same values under the same ids; under a condition (`update_filter`, `update_mode`) the second time changes nothing",
		}},
		{"Delete", Method{
			Collection: true, Class: resilience.UnsafeWrite, repeatable: deletePoints, Deadline: WriteDeadline,
			Reason: "by ids it deletes the same points; by filter, those that match by then",
		}},
		{"ClearPayload", Method{
			Collection: true, Class: resilience.UnsafeWrite, repeatable: deletePoints, Deadline: WriteDeadline,
			Reason: "by ids it empties the same points; by filter, those that match by then",
		}},
		{"DeleteVectors", Method{
			Collection: true, Class: resilience.UnsafeWrite, repeatable: deleteVectors, Deadline: WriteDeadline,
			Reason: "by ids it changes the same points; by filter, those that match by then",
		}},
		{"SetPayload OverwritePayload", Method{
			Collection: true, Class: resilience.UnsafeWrite, repeatable: setPayload, Deadline: WriteDeadline,
			Reason: "by ids it writes the same values; by filter, to those that match by then",
		}},
		{"DeletePayload", Method{
			Collection: true, Class: resilience.UnsafeWrite, repeatable: deletePayload, Deadline: WriteDeadline,
			Reason: "by ids it deletes the same keys; by filter, of those that match by then",
		}},
		{"UpdateBatch", Method{
			Collection: true, Class: resilience.UnsafeWrite, repeatable: updateBatch, Deadline: WriteDeadline,
			Reason: "as its worst operation; also unsafe where one may meet what another did: a condition (`update_filter`, `update_mode`), or a point deleted beside other changes",
		}},
		{"CreateFieldIndex DeleteFieldIndex CreateVectorName DeleteVectorName", Method{
			Collection: true, Class: resilience.IdempotentWrite, Deadline: LongDeadline,
			Reason: "the second time there is nothing left to do",
		}},
	}},
	{"qdrant.Snapshots", []row{
		{"Create", Method{
			Collection: true, Class: resilience.UnsafeWrite, Deadline: LongDeadline, NodeLocal: true,
			Reason: "every call writes one more file",
		}},
		{"CreateFull", Method{
			Class: resilience.UnsafeWrite, Deadline: LongDeadline, NodeLocal: true,
			Reason: "every call writes one more file",
		}},
		{"List", Method{
			Collection: true, Class: resilience.Read, Deadline: ReadDeadline, NodeLocal: true,
			Reason: "lists the files of the answering node",
		}},
		{"ListFull", Method{
			Class: resilience.Read, Deadline: ReadDeadline, NodeLocal: true,
			Reason: "lists the files of the answering node",
		}},
		{"Delete", Method{
			Collection: true, Class: resilience.UnsafeWrite, Deadline: LongDeadline, NodeLocal: true,
			Reason: "the second time it fails: NOT_FOUND",
		}},
		{"DeleteFull", Method{
			Class: resilience.UnsafeWrite, Deadline: LongDeadline, NodeLocal: true,
			Reason: "the second time it fails: NOT_FOUND",
		}},
	}},
	{"qdrant.StorageRead", []row{
		{"ListFiles FileExists FileLength", Method{
			Collection: true, Class: resilience.Read, Deadline: ReadDeadline, NodeLocal: true,
			Reason: "tells about files of the answering node",
		}},
		{"ReadBytes ReadWhole ReadBatch", Method{
			Collection: true, Class: resilience.Read, Deadline: LongDeadline, NodeLocal: true,
			Reason: "reads files of the answering node, of any size",
		}},
	}},
	{"grpc.health.v1.Health", []row{
		{"Check", Method{
			Class: resilience.Read, Deadline: ReadDeadline, Health: true,
			Reason: "tells that Qdrant is there",
		}},
	}},
}
