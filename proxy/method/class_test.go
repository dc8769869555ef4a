package method_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

const (
	read        = resilience.Read
	idempotent  = resilience.IdempotentWrite
	unsafeWrite = resilience.UnsafeWrite
)

func points(name string) *method.Method { return method.Lookup("/qdrant.Points/" + name) }

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var (
	byIDs    = qdrant.NewPointsSelector(qdrant.NewIDNum(1), qdrant.NewID("2b5a7f1c-0000-4000-8000-000000000001"))
	byNoID   = qdrant.NewPointsSelector()
	byFilter = qdrant.NewPointsSelectorFilter(&qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("city", "Ulm")}})
	byAll    = qdrant.NewPointsSelectorFilter(&qdrant.Filter{})
	shardKey = &qdrant.ShardKeySelector{ShardKeys: []*qdrant.ShardKey{qdrant.NewShardKey("tenant")}}
	payload  = qdrant.NewValueMap(map[string]any{"a": 1, "b": []any{"x", map[string]any{"c": nil}}})
	vectors  = &qdrant.VectorsSelector{Names: []string{"image"}}
	written  = []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1, 2, 3), Payload: payload}}
	filter   = &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatchInt("version", 1)}}
)

// TestClassBySelector asks for every method with a selector what each kind of
// selector makes of it.
func TestClassBySelector(t *testing.T) {
	requests := map[string]func(*qdrant.PointsSelector) proto.Message{
		"Delete": func(sel *qdrant.PointsSelector) proto.Message {
			return &qdrant.DeletePoints{CollectionName: "docs", Wait: new(true), Points: sel, ShardKeySelector: shardKey, Timeout: new(uint64(3))}
		},
		"ClearPayload": func(sel *qdrant.PointsSelector) proto.Message {
			return &qdrant.ClearPayloadPoints{CollectionName: "docs", Points: sel, Ordering: &qdrant.WriteOrdering{Type: qdrant.WriteOrderingType_Strong}}
		},
		"DeleteVectors": func(sel *qdrant.PointsSelector) proto.Message {
			return &qdrant.DeletePointVectors{CollectionName: "docs", PointsSelector: sel, Vectors: vectors, ShardKeySelector: shardKey}
		},
		"SetPayload": func(sel *qdrant.PointsSelector) proto.Message {
			return &qdrant.SetPayloadPoints{CollectionName: "docs", Payload: payload, PointsSelector: sel, Key: new("a.b"), Timeout: new(uint64(3))}
		},
		"OverwritePayload": func(sel *qdrant.PointsSelector) proto.Message {
			return &qdrant.SetPayloadPoints{CollectionName: "docs", Payload: payload, PointsSelector: sel}
		},
		"DeletePayload": func(sel *qdrant.PointsSelector) proto.Message {
			return &qdrant.DeletePayloadPoints{CollectionName: "docs", Keys: []string{"a", "b"}, PointsSelector: sel, ShardKeySelector: shardKey}
		},
	}
	for name, request := range requests {
		for _, test := range []struct {
			about    string
			selector *qdrant.PointsSelector
			want     resilience.Class
		}{
			{"by ids", byIDs, idempotent},
			{"by an empty list of ids", byNoID, idempotent},
			{"by filter", byFilter, unsafeWrite},
			{"by an empty filter, which is everything", byAll, unsafeWrite},
			// Qdrant rejects these two, so they change nothing.
			{"without a selector", nil, idempotent},
			{"by an empty selector", &qdrant.PointsSelector{}, idempotent},
		} {
			t.Run(name+" "+test.about, func(t *testing.T) {
				checkClass(t, points(name), marshal(t, request(test.selector)), test.want)
			})
		}
	}
}

// checkClass asks for the class of a message however it lies in buffers.
func checkClass(t *testing.T, m *method.Method, msg []byte, want resilience.Class) {
	t.Helper()
	for _, size := range []int{1, 2, 7, 1 << 20} {
		if got := m.ClassOf(cut(msg, size)); got != want {
			t.Errorf("%s in buffers of %d bytes: %v, want %v", m.FullName(), size, got, want)
		}
	}
}

