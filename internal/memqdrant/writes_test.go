package memqdrant_test

import (
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func byNum(nums ...uint64) *qdrant.PointsSelector {
	var list []*qdrant.PointId
	for _, n := range nums {
		list = append(list, qdrant.NewIDNum(n))
	}
	return qdrant.NewPointsSelectorIDs(list)
}

// payloadOf reads back what point 1 carries.
func (a api) payloadOf(t testing.TB, with *qdrant.WithPayloadSelector) *qdrant.Value {
	t.Helper()
	out, err := a.Get(t.Context(), &qdrant.GetPoints{CollectionName: "c", Ids: []*qdrant.PointId{qdrant.NewIDNum(1)}, WithPayload: with})
	if err != nil || len(out.GetResult()) != 1 {
		t.Fatalf("got %v, %v; want point 1", out, err)
	}
	return &qdrant.Value{Kind: &qdrant.Value_StructValue{StructValue: &qdrant.Struct{Fields: out.GetResult()[0].GetPayload()}}}
}

func wantPayload(t testing.TB, got *qdrant.Value, want object) {
	t.Helper()
	expected, err := qdrant.NewValue(want)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, expected) {
		t.Errorf("got payload %v, want %v", got, expected)
	}
}

func TestPayloadWrites(t *testing.T) {
	start := object{"a": object{"b": 1, "c": 2}, "list": []any{object{"k": 1}, object{"k": 2}}, "s": "x"}
	set := func(key string, pairs ...any) *qdrant.PointsUpdateOperation {
		op := &qdrant.PointsUpdateOperation_SetPayload{Payload: fields(pairs...), PointsSelector: byNum(1)}
		if key != "" {
			op.Key = &key
		}
		return qdrant.NewPointsUpdateSetPayload(op)
	}
	drop := func(keys ...string) *qdrant.PointsUpdateOperation {
		return qdrant.NewPointsUpdateDeletePayload(&qdrant.PointsUpdateOperation_DeletePayload{Keys: keys, PointsSelector: byNum(1)})
	}
	for _, tc := range []struct {
		name string
		op   *qdrant.PointsUpdateOperation
		want object
	}{
		{"set merges at the top only", set("", "a", object{"d": 3}), object{"a": object{"d": 3}, "list": start["list"], "s": "x"}},
		{"null removes", set("", "s", nil), object{"a": start["a"], "list": start["list"]}},
		{"set at a path merges there", set("a", "d", 3, "b", nil), object{"a": object{"c": 2, "d": 3}, "list": start["list"], "s": "x"}},
		{"set replaces what is in the way", set("s.deep", "d", 3), object{"a": start["a"], "list": start["list"], "s": object{"deep": object{"d": 3}}}},
		{"set in every item", set("list[]", "d", 3), object{"a": start["a"], "s": "x",
			"list": []any{object{"k": 1, "d": 3}, object{"k": 2, "d": 3}}}},
		{"set in one item", set("list[1]", "d", 3), object{"a": start["a"], "s": "x", "list": []any{object{"k": 1}, object{"k": 2, "d": 3}}}},
		{"set beyond the list", set("list[2]", "d", 3), start},
		{"set in the items of what is no list", set("s[]", "d", 3), object{"a": start["a"], "list": start["list"], "s": []any{}}},
		{"delete below", drop("a.b", "s.no", "nope"), object{"a": object{"c": 2}, "list": start["list"], "s": "x"}},
		{"delete in every item", drop("list[].k"), object{"a": start["a"], "s": "x", "list": []any{object{}, object{}}}},
		{"delete all items", drop("list[]"), object{"a": start["a"], "s": "x", "list": []any{}}},
		{"delete one item does nothing", drop("list[0]"), start},
		{"overwrite", qdrant.NewPointsUpdateOverwritePayload(&qdrant.PointsUpdateOperation_OverwritePayload{
			Payload: fields("n", nil), PointsSelector: byNum(1)}), object{"n": nil}},
		{"clear", qdrant.NewPointsUpdateClearPayload(&qdrant.PointsUpdateOperation_ClearPayload{Points: byNum(1)}), object{}},
		{"upsert without payload clears", qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{
			Points: []*qdrant.PointStruct{at(1, []float32{2})}}), object{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAPI(t)
			a.create(t, 1, qdrant.Distance_Dot)
			a.put(t, &qdrant.PointStruct{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1), Payload: qdrant.NewValueMap(start)})
			_, err := a.UpdateBatch(t.Context(), &qdrant.UpdateBatchPoints{CollectionName: "c", Wait: new(true),
				Operations: []*qdrant.PointsUpdateOperation{tc.op}})
			if err != nil {
				t.Fatal(err)
			}
			wantPayload(t, a.payloadOf(t, qdrant.NewWithPayload(true)), tc.want)
		})
	}
}

