package memqdrant

import (
	"slices"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/test/golden"
)

func TestParsePath(t *testing.T) {
	for _, tc := range []struct {
		text string
		want path
	}{
		{"a", path{{key: "a"}}},
		{"a.b-c_d", path{{key: "a"}, {key: "b-c_d"}}},
		{"größe.日本", path{{key: "größe"}, {key: "日本"}}},
		{`"x y"."".z`, path{{key: "x y"}, {key: ""}, {key: "z"}}},
		{"nested[].k[12][]", path{{key: "nested"}, {kind: stepItems}, {key: "k"}, {kind: stepIndex, index: 12}, {kind: stepItems}}},
		{"", nil}, {".", nil}, {".a", nil}, {"a.", nil}, {"a..b", nil}, {"[0]", nil}, {"a[", nil}, {"a[x]", nil}, {"a[-1]", nil},
		{"a[+1]", nil}, {"a b", nil}, {`"a`, nil}, {`"a\"b"`, nil}, {`a"b"`, nil}, {"a[]b", nil}, {"a[99999999999999999999]", nil},
	} {
		got, err := parsePath(tc.text)
		if (err == nil) != (tc.want != nil) || !slices.Equal(got, tc.want) {
			t.Errorf("parsePath(%q) = %v, %v; want %v", tc.text, got, err, tc.want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"a", "nested[].k", `a."b.c"`, "a[0][]", "", `"`, "a[", "é.\u0301", `"".""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePath(text)
		if err != nil {
			return
		}
		again, err := parsePath(p.String())
		if err != nil || !slices.Equal(p, again) {
			t.Errorf("%q reads as %v, which is spelled %q, which reads as %v, %v", text, p, p.String(), again, err)
		}
	})
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2024-02-01T10:20:30.5+02:00": "2024-02-01T08:20:30.5Z",
		"2024-02-01 10:20:30+0200":    "2024-02-01T08:20:30Z",
		"2024-02-01T10:20:30-02":      "2024-02-01T12:20:30Z",
		"2024-02-01 10:20:30.25 UTC":  "2024-02-01T10:20:30.25Z",
		"2024-02-01 10:20:30":         "2024-02-01T10:20:30Z",
		"2024-02-01T10:20":            "2024-02-01T10:20:00Z",
		"2024-2-1":                    "2024-02-01T00:00:00Z",
		"2024-02-30":                  "", "01.02.2024": "", "2024-02-01 10:20:30 PST": "", "": "",
	} {
		got, ok := parseTime(text)
		if ok != (want != "") || ok && got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("parseTime(%q) = %v, %t; want %q", text, got, ok, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"2024-02-01T10:00:00Z", "2024-02-01 10:00:00.123+0200", "2024-02-01", "2024-02-01T10:00", "", "2024-13-01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, ok := parseTime(text); ok && parsed.IsZero() && text[0] != '0' {
			t.Errorf("%q reads as no time at all", text)
		}
	})
}

func FuzzParseUUID(f *testing.F) {
	for _, seed := range []string{"550e8400-e29b-41d4-a716-446655440000", "{550e8400-e29b-41d4-a716-446655440000}",
		"550e8400e29b41d4a716446655440000", "urn:uuid:550e8400-e29b-41d4-a716-446655440000", "", "{}", "urn:uuid:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseID(qdrant.NewIDUUID(text))
		if err != nil {
			return
		}
		again, err := parseID(id.proto())
		if err != nil || again != id {
			t.Errorf("%q reads as %v, which reads as %v, %v", text, id, again, err)
		}
	})
}

// FuzzRequests makes any query and any upsert of a client that knows the schema but nothing else. None may panic, and
// what was stored must be readable.
func FuzzRequests(f *testing.F) {
	calls, err := golden.Calls()
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range calls {
		in, _, err := c.Messages()
		if err != nil {
			f.Fatal(err)
		}
		raw, err := proto.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := pointsService{db: newDatabase()}
		ctx := t.Context()
		c, err := newCollection(&qdrant.CreateCollection{
			CollectionName: "dot",
			VectorsConfig: qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{
				"": {Size: 4, Distance: qdrant.Distance_Cosine}, "late": {Size: 2, Distance: qdrant.Distance_Euclid, MultivectorConfig: &qdrant.MultiVectorConfig{}}}),
			SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"words": {Modifier: qdrant.Modifier_Idf.Enum()}}),
		})
		if err != nil {
			t.Fatal(err)
		}
		s.db.collections["dot"] = c
		named := qdrant.NewVectorsMap(map[string]*qdrant.Vector{"": qdrant.NewVector(1, 2, 3, 4),
			"late": qdrant.NewVectorMulti([][]float32{{1, 2}}), "words": qdrant.NewVectorSparse([]uint32{3}, []float32{1})})
		seed := &qdrant.PointStruct{Id: qdrant.NewIDNum(1), Vectors: named, Payload: qdrant.NewValueMap(map[string]any{
			"n": 1, "city": "x", "nested": []any{map[string]any{"k": "x", "v": 2}}})}
		if _, err := s.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "dot", Wait: new(true), Points: []*qdrant.PointStruct{seed}}); err != nil {
			t.Fatal(err)
		}
		index, err := newIndex(&qdrant.CreateFieldIndexCollection{FieldName: "n", FieldType: qdrant.FieldType_FieldTypeInteger.Enum()})
		if err != nil {
			t.Fatal(err)
		}
		c.addIndex(index)

		// Errors are fine: only panics and answers that cannot be marshalled are not.
		tryCall(t, raw, &qdrant.UpsertPoints{}, func(in *qdrant.UpsertPoints) (proto.Message, error) { return s.Upsert(ctx, in) })
		tryCall(t, raw, &qdrant.UpdateBatchPoints{}, func(in *qdrant.UpdateBatchPoints) (proto.Message, error) { return s.UpdateBatch(ctx, in) })
		tryCall(t, raw, &qdrant.SetPayloadPoints{}, func(in *qdrant.SetPayloadPoints) (proto.Message, error) { return s.SetPayload(ctx, in) })
		tryCall(t, raw, &qdrant.QueryPoints{}, func(in *qdrant.QueryPoints) (proto.Message, error) { return s.Query(ctx, in) })
		tryCall(t, raw, &qdrant.QueryPointGroups{}, func(in *qdrant.QueryPointGroups) (proto.Message, error) { return s.QueryGroups(ctx, in) })
		tryCall(t, raw, &qdrant.SearchPoints{}, func(in *qdrant.SearchPoints) (proto.Message, error) { return s.Search(ctx, in) })
		tryCall(t, raw, &qdrant.RecommendPoints{}, func(in *qdrant.RecommendPoints) (proto.Message, error) { return s.Recommend(ctx, in) })
		tryCall(t, raw, &qdrant.ScrollPoints{}, func(in *qdrant.ScrollPoints) (proto.Message, error) { return s.Scroll(ctx, in) })
	})
}

func tryCall[T proto.Message](t *testing.T, raw []byte, in T, call func(T) (proto.Message, error)) {
	if proto.Unmarshal(raw, in) != nil {
		return
	}
	out, err := call(in)
	if err != nil {
		return
	}
	if _, err := proto.Marshal(out); err != nil {
		t.Errorf("the answer cannot be marshalled: %v", err)
	}
}
