// Package method is the table of Qdrant's RPCs: which methods are known to be
// unary, and what can be read from their requests.
//
// The table never limits what passes: a method that is not in it goes through
// as a stream.
package method

import (
	"iter"
	"slices"
)

// Method is one RPC. The values are made once, and compared by pointer.
type Method struct {
	// Service and Name are the two parts of the path: "qdrant.Points", "Query".
	Service, Name string
	// Index numbers the methods densely from 0, Other included, so that state
	// per method can live in a slice.
	Index int
	// Collection says that field 1 of the request is the collection's name.
	Collection bool
}

// FullName returns the path of the method, "/qdrant.Points/Query".
func (m *Method) FullName() string { return "/" + m.Service + "/" + m.Name }

// Other stands for all methods that the table does not know.
var Other = &Method{Service: "other", Name: "other"}

// noCollection stands, in the table, before the methods whose requests name no
// collection.
const noCollection = "-"

// table lists the unary RPCs of Qdrant's public port by service, in the order
// of its schema. It holds what Qdrant 1.18 and 1.19 serve, which is more than
// go-client knows. Qdrant's only two streams, StorageRead/ReadBytesStream and
// server reflection, are left out on purpose.
var table = []struct {
	service string
	methods []string
}{
	{"qdrant.Qdrant", []string{noCollection, "HealthCheck"}},
	{"qdrant.Collections", []string{
		"Get", "Create", "Update", "Delete", "CollectionExists", "ListCollectionAliases",
		"CollectionClusterInfo", "UpdateCollectionClusterSetup",
		"ListShardKeys", "CreateShardKey", "DeleteShardKey",
		noCollection, "List", "UpdateAliases", "ListAliases",
	}},
	{"qdrant.Points", []string{
		"Upsert", "Delete", "Get", "UpdateVectors", "DeleteVectors",
		"SetPayload", "OverwritePayload", "DeletePayload", "ClearPayload",
		"CreateFieldIndex", "DeleteFieldIndex", "CreateVectorName", "DeleteVectorName",
		"Search", "SearchBatch", "SearchGroups", "Scroll",
		"Recommend", "RecommendBatch", "RecommendGroups", "Discover", "DiscoverBatch",
		"Count", "UpdateBatch", "Query", "QueryBatch", "QueryGroups",
		"Facet", "SearchMatrixPairs", "SearchMatrixOffsets",
	}},
	{"qdrant.Snapshots", []string{
		"Create", "List", "Delete",
		noCollection, "CreateFull", "ListFull", "DeleteFull",
	}},
	{"qdrant.StorageRead", []string{
		"ListFiles", "FileExists", "FileLength", "ReadBytes", "ReadWhole", "ReadBatch",
	}},
	{"grpc.health.v1.Health", []string{noCollection, "Check"}},
}

var methods, byName = build()

func build() ([]*Method, map[string]*Method) {
	all, index := []*Method{Other}, map[string]*Method{}
	for _, service := range table {
		collection := true
		for _, name := range service.methods {
			if name == noCollection {
				collection = false
				continue
			}
			m := &Method{Service: service.service, Name: name, Index: len(all), Collection: collection}
			all = append(all, m)
			index[m.FullName()] = m
		}
	}
	return all, index
}

// Lookup returns the method of a path, or Other.
func Lookup(fullName string) *Method {
	if m, ok := byName[fullName]; ok {
		return m
	}
	return Other
}

// All yields every method once by Index, Other first.
func All() iter.Seq[*Method] { return slices.Values(methods) }
