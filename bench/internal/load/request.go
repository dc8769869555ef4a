package load

import (
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"qdrant-sidecar/bench/internal/wire"
)

// Paths of the calls that are made.
const (
	Search = "/qdrant.Points/Search"
	Upsert = "/qdrant.Points/Upsert"
)

// Fields of qdrant.SearchPoints and qdrant.UpsertPoints.
const (
	fieldCollection = 1
	fieldVector     = 2
	fieldLimit      = 4
	// fieldFiller is in no message of Qdrant: parsers skip it.
	fieldFiller = 1000

	dimensions = 768
)

// SearchSize is the size of SearchRequest's result.
const SearchSize = 3120

// SearchRequest is a framed search: 768 floats, and a collection whose name
// makes the size up to SearchSize.
func SearchRequest() []byte {
	vector := make([]byte, 0, 4*dimensions)
	for i := range dimensions {
		vector = protowire.AppendFixed32(vector, math.Float32bits(float32(i)/dimensions))
	}
	var m []byte
	m = protowire.AppendTag(m, fieldVector, protowire.BytesType)
	m = protowire.AppendBytes(m, vector)
	m = protowire.AppendTag(m, fieldLimit, protowire.VarintType)
	m = protowire.AppendVarint(m, 10)
	name := "bench" + strings.Repeat("x", SearchSize-wire.PrefixSize-len(m)-2-len("bench"))
	collection := protowire.AppendTag(nil, fieldCollection, protowire.BytesType)
	collection = protowire.AppendString(collection, name)
	return wire.Frame(append(collection, m...))
}

// UploadRequest is a framed upsert whose message is size bytes of one field that
// nobody reads.
func UploadRequest(size int) []byte {
	m := protowire.AppendTag(nil, fieldCollection, protowire.BytesType)
	m = protowire.AppendString(m, "bench")
	m = protowire.AppendTag(m, fieldFiller, protowire.BytesType)
	rest := size - len(m)
	// The length in front takes some of the rest itself.
	rest -= protowire.SizeVarint(uint64(rest))
	return wire.Frame(protowire.AppendBytes(m, make([]byte, rest)))
}