// operations are the kinds of operations of a batch, by ids and unconditional.
var operations = map[string]func() *qdrant.PointsUpdateOperation{
	"upsert": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{Points: written, ShardKeySelector: shardKey})
	},
	"set": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateSetPayload(&qdrant.PointsUpdateOperation_SetPayload{Payload: payload, PointsSelector: byIDs, Key: new("a")})
	},
	"overwrite": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateOverwritePayload(&qdrant.PointsUpdateOperation_OverwritePayload{Payload: payload, PointsSelector: byIDs, ShardKeySelector: shardKey})
	},
	"unset": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateDeletePayload(&qdrant.PointsUpdateOperation_DeletePayload{Keys: []string{"a"}, PointsSelector: byIDs})
	},
	"clear": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateClearPayload(&qdrant.PointsUpdateOperation_ClearPayload{Points: byIDs, ShardKeySelector: shardKey})
	},
	"vectors": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateUpdateVectors(&qdrant.PointsUpdateOperation_UpdateVectors{Points: []*qdrant.PointVectors{{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1, 2)}}})
	},
	"unvector": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateDeleteVectors(&qdrant.PointsUpdateOperation_DeleteVectors{PointsSelector: byIDs, Vectors: vectors})
	},
	"delete": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateDeletePoints(&qdrant.PointsUpdateOperation_DeletePoints{Points: byIDs, ShardKeySelector: shardKey})
	},
	"old delete": func() *qdrant.PointsUpdateOperation {
		return &qdrant.PointsUpdateOperation{Operation: &qdrant.PointsUpdateOperation_DeleteDeprecated{DeleteDeprecated: byIDs}} //nolint:staticcheck // Qdrant still takes it.
	},
	"old clear": func() *qdrant.PointsUpdateOperation {
		return &qdrant.PointsUpdateOperation{Operation: &qdrant.PointsUpdateOperation_ClearPayloadDeprecated{ClearPayloadDeprecated: byIDs}} //nolint:staticcheck // Qdrant still takes it.
	},
	"set by filter": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateSetPayload(&qdrant.PointsUpdateOperation_SetPayload{Payload: payload, PointsSelector: byFilter})
	},
	"overwrite by filter": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateOverwritePayload(&qdrant.PointsUpdateOperation_OverwritePayload{Payload: payload, PointsSelector: byFilter})
	},
	"unset by filter": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateDeletePayload(&qdrant.PointsUpdateOperation_DeletePayload{PointsSelector: byFilter})
	},
	"clear by filter": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateClearPayload(&qdrant.PointsUpdateOperation_ClearPayload{Points: byFilter})
	},
	"unvector by filter": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateDeleteVectors(&qdrant.PointsUpdateOperation_DeleteVectors{PointsSelector: byFilter, Vectors: vectors})
	},
	"delete by filter": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateDeletePoints(&qdrant.PointsUpdateOperation_DeletePoints{Points: byFilter})
	},
	"old delete by filter": func() *qdrant.PointsUpdateOperation {
		return &qdrant.PointsUpdateOperation{Operation: &qdrant.PointsUpdateOperation_DeleteDeprecated{DeleteDeprecated: byAll}} //nolint:staticcheck // Qdrant still takes it.
	},
	"old clear by filter": func() *qdrant.PointsUpdateOperation {
		return &qdrant.PointsUpdateOperation{Operation: &qdrant.PointsUpdateOperation_ClearPayloadDeprecated{ClearPayloadDeprecated: byAll}} //nolint:staticcheck // Qdrant still takes it.
	},
	"upsert where": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{Points: written, UpdateFilter: filter})
	},
	"insert only": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{Points: written, UpdateMode: new(qdrant.UpdateMode_InsertOnly)})
	},
	"vectors where": func() *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateUpdateVectors(&qdrant.PointsUpdateOperation_UpdateVectors{UpdateFilter: filter})
	},
	"nothing": func() *qdrant.PointsUpdateOperation { return &qdrant.PointsUpdateOperation{} },
}

func batch(names ...string) *qdrant.UpdateBatchPoints {
	request := &qdrant.UpdateBatchPoints{CollectionName: "docs", Wait: new(true), Timeout: new(uint64(9))}
	for _, name := range names {
		request.Operations = append(request.Operations, operations[name]())
	}
	return request
}

