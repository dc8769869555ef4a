package shape_test

import (
	"encoding/json"

	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/shape"
)

// inSchema are the methods of Points whose requests go-client can decode.
func inSchema() map[*method.Method]protoreflect.MessageType {
	found := map[*method.Method]protoreflect.MessageType{}
	services := qdrant.File_points_service_proto.Services().Get(0)
	for i := range services.Methods().Len() {
		rpc := services.Methods().Get(i)
		if kind, err := protoregistry.GlobalTypes.FindMessageByName(rpc.Input().FullName()); err == nil {
			found[points(string(rpc.Name()))] = kind
		}
	}
	return found
}

// FuzzOf holds the scan against the real decoder and a second telling of what counts,
// by the names of fields: it is exact for what a real encoder writes, and gets
// through whatever else comes.
func FuzzOf(f *testing.F) {
	for _, e := range examples() {
		f.Add(marshal(f, e.request), uint16(7))
		f.Add(marshal(f, e.request), uint16(1000))
	}
	methods := inSchema()
	f.Fuzz(func(t *testing.T, msg []byte, size uint16) {
		for m, kind := range methods {
			body := wire(msg, int(size)+1)
			shape.Of(m, body, "")
			shape.Of(m, mem.BufferSlice{mem.SliceBuffer(msg)}, "gzip")
			shape.ServerTime(m, body, "")

			request := kind.New().Interface()
			if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(msg, request); err != nil {
				continue
			}
			encoded := marshal(t, request)
			got := map[string]map[string]any{}
			text := told(shape.Of(m, wire(encoded, int(size)+1), ""))
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, `"partly":"deep"`) || strings.Contains(text, `"partly":"long"`) {
				continue
			}
			want := retell(request.ProtoReflect())
			for _, group := range got {
				if !reflect.DeepEqual(group, want) {
					t.Errorf("%s of %x:\n%v\n%v is wanted: %v", m.FullName(), encoded, group, want, request)
				}
			}
			if len(got) == 0 && len(want) > 0 {
				t.Errorf("%s of %x: nothing, %v is wanted", m.FullName(), encoded, want)
			}
		}
	})
}

// story is the second telling.
type story struct {
	sizes map[string]float64
	flags map[string]any
	names map[string]map[string]bool
	write bool
}

func retell(request protoreflect.Message) map[string]any {
	s := story{sizes: map[string]float64{}, flags: map[string]any{}, names: map[string]map[string]bool{}}
	s.write = request.Descriptor().Fields().ByName("wait") != nil
	if s.write {
		s.flags["wait"] = false
	}
	s.message(request, 0, 0)
	all := s.flags
	for name, n := range s.sizes {
		if n > 0 {
			all[name] = n
		}
	}
	for _, list := range []struct{ name, order string }{
		{"kind", "nearest recommend discover context order_by fusion sample formula nearest_with_mmr rrf relevance_feedback"},
		{"operations", "upsert delete set_payload overwrite_payload delete_payload clear_payload update_vectors delete_vectors"},
		{"filter_clauses", "should must must_not min_should"},
		{"filter_kinds", "is_empty has_id filter is_null nested has_vector range geo_bounding_box geo_radius values_count geo_polygon datetime_range " +
			"match text any except phrase text_any"},
		{"ordering", "weak medium strong other"},
	} {
		var found []string
		for name := range strings.FieldsSeq(list.order) {
			if s.names[list.name][name] {
				found = append(found, name)
			}
		}
		slices.Sort(found)
		if len(found) > 0 {
			all[list.name] = strings.Join(found, ",")
		}
	}
	return all
}

func (s *story) name(list string, name protoreflect.Name) {
	if s.names[list] == nil {
		s.names[list] = map[string]bool{}
	}
	s.names[list][string(name)] = true
}

func (s *story) raise(name string, to float64) { s.sizes[name] = max(s.sizes[name], to) }

// message tells of a message inside of so many filters and prefetches.
func (s *story) message(m protoreflect.Message, filters, prefetches int) {
	in := m.Descriptor().Name()
	switch in {
	case "Filter":
		filters++
		s.raise("filter_depth", float64(filters))
	case "PrefetchQuery":
		prefetches++
		s.raise("prefetch_depth", float64(prefetches))
	case "WriteOrdering":
		s.ordering(m)
	case "Condition", "FieldCondition", "Match":
		s.condition(m)
	case "Vector", "SearchPoints", "SearchPointGroups", "DenseVector", "SparseVector":
		s.vector(m)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		s.field(in, f, v)
		if f.Message() == nil || skipped(in, f.Name()) {
			return true
		}
		first := f.Name() == "points" && (f.Message().Name() == "PointStruct" || f.Message().Name() == "PointVectors")
		switch {
		case f.IsMap():
			if in == "NamedVectors" {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					s.message(v.Message(), filters, prefetches)
					return true
				})
			}
		case f.IsList():
			for i := range v.List().Len() {
				if !first {
					s.message(v.List().Get(i).Message(), filters, prefetches)
				} else if s.sizes["points"]++; s.sizes["points"] == 1 {
					s.message(v.List().Get(i).Message(), filters, prefetches)
				}
			}
		default:
			s.message(v.Message(), filters, prefetches)
		}
		return true
	})
}

