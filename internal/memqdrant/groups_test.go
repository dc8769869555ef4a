package memqdrant_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
)

// spell writes groups as "key:id,id key:id …".
func spell(groups []*qdrant.PointGroup) string {
	var words []string
	for _, g := range groups {
		key := g.GetId().GetStringValue()
		switch kind := g.GetId().GetKind().(type) {
		case *qdrant.GroupId_UnsignedValue:
			key = fmt.Sprint(kind.UnsignedValue)
		case *qdrant.GroupId_IntegerValue:
			key = fmt.Sprint(kind.IntegerValue)
		}
		words = append(words, strings.ReplaceAll(fmt.Sprintf("%s:%v", key, ids(g.GetHits())), " ", ","))
	}
	return strings.Join(words, " ")
}

func TestGroups(t *testing.T) {
	a := newAPI(t)
	a.create(t, 1, qdrant.Distance_Dot)
	a.put(t,
		at(1, []float32{9}, "g", "a"), at(2, []float32{8}, "g", []any{"a", "b", "a"}), at(3, []float32{7}, "g", -1),
		at(4, []float32{6}, "g", 1), at(5, []float32{5}, "g", "a"), at(6, []float32{4}, "g", 1.5),
		at(7, []float32{3}, "g", []any{"b", true}), at(8, []float32{2}), at(9, []float32{1}, "g", []any{}),
	)
	for _, tc := range []struct {
		name string
		in   *qdrant.QueryPointGroups
		want string
	}{
		{"defaults", &qdrant.QueryPointGroups{}, "a:[1,2,5] b:[2] -1:[3] 1:[4]"},
		{"limits", &qdrant.QueryPointGroups{Limit: new(uint64(2)), GroupSize: new(uint64(1))}, "a:[1] b:[2]"},
		{"filter", &qdrant.QueryPointGroups{Filter: must(qdrant.NewMatchInt("g", 1))}, "1:[4]"},
		{"prefetch is widened for groups", &qdrant.QueryPointGroups{GroupSize: new(uint64(2)),
			Prefetch: []*qdrant.PrefetchQuery{{Query: qdrant.NewQuery(1), Limit: new(uint64(2))}}}, "a:[1,2] b:[2] -1:[3] 1:[4]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.in.CollectionName, tc.in.GroupBy, tc.in.Query = "c", "g", qdrant.NewQuery(1)
			out, err := a.QueryGroups(t.Context(), tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := spell(out.GetResult().GetGroups()); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}

	out, err := a.RecommendGroups(t.Context(), &qdrant.RecommendPointGroups{CollectionName: "c", GroupBy: "g", GroupSize: 1, Limit: 2,
		Positive: []*qdrant.PointId{qdrant.NewIDNum(1)}, WithLookup: &qdrant.WithLookup{Collection: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := spell(out.GetResult().GetGroups()); got != "a:[2] b:[2]" {
		t.Errorf("recommended %s, want a:[2] b:[2]", got)
	}

	out2, err := a.SearchGroups(t.Context(), &qdrant.SearchPointGroups{CollectionName: "c", GroupBy: "g", GroupSize: 1, Limit: 9,
		Vector: []float32{1}, WithLookup: &qdrant.WithLookup{Collection: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	last := out2.GetResult().GetGroups()[3] // 1:[4], and point 1 is what the value 1 names
	if last.GetLookup().GetId().GetNum() != 1 || last.GetLookup().GetPayload()["g"].GetStringValue() != "a" {
		t.Errorf("group %v looked up %v, want point 1 with its payload", last.GetId(), last.GetLookup())
	}
	_, err = a.SearchGroups(t.Context(), &qdrant.SearchPointGroups{CollectionName: "c"})
	wantStatus(t, err, codes.InvalidArgument, `Validation error in body: [group_by: value "" invalid, must be at least 1 characters; `+
		"group_size: value 0 invalid, must be 1 or larger; limit: value 0 invalid, must be 1 or larger]")
}

// index creates a field index in "c".
func (a api) index(t testing.TB, name string, kind qdrant.FieldType, params *qdrant.PayloadIndexParams) {
	t.Helper()
	_, err := a.CreateFieldIndex(t.Context(), &qdrant.CreateFieldIndexCollection{
		CollectionName: "c", Wait: new(true), FieldName: name, FieldType: &kind, FieldIndexParams: params})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOrderBy(t *testing.T) {
	a := newAPI(t)
	a.create(t, 1, qdrant.Distance_Dot)
	v := []float32{1}
	a.put(t,
		at(1, v, "i", 3, "f", 0.5, "d", "2024-01-01"), at(2, v, "i", []any{1, 5}, "f", 2, "d", "2023-01-01T00:00:00Z"),
		at(3, v, "i", 3, "f", -1.5, "d", "nonsense"), at(4, v, "i", "text", "f", nil), at(5, v),
	)
	a.index(t, "i", qdrant.FieldType_FieldTypeInteger, nil)
	a.index(t, "f", qdrant.FieldType_FieldTypeFloat, nil)
	a.index(t, "d", qdrant.FieldType_FieldTypeDatetime, nil)
	desc := qdrant.Direction_Desc.Enum()
	for _, tc := range []struct {
		name string
		by   *qdrant.OrderBy
		want []uint64
	}{
		{"integers, ties by id, a point per value", &qdrant.OrderBy{Key: "i"}, []uint64{2, 1, 3, 2}},
		{"downward, ties too", &qdrant.OrderBy{Key: "i", Direction: desc}, []uint64{2, 3, 1, 2}},
		{"from a value", &qdrant.OrderBy{Key: "i", StartFrom: qdrant.NewStartFromInt(3)}, []uint64{1, 3, 2}},
		{"downward from between values", &qdrant.OrderBy{Key: "i", Direction: desc, StartFrom: qdrant.NewStartFromFloat(4.5)}, []uint64{3, 1, 2}},
		{"floats take integers", &qdrant.OrderBy{Key: "f"}, []uint64{3, 1, 2}},
		{"dates", &qdrant.OrderBy{Key: "d"}, []uint64{2, 1}},
		{"from a date", &qdrant.OrderBy{Key: "d", StartFrom: qdrant.NewStartFromDatetime("2023-06-01")}, []uint64{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := a.Scroll(t.Context(), &qdrant.ScrollPoints{CollectionName: "c", OrderBy: tc.by})
			if err != nil {
				t.Fatal(err)
			}
			var got []uint64
			for _, p := range out.GetResult() {
				got = append(got, p.GetId().GetNum())
			}
			wantIDs(t, got, tc.want...)
		})
	}
	_, err := a.Scroll(t.Context(), &qdrant.ScrollPoints{CollectionName: "c", OrderBy: &qdrant.OrderBy{Key: "i"}, Offset: qdrant.NewIDNum(1)})
	wantStatus(t, err, codes.InvalidArgument, "Wrong input: Cannot use an `offset` when using `order_by`.")
	a.index(t, "i", qdrant.FieldType_FieldTypeInteger, qdrant.NewPayloadIndexParamsInt(&qdrant.IntegerIndexParams{
		Lookup: new(true), Range: new(false)}))
	_, err = a.Scroll(t.Context(), &qdrant.ScrollPoints{CollectionName: "c", OrderBy: &qdrant.OrderBy{Key: "i"}})
	wantStatus(t, err, codes.InvalidArgument, "Wrong input: No range index for `order_by` key: `i`.")
}

func TestFacets(t *testing.T) {
	a := newAPI(t)
	a.create(t, 1, qdrant.Distance_Dot)
	v := []float32{1}
	a.put(t,
		at(1, v, "k", "b", "i", 1, "b", true), at(2, v, "k", []any{"a", "b", "b"}, "i", 1, "b", false),
		at(3, v, "k", "a", "i", 7), at(4, v, "k", 5, "i", "x", "b", true),
	)
	a.index(t, "k", qdrant.FieldType_FieldTypeKeyword, nil)
	a.index(t, "i", qdrant.FieldType_FieldTypeInteger, nil)
	a.index(t, "b", qdrant.FieldType_FieldTypeBool, nil)
	for _, tc := range []struct {
		name string
		in   *qdrant.FacetCounts
		want string
	}{
		{"equal counts by value, a point counts once", &qdrant.FacetCounts{Key: "k"}, "a=2 b=2"},
		{"integers", &qdrant.FacetCounts{Key: "i"}, "1=2 7=1"},
		{"truth", &qdrant.FacetCounts{Key: "b"}, "true=2 false=1"},
		{"filter", &qdrant.FacetCounts{Key: "k", Filter: must(qdrant.NewMatchInt("i", 7))}, "a=1"},
		{"limit", &qdrant.FacetCounts{Key: "i", Limit: new(uint64(1))}, "1=2"},
		{"limit of nothing", &qdrant.FacetCounts{Key: "i", Limit: new(uint64(0))}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.in.CollectionName = "c"
			out, err := a.Facet(t.Context(), tc.in)
			if err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, hit := range out.GetHits() {
				value := fmt.Sprint(hit.GetValue().GetStringValue())
				switch kind := hit.GetValue().GetVariant().(type) {
				case *qdrant.FacetValue_IntegerValue:
					value = fmt.Sprint(kind.IntegerValue)
				case *qdrant.FacetValue_BoolValue:
					value = fmt.Sprint(kind.BoolValue)
				}
				words = append(words, fmt.Sprintf("%s=%d", value, hit.GetCount()))
			}
			if got := strings.Join(words, " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