func TestClassOfBatch(t *testing.T) {
	for _, test := range []struct {
		operations []string
		want       resilience.Class
	}{
		{nil, idempotent},
		{[]string{"nothing"}, idempotent},
		{[]string{"upsert"}, idempotent},
		{[]string{"set", "overwrite", "unset", "clear", "old clear", "vectors", "unvector", "upsert"}, idempotent},
		{[]string{"delete", "upsert", "old delete", "upsert"}, idempotent},

		// The worst one decides, wherever it stands.
		{[]string{"set by filter"}, unsafeWrite},
		{[]string{"overwrite by filter"}, unsafeWrite},
		{[]string{"unset by filter"}, unsafeWrite},
		{[]string{"clear by filter"}, unsafeWrite},
		{[]string{"unvector by filter"}, unsafeWrite},
		{[]string{"delete by filter"}, unsafeWrite},
		{[]string{"old delete by filter"}, unsafeWrite},
		{[]string{"old clear by filter"}, unsafeWrite},
		{[]string{"delete by filter", "upsert", "upsert"}, unsafeWrite},
		{[]string{"upsert", "upsert", "delete by filter"}, unsafeWrite},

		// What a condition sees depends on the operations before it.
		{[]string{"upsert where"}, unsafeWrite},
		{[]string{"insert only"}, unsafeWrite},
		{[]string{"vectors where", "upsert"}, unsafeWrite},

		// The second time, the point to change would be gone.
		{[]string{"set", "delete"}, unsafeWrite},
		{[]string{"delete", "overwrite"}, unsafeWrite},
		{[]string{"unset", "delete"}, unsafeWrite},
		{[]string{"clear", "delete"}, unsafeWrite},
		{[]string{"vectors", "old delete"}, unsafeWrite},
		{[]string{"unvector", "old delete"}, unsafeWrite},
		{[]string{"old delete", "old clear"}, unsafeWrite},
	} {
		checkClass(t, points("UpdateBatch"), marshal(t, batch(test.operations...)), test.want)
		if t.Failed() {
			t.Fatalf("a batch of %q", test.operations)
		}
	}
}

// TestClassIsFixed holds that where the class does not depend on the request,
// nothing in it changes the class.
func TestClassIsFixed(t *testing.T) {
	upsert := &qdrant.UpsertPoints{CollectionName: "docs", Points: written, UpdateFilter: filter, UpdateMode: new(qdrant.UpdateMode_UpdateOnly)}
	for _, test := range []struct {
		path string
		want resilience.Class
	}{
		{"/qdrant.Points/Upsert", idempotent},
		{"/qdrant.Points/UpdateVectors", idempotent},
		{"/qdrant.Points/Query", read},
		{"/qdrant.Collections/Create", unsafeWrite},
		{"/qdrant.Points/Unheard", resilience.Unknown},
	} {
		m := method.Lookup(test.path)
		for about, body := range map[string]mem.BufferSlice{
			"a message": cut(marshal(t, upsert), 16), "nothing": nil, "rubbish": {mem.SliceBuffer("\x01rubbish")},
		} {
			if got := m.ClassOf(body); got != test.want || got != m.Class {
				t.Errorf("%s with %s: %v, want %v", test.path, about, got, test.want)
			}
		}
	}
}