func TestPayloadSelectors(t *testing.T) {
	a := newAPI(t)
	a.create(t, 1, qdrant.Distance_Dot)
	a.put(t, at(1, []float32{1}, "a", object{"b": 1, "c": 2}, "list", []any{object{"k": 1, "l": 2}}, "s", "x"))
	for _, tc := range []struct {
		name string
		with *qdrant.WithPayloadSelector
		want object
	}{
		{"include above and below", qdrant.NewWithPayloadInclude("a.b", "s.t"), object{"a": object{"b": 1}, "s": "x"}},
		{"include items", qdrant.NewWithPayloadInclude("list[].k"), object{"list": []any{object{"k": 1}}}},
		{"include misses items without brackets", qdrant.NewWithPayloadInclude("list.k"), object{"list": []any{}}},
		{"include nothing", qdrant.NewWithPayloadInclude(), object{}},
		{"exclude below", qdrant.NewWithPayloadExclude("a.b", "list[].l"), object{"a": object{"c": 2}, "list": []any{object{"k": 1}}, "s": "x"}},
		{"exclude nothing", qdrant.NewWithPayloadExclude(), object{"a": object{"b": 1, "c": 2}, "list": []any{object{"k": 1, "l": 2}}, "s": "x"}},
	} {
		t.Run(tc.name, func(t *testing.T) { wantPayload(t, a.payloadOf(t, tc.with), tc.want) })
	}
}

func TestUpsertModes(t *testing.T) {
	for _, tc := range []struct {
		name string
		mode qdrant.UpdateMode
		only *qdrant.Filter
		want []uint64 // points whose payload says "new"
	}{
		{"upsert", qdrant.UpdateMode_Upsert, nil, []uint64{1, 2, 3}},
		{"insert only", qdrant.UpdateMode_InsertOnly, nil, []uint64{3}},
		{"update only", qdrant.UpdateMode_UpdateOnly, nil, []uint64{1, 2}},
		{"existing ones by filter", qdrant.UpdateMode_Upsert, must(qdrant.NewMatchInt("v", 1)), []uint64{1, 3}},
		{"only existing ones by filter", qdrant.UpdateMode_UpdateOnly, must(qdrant.NewMatchInt("v", 1)), []uint64{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAPI(t)
			a.create(t, 1, qdrant.Distance_Dot)
			a.put(t, at(1, []float32{1}, "v", 1), at(2, []float32{1}, "v", 2))
			_, err := a.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: "c", Wait: new(true), UpdateMode: &tc.mode, UpdateFilter: tc.only,
				Points: []*qdrant.PointStruct{at(1, []float32{1}, "new", true), at(2, []float32{1}, "new", true), at(3, []float32{1}, "new", true)}})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := a.query(t, &qdrant.QueryPoints{Filter: must(qdrant.NewMatchBool("new", true))})
			wantIDs(t, got, tc.want...)
		})
	}
}