// skipped are messages that nothing is told of.
func skipped(in, field protoreflect.Name) bool {
	return slices.Contains([]protoreflect.Name{
		"read_consistency", "shard_key_selector", "with_lookup", "lookup_from", "formula", "document", "image", "object", "order_by", "field_index_params", "quantization", "acorn", "sparse_indices",
	}, field) || in == "DeletePointVectors" && field == "vectors" || in == "DeleteVectors" && field == "vectors"
}

func (s *story) field(in protoreflect.Name, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	name := string(f.Name())
	n := 0.0
	switch {
	case f.IsList():
		n = float64(v.List().Len())
	case f.Kind() == protoreflect.Uint64Kind || f.Kind() == protoreflect.Uint32Kind:
		n = float64(v.Uint())
	}
	switch in + "." + f.Name() {
	case "PrefetchQuery.limit":
		s.raise("prefetch_limit", n)
		return
	case "ScrollPoints.offset", "PointId.num":
		if in == "PointId" || f.Message() != nil {
			return
		}
	case "GetPoints.ids", "RecommendPoints.positive", "RecommendPoints.negative", "RecommendPointGroups.positive", "RecommendPointGroups.negative":
		s.sizes["ids"] += n
	case "VectorInput.id", "VectorExample.id":
		s.sizes["ids"]++
	case "PointsIdsList.ids":
		s.sizes["points"] += n
	case "RepeatedStrings.strings", "RepeatedIntegers.integers", "HasIdCondition.has_id":
		s.sizes["filter_values"] += n
	case "Query.order_by", "ScrollPoints.order_by":
		s.flags["order_by"] = true
	case "PointsSelector.filter":
		s.flags["by_filter"] = true
	}
	switch name {
	case "limit", "offset", "group_size", "sample", "hnsw_ef":
		s.raise(name, n)
	case "timeout":
		s.raise("timeout_seconds", n)
	case "search_points", "recommend_points", "discover_points", "query_points":
		s.sizes["batch"] += n
	case "prefetch":
		s.sizes["prefetch"] += n
	case "exact", "indexed_only":
		if v.Bool() {
			s.flags[name] = true
		}
	case "wait":
		s.flags[name] = v.Bool()
	case "score_threshold":
		s.flags[name] = true
	case "update_filter":
		s.flags["conditional"] = true
	case "document", "image", "object":
		s.flags["inference"] = true
	}
	s.choice(in, f, v)
}

// choice tells of the messages that are one of several.
func (s *story) choice(in protoreflect.Name, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch in {
	case "Query":
		s.name("kind", f.Name())
	case "Filter":
		s.name("filter_clauses", f.Name())
	case "PointsUpdateOperation":
		s.sizes["batch"]++
		name := strings.TrimSuffix(string(f.Name()), "_deprecated")
		s.name("operations", protoreflect.Name(strings.Replace(name, "delete_points", "delete", 1)))
	case "WithPayloadSelector", "WithVectorsSelector":
		flag := map[protoreflect.Name]string{"WithPayloadSelector": "with_payload", "WithVectorsSelector": "with_vectors"}[in]
		if f.Message() != nil || v.Bool() {
			s.flags[flag] = true
		}
	}
}

func (s *story) ordering(m protoreflect.Message) {
	v := m.Get(m.Descriptor().Fields().ByName("type")).Enum()
	name := protoreflect.Name("other")
	if known := qdrant.WriteOrderingType(v); v >= 0 && v <= 2 {
		name = protoreflect.Name(strings.ToLower(known.String()))
	}
	s.name("ordering", name)
}

func (s *story) condition(m protoreflect.Message) {
	kinds := map[protoreflect.Name]protoreflect.Name{
		"keyword": "match", "integer": "match", "boolean": "match", "keywords": "any", "integers": "any", "except_integers": "except", "except_keywords": "except",
	}
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		in, name := m.Descriptor().Name(), f.Name()
		if in == "Condition" && name != "filter" && name != "nested" {
			s.sizes["filter_conditions"]++
		}
		if other, ok := kinds[name]; ok {
			name = other
		}
		if name != "field" && name != "key" && !(in == "FieldCondition" && name == "match") {
			s.name("filter_kinds", name)
		}
		return true
	})
}

// vector tells of the numbers that a message has itself.
func (s *story) vector(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	has := func(name protoreflect.Name) bool { f := fields.ByName(name); return f != nil && m.Has(f) }
	length := 0.0
	for _, name := range []protoreflect.Name{"data", "vector", "values"} {
		if f := fields.ByName(name); f != nil && f.IsList() {
			length = float64(m.Get(f).List().Len())
		}
	}
	if length == 0 {
		return
	}
	if has("indices") || has("sparse_indices") || m.Descriptor().Name() == "SparseVector" {
		s.sizes["vectors"]++
		s.raise("sparse_values", length)
		return
	}
	rows := 1.0
	if f := fields.ByName("vectors_count"); f != nil && m.Has(f) {
		if n := float64(m.Get(f).Uint()); n > 1 && n <= length {
			rows = n
		}
	}
	s.sizes["vectors"] += rows
	s.raise("dimension", float64(int(length/rows)))
}