// TestClassOfTheUnreadable gives a request that can be repeated in forms that
// leave some doubt about it.
func TestClassOfTheUnreadable(t *testing.T) {
	raw := marshal(t, &qdrant.DeletePoints{CollectionName: "docs", Points: byIDs})
	selector := marshal(t, byIDs)
	whole := cut(raw, 1<<20)[0].ReadOnlyData()
	field := func(number protowire.Number, kind protowire.Type) []byte {
		return protowire.AppendTag(nil, number, kind)
	}

	for about, msg := range map[string][]byte{
		"a field that nobody knows":       slices.Concat(raw, field(7, protowire.VarintType), []byte{1}),
		"a field far off":                 slices.Concat(raw, field(protowire.MaxValidNumber, protowire.VarintType), []byte{1}),
		"a selector that nobody knows":    slices.Concat(raw, field(3, protowire.BytesType), []byte{2, 3<<3 | 2, 0}),
		"ids, then a filter":              slices.Concat(raw, field(3, protowire.BytesType), []byte{2, 2<<3 | 2, 0}),
		"a filter, then ids":              slices.Concat(field(3, protowire.BytesType), []byte{2, 2<<3 | 2, 0}, raw),
		"a filter after ids, inside":      slices.Concat(field(3, protowire.BytesType), protowire.AppendBytes(nil, slices.Concat(selector, []byte{2<<3 | 2, 0}))),
		"a selector that is a number":     slices.Concat(raw, field(3, protowire.VarintType), []byte{0}),
		"a selector that is a group":      slices.Concat(raw, field(3, protowire.StartGroupType), field(3, protowire.EndGroupType)),
		"a group in a known field":        slices.Concat(raw, field(2, protowire.StartGroupType), field(2, protowire.EndGroupType)),
		"a group that ends unopened":      slices.Concat(raw, field(2, protowire.EndGroupType)),
		"a selector beyond the end":       slices.Concat(raw, field(3, protowire.BytesType), []byte{9, 1<<3 | 2, 0}),
		"a selector of 2⁶⁴-1 bytes":       slices.Concat(raw, field(3, protowire.BytesType), bytes.Repeat([]byte{0xff}, 9), []byte{1}),
		"ids that end after their parent": slices.Concat(raw, field(3, protowire.BytesType), []byte{2, 1<<3 | 2, 3, 0, 0, 0}),
		"a field beyond all numbers":      slices.Concat(raw, bytes.Repeat([]byte{0xff}, 9), []byte{1}),
		"field number zero":               slices.Concat(raw, []byte{0x02, 0x00}),
		"an endless varint":               slices.Concat(raw, bytes.Repeat([]byte{0x80}, 20)),
		"a tag without a value":           slices.Concat(raw, field(1, protowire.BytesType)),
	} {
		t.Run(about, func(t *testing.T) { checkClass(t, points("Delete"), msg, unsafeWrite) })
	}
	for about, body := range map[string][]byte{
		"nothing":           nil,
		"half a prefix":     whole[:3],
		"a prefix":          whole[:5],
		"half a message":    whole[:len(whole)-1],
		"two messages":      slices.Concat(whole, whole),
		"one byte more":     append(slices.Clone(whole), 0),
		"compressed":        append([]byte{1}, whole[1:]...),
		"a flag unheard of": append([]byte{2}, whole[1:]...),
	} {
		if got := points("Delete").ClassOf(mem.BufferSlice{mem.SliceBuffer(body)}); got != unsafeWrite {
			t.Errorf("%s: %v, want %v", about, got, unsafeWrite)
		}
	}
	empty := mem.BufferSlice{mem.SliceBuffer(nil), mem.SliceBuffer(whole[:8]), mem.SliceBuffer(nil), mem.SliceBuffer(whole[8:]), mem.SliceBuffer(nil)}
	if got := points("Delete").ClassOf(empty); got != idempotent {
		t.Errorf("between empty buffers: %v, want %v", got, idempotent)
	}
}

func TestClassOfAllocatesNothing(t *testing.T) {
	group := []byte{2<<3 | 3, 2<<3 | 4}
	for _, test := range []struct {
		name string
		msg  []byte
	}{
		{"Delete", marshal(t, &qdrant.DeletePoints{CollectionName: "docs", Points: byIDs})},
		{"Delete", marshal(t, &qdrant.DeletePoints{CollectionName: "docs", Points: byFilter})},
		{"Delete", bytes.Repeat(group, 50)},
		{"SetPayload", marshal(t, &qdrant.SetPayloadPoints{CollectionName: "docs", Payload: payload, PointsSelector: byIDs})},
		{"UpdateBatch", marshal(t, batch("upsert", "delete", "delete by filter"))},
		{"UpdateBatch", bytes.Repeat([]byte{0xff}, 50)},
		{"Query", nil},
	} {
		for _, size := range []int{1, 1 << 20} {
			body, m := cut(test.msg, size), points(test.name)
			if n := testing.AllocsPerRun(100, func() { m.ClassOf(body) }); n != 0 {
				t.Errorf("%s of %x in buffers of %d bytes: %v allocations", test.name, test.msg, size, n)
			}
		}
	}
}

func BenchmarkClassOf(b *testing.B) {
	ids := make([]*qdrant.PointId, 100)
	for i := range ids {
		ids[i] = qdrant.NewIDNum(uint64(i))
	}
	m, body := points("Delete"), cut(marshal(b, &qdrant.DeletePoints{CollectionName: "docs", Points: qdrant.NewPointsSelectorIDs(ids)}), 16<<10)
	for b.Loop() {
		m.ClassOf(body)
	}
}