func TestWritesThatAreRefused(t *testing.T) {
	a := newAPI(t)
	a.createWith(t, &qdrant.CreateCollection{
		VectorsConfig:       qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"d": {Size: 2, Distance: qdrant.Distance_Dot}}),
		SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"s": {}}),
	})
	upsert := func(id *qdrant.PointId, v *qdrant.Vectors) func() error {
		return func() error {
			_, err := a.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: "c", Wait: new(true),
				Points: []*qdrant.PointStruct{{Id: id, Vectors: v}}})
			return err
		}
	}
	named := func(name string, v *qdrant.Vector) *qdrant.Vectors {
		return qdrant.NewVectorsMap(map[string]*qdrant.Vector{name: v})
	}
	one := qdrant.NewIDNum(1)
	for _, tc := range []struct {
		want string
		call func() error
	}{
		{"Wrong input: Vector dimension error: expected dim: 2, got 3 for vector 'd'", upsert(one, named("d", qdrant.NewVector(1, 2, 3)))},
		{"Wrong input: Not existing vector name error: nope", upsert(one, named("nope", qdrant.NewVector(1)))},
		{"Wrong input: Not existing vector name error: ", upsert(one, qdrant.NewVectors(1, 2))},
		{"Wrong input: Conversion between sparse and regular vectors failed", upsert(one, named("s", qdrant.NewVector(1)))},
		{"Wrong input: Conversion between sparse and regular vectors failed", upsert(one, named("d", qdrant.NewVectorSparse([]uint32{1}, []float32{1})))},
		{"points[0].vectors.vectors_options.vectors.[].indices: Validation error: must be unique [{}]",
			upsert(one, named("s", qdrant.NewVectorSparse([]uint32{7, 7}, []float32{1, 2})))},
		{"points[0].vectors.vectors_options.vectors.[].values: Validation error: must be the same length as indices [{}]",
			upsert(one, named("s", qdrant.NewVectorSparse([]uint32{7}, []float32{1, 2})))},
		{"Wrong input: points[0].vector.?.vector: dense vector must not be empty", upsert(one, named("d", qdrant.NewVector()))},
		{"data: multi vector must not be empty", upsert(one, named("d", qdrant.NewVectorMulti(nil)))},
		{"Wrong input: Conversion between multi and regular vectors failed", upsert(one, named("d", qdrant.NewVectorMulti([][]float32{{1, 2}})))},
		{"Sparse vector must be named", upsert(one, &qdrant.Vectors{VectorsOptions: &qdrant.Vectors_Vector{
			Vector: qdrant.NewVectorSparse([]uint32{7}, []float32{1})}})},
		{"No Vector Provided", upsert(one, &qdrant.Vectors{})},
		{"No ID options provided", upsert(&qdrant.PointId{}, qdrant.NewVectors(1, 2))},
		{"Bad request: Empty update request", func() error {
			_, err := a.Delete(t.Context(), &qdrant.DeletePoints{CollectionName: "c", Points: byNum()})
			return err
		}},
		{"Malformed PointsSelector type", func() error {
			_, err := a.Delete(t.Context(), &qdrant.DeletePoints{CollectionName: "c", Points: &qdrant.PointsSelector{}})
			return err
		}},
		{"Invalid json path: 'a.'", func() error {
			_, err := a.DeletePayload(t.Context(), &qdrant.DeletePayloadPoints{CollectionName: "c", Keys: []string{"a."}, PointsSelector: byNum(1)})
			return err
		}},
		{"operations: ", func() error {
			_, err := a.UpdateBatch(t.Context(), &qdrant.UpdateBatchPoints{CollectionName: "c"})
			return err
		}},
		{"field_type (Keyword) and field_index_params do not match", func() error {
			_, err := a.CreateFieldIndex(t.Context(), &qdrant.CreateFieldIndexCollection{CollectionName: "c", FieldName: "f",
				FieldType: qdrant.FieldType_FieldTypeKeyword.Enum(), FieldIndexParams: qdrant.NewPayloadIndexParamsInt(&qdrant.IntegerIndexParams{})})
			return err
		}},
	} {
		t.Run(tc.want, func(t *testing.T) { wantStatus(t, tc.call(), codes.InvalidArgument, tc.want) })
	}
}

// A write is logged before it is applied: without wait its failure is never heard of, and what it did stays.
func TestWritesAreLoggedFirst(t *testing.T) {
	a := newAPI(t)
	a.create(t, 1, qdrant.Distance_Dot)
	a.put(t, at(1, []float32{1}))
	set := &qdrant.SetPayloadPoints{CollectionName: "c", Payload: fields("a", 1), PointsSelector: byNum(777, 1)}
	out, err := a.SetPayload(t.Context(), set)
	if err != nil || out.GetResult().GetStatus() != qdrant.UpdateStatus_Acknowledged {
		t.Errorf("without wait: got %v, %v; want Acknowledged", out, err)
	}
	wantPayload(t, a.payloadOf(t, qdrant.NewWithPayload(true)), object{"a": 1})
	set.Wait = new(true)
	_, err = a.SetPayload(t.Context(), set)
	wantStatus(t, err, codes.NotFound, "Not found: No point with id 777 found")
	out, err = a.Delete(t.Context(), &qdrant.DeletePoints{CollectionName: "c", Wait: new(true), Points: byNum(777)})
	if err != nil || out.GetResult().GetOperationId() != 4 {
		t.Errorf("got %v, %v; want operation 4: failed ones count", out, err)
	}
}
