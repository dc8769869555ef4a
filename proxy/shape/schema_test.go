package shape

import (
	"slices"
	"testing"

	_ "github.com/qdrant/go-client/qdrant" // the schema
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"qdrant-sidecar/proxy/method"
)

// passedOver are the fields of the schema that are not looked at, by name, in the
// messages that are.
var passedOver = map[protoreflect.Name]bool{
	"collection_name": true, "read_consistency": true, "shard_key_selector": true, "using": true, "vector_name": true, "with_lookup": true, "lookup_from": true,
	"group_by": true, "key": true, "keys": true, "strategy": true, "payload": true, "id": true, "update_mode": true, "field_name": true, "field_type": true,
	"field_index_params": true, "quantization": true, "acorn": true, "mmr": true, "score": true, "min_count": true, "vectors": true, "fields": true, "names": true,
}

// namesOfSizes are those that the schema has for what is told of.
var namesOfSizes = map[size][]protoreflect.Name{
	queries: {"search_points", "recommend_points", "discover_points", "query_points"}, limit: {"limit"}, offset: {"offset"}, groupSize: {"group_size"},
	sample: {"sample"}, ids: {"ids", "positive", "negative", "id"}, hnswEf: {"hnsw_ef"}, prefetchCount: {"prefetch"}, prefetchLimit: {"limit"},
	operations: nil, points: {"points", "ids"}, conditions: nil, filterValues: {"strings", "integers", "has_id"}, timeout: {"timeout"},
}

var namesOfFlags = map[flag][]protoreflect.Name{
	exact: {"exact"}, indexedOnly: {"indexed_only"}, withPayload: {"enable", "include", "exclude"}, withVectors: {"enable", "include"},
	inference: {"document", "image", "object"}, ordered: {"order_by"}, scoreThreshold: {"score_threshold"}, waits: {"wait"},
	conditional: {"update_filter"}, byFilter: {"filter"},
}

// beyondClient are the methods whose requests go-client does not have yet.
var beyondClient = []string{"/qdrant.Points/CreateVectorName", "/qdrant.Points/DeleteVectorName"}

// TestLayoutsAgreeWithSchema walks both together, so that a field which go-client
// learns fails the build until somebody has decided whether to tell of it.
func TestLayoutsAgreeWithSchema(t *testing.T) {
	seen := map[message]bool{}
	for path, r := range requests {
		m := method.Lookup(path)
		if m == method.Other {
			t.Errorf("%s is no method", path)
		}
		if slices.Contains(beyondClient, path) {
			seen[r.request] = true
			continue
		}
		rpc, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(m.Service + "." + m.Name))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		checkLayout(t, rpc.(protoreflect.MethodDescriptor).Input(), r.request, seen)
	}
	for m := range method.All() {
		if _, ok := requests[m.FullName()]; m.Service == "qdrant.Points" && !ok {
			t.Errorf("nothing is told of %s", m.FullName())
		}
	}
	for m := range layouts {
		if m := message(m); !seen[m] && m != nothing {
			t.Errorf("layout %d is of no use", m)
		}
	}
}

func checkLayout(t *testing.T, of protoreflect.MessageDescriptor, m message, seen map[message]bool) {
	t.Helper()
	if seen[m] {
		return
	}
	seen[m] = true
	for number, p := range layouts[m] {
		f := of.Fields().ByNumber(number)
		if f == nil {
			if number != 0 {
				t.Errorf("%s has no field %d", of.FullName(), number)
			}
			continue
		}
		switch p.how {
		case count, countIn, largest, numbers:
			if want := namesOfSizes[p.size]; want != nil && !slices.Contains(want, f.Name()) {
				t.Errorf("%s is told as size %d", f.FullName(), p.size)
			}
		case truthOf, present:
			if !slices.Contains(namesOfFlags[p.flag], f.Name()) {
				t.Errorf("%s is told as flag %d", f.FullName(), p.flag)
			}
		}
		if p.in != nothing {
			if f.Message() == nil {
				t.Errorf("%s is no message", f.FullName())
				continue
			}
			checkLayout(t, f.Message(), p.in, seen)
		}
	}
	for i := range of.Fields().Len() {
		f := of.Fields().Get(i)
		if _, ok := layouts[m][f.Number()]; !ok && !passedOver[f.Name()] && !of.IsMapEntry() {
			t.Errorf("%s is not looked at", f.FullName())
		}
	}
}

// TestTimeFieldsAgreeWithSchema: each answer's field is that which is named so.
func TestTimeFieldsAgreeWithSchema(t *testing.T) {
	for m := range method.All() {
		number, ok := timeFields[m.FullName()]
		if !ok {
			number = timeFields[m.Service]
		}
		rpc, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(m.Service + "." + m.Name))
		if err != nil {
			continue // beyond go-client
		}
		f := rpc.(protoreflect.MethodDescriptor).Output().Fields().ByName("time")
		switch {
		case f == nil && number != 0:
			t.Errorf("the answer of %s has no time", m.FullName())
		case f != nil && (f.Number() != number || f.Kind() != protoreflect.DoubleKind):
			t.Errorf("the time of %s is field %d, not %d", m.FullName(), f.Number(), number)
		}
	}
}
