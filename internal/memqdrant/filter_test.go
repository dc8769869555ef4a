package memqdrant_test

import (
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func matching(key string, m *qdrant.Match) *qdrant.Condition {
	return field(&qdrant.FieldCondition{Key: key, Match: m})
}

func field(c *qdrant.FieldCondition) *qdrant.Condition {
	return &qdrant.Condition{ConditionOneOf: &qdrant.Condition_Field{Field: c}}
}

func must(conditions ...*qdrant.Condition) *qdrant.Filter { return &qdrant.Filter{Must: conditions} }

func place(lon, lat float64) *qdrant.GeoPoint { return &qdrant.GeoPoint{Lon: lon, Lat: lat} }

func ring(corners ...float64) *qdrant.GeoLineString {
	line := &qdrant.GeoLineString{}
	for i := 0; i < len(corners); i += 2 {
		line.Points = append(line.Points, place(corners[i], corners[i+1]))
	}
	return line
}

// filterPoints is what the filters of these tests choose from.
func filterPoints() []*qdrant.PointStruct {
	v := []float32{1}
	return []*qdrant.PointStruct{
		at(1, v, "s", "Hello big world", "n", 1, "arr", []any{1, 2, 3}, "deep", object{"a": object{"b c": 1}}),
		at(2, v, "s", "small world", "n", 2.0, "arr", []any{}, "when", "2024-02-01 10:00:00", "null", nil),
		at(3, v, "s", []any{"x", true, nil}, "n", []any{5, 50}, "when", []any{"2023-01-01", "2025-06-01T00:00:00+02:00"}),
		at(4, v, "geo", object{"lon": 13.4, "lat": 52.5}, "null", []any{nil}, "b", true),
		at(5, v, "geo", []any{object{"lon": 179.5, "lat": 0.5}, object{"lon": -70, "lat": 40}}),
		at(6, v, "list", []any{object{"k": "x", "v": []any{1, 2}}, object{"k": "y", "v": []any{3}}}),
		at(7, v),
	}
}

func TestFilters(t *testing.T) {
	square := ring(0, 0, 30, 0, 30, 60, 0, 60, 0, 0)
	year := func(y int) *timestamppb.Timestamp { return timestamppb.New(time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)) }
	nested := func(c ...*qdrant.Condition) *qdrant.Condition { return qdrant.NewNestedFilter("list", must(c...)) }
	polygon := func(holes ...*qdrant.GeoLineString) *qdrant.Condition {
		return field(&qdrant.FieldCondition{Key: "geo", GeoPolygon: &qdrant.GeoPolygon{Exterior: square, Interiors: holes}})
	}
	for _, tc := range []struct {
		name   string
		filter *qdrant.Filter
		want   []uint64
	}{
		{"quoted key", must(qdrant.NewMatchInt(`deep.a."b c"`, 1)), []uint64{1}},
		{"list index", must(qdrant.NewMatchInt("arr[1]", 2)), []uint64{1}},
		{"list index beyond the end", must(qdrant.NewMatchInt("arr[3]", 3)), nil},
		{"whole list by item", must(qdrant.NewMatchInt("arr", 3)), []uint64{1}},
		{"a float is no integer", must(qdrant.NewMatchInt("n", 2)), nil},
		{"range over list items", must(qdrant.NewRange("n", &qdrant.Range{Gt: new(2.0)})), []uint64{3}},
		{"range takes floats and integers", must(qdrant.NewRange("n", &qdrant.Range{Lte: new(2.0)})), []uint64{1, 2}},
		{"dates without zone, in lists, with zone", must(field(&qdrant.FieldCondition{Key: "when",
			DatetimeRange: &qdrant.DatetimeRange{Gte: year(2025)}})), []uint64{3}},
		{"dates before", must(field(&qdrant.FieldCondition{Key: "when",
			DatetimeRange: &qdrant.DatetimeRange{Gt: year(2024), Lt: year(2025)}})), []uint64{2}},
		{"text without an index is a substring", must(qdrant.NewMatchText("s", "wor")), []uint64{1, 2}},
		{"phrase without an index is a substring", must(qdrant.NewMatchPhrase("s", "big world")), []uint64{1}},
		{"any of the words", must(matching("s", &qdrant.Match{MatchValue: &qdrant.Match_TextAny{TextAny: "big small"}})), []uint64{1, 2}},
		{"except skips nulls and what is missing", must(qdrant.NewMatchExcept("null", "x")), nil},
		{"except takes other types", must(qdrant.NewMatchExcept("b", "x")), []uint64{4}},
		{"except looks at items", must(qdrant.NewMatchExcept("s", "x", "small world")), []uint64{1, 3}},
		{"is empty", must(qdrant.NewIsEmpty("arr")), []uint64{2, 3, 4, 5, 6, 7}},
		{"a list of null is not empty", must(qdrant.NewIsEmpty("null")), []uint64{1, 2, 3, 5, 6, 7}},
		{"is null looks at the value itself", must(qdrant.NewIsNull("null")), []uint64{2}},
		{"field is null looks at items too", must(field(&qdrant.FieldCondition{Key: "null", IsNull: new(true)})), []uint64{2, 4}},
		{"field is not null where nothing is", must(field(&qdrant.FieldCondition{Key: "null", IsNull: new(false)})), []uint64{1, 3, 5, 6, 7}},
		{"field is not empty", must(field(&qdrant.FieldCondition{Key: "arr", IsEmpty: new(false)})), []uint64{1}},
		{"values count of an empty list", must(qdrant.NewValuesCount("arr", &qdrant.ValuesCount{Lt: new(uint64(1))})), []uint64{2}},
		{"values count of a scalar", must(qdrant.NewValuesCount("n", &qdrant.ValuesCount{Gte: new(uint64(1)), Lte: new(uint64(1))})), []uint64{1, 2}},
		{"radius", must(qdrant.NewGeoRadius("geo", 52.5, 13.5, 7000)), []uint64{4}},
		{"radius too small", must(qdrant.NewGeoRadius("geo", 52.5, 13.5, 6000)), nil},
		{"box across the antimeridian", must(qdrant.NewGeoBoundingBox("geo", 1, 179, 0, -179)), []uint64{5}},
		{"polygon", must(polygon()), []uint64{4}},
		{"polygon with the point in its hole", must(polygon(ring(10, 50, 20, 50, 20, 55, 10, 55, 10, 50))), nil},
		{"polygon with the point on the border of its hole", must(polygon(ring(13.4, 50, 20, 50, 20, 55, 13.4, 55, 13.4, 50))), nil},
		{"nested holds within one object", must(nested(qdrant.NewMatch("k", "x"), qdrant.NewMatchInt("v", 2))), []uint64{6}},
		{"nested does not mix objects", must(nested(qdrant.NewMatch("k", "x"), qdrant.NewMatchInt("v", 3))), nil},
		{"nested knows no ids", must(nested(qdrant.NewHasID(qdrant.NewIDNum(6)))), nil},
		{"nested must not", must(qdrant.NewNestedFilter("list", &qdrant.Filter{
			MustNot: []*qdrant.Condition{qdrant.NewMatch("k", "x")}})), []uint64{6}},
		{"conditions without content are skipped", must(&qdrant.Condition{}), []uint64{1, 2, 3, 4, 5, 6, 7}},
		{"min should of none", &qdrant.Filter{MinShould: &qdrant.MinShould{}}, []uint64{1, 2, 3, 4, 5, 6, 7}},
		{"min should out of reach", &qdrant.Filter{MinShould: &qdrant.MinShould{MinCount: 1}}, nil},
		{"has vector of an unknown name", must(qdrant.NewHasVector("nope")), nil},
		{"one condition of several kinds is an or", must(field(&qdrant.FieldCondition{Key: "n",
			Match: qdrant.NewMatchInt("", 1).GetField().GetMatch(), Range: &qdrant.Range{Gt: new(10.0)}})), []uint64{1, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAPI(t)
			a.create(t, 1, qdrant.Distance_Dot)
			a.put(t, filterPoints()...)
			got, _ := a.query(t, &qdrant.QueryPoints{Filter: tc.filter})
			wantIDs(t, got, tc.want...)
		})
	}
}

// A full-text index changes what matching a text means: words instead of substrings.
func TestFullTextIndex(t *testing.T) {
	a := newAPI(t)
	a.create(t, 1, qdrant.Distance_Dot)
	a.put(t, filterPoints()...)
	_, err := a.CreateFieldIndex(t.Context(), &qdrant.CreateFieldIndexCollection{
		CollectionName: "c", FieldName: "s", FieldType: qdrant.FieldType_FieldTypeText.Enum(),
		FieldIndexParams: qdrant.NewPayloadIndexParamsText(&qdrant.TextIndexParams{
			Tokenizer: qdrant.TokenizerType_Word, PhraseMatching: new(true)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		match *qdrant.Condition
		want  []uint64
	}{
		{"part of a word", qdrant.NewMatchText("s", "wor"), nil},
		{"any case and order", qdrant.NewMatchText("s", "WORLD hello"), []uint64{1}},
		{"all words", qdrant.NewMatchText("s", "small big"), nil},
		{"phrase", qdrant.NewMatchPhrase("s", "Big World"), []uint64{1}},
		{"not that phrase", qdrant.NewMatchPhrase("s", "hello world"), nil},
		{"no word at all", qdrant.NewMatchText("s", " - "), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _ := a.query(t, &qdrant.QueryPoints{Filter: must(tc.match)})
			wantIDs(t, got, tc.want...)
		})
	}
	if _, err := a.DeleteFieldIndex(t.Context(), &qdrant.DeleteFieldIndexCollection{CollectionName: "c", FieldName: "s"}); err != nil {
		t.Fatal(err)
	}
	got, _ := a.query(t, &qdrant.QueryPoints{Filter: must(qdrant.NewMatchText("s", "wor"))})
	wantIDs(t, got, 1, 2)
}

// Without phrase matching an index knows no order of words; with what memory:// lacks, there is no index.
func TestFullTextIndexWithoutPhrases(t *testing.T) {
	a := newAPI(t)
	a.create(t, 1, qdrant.Distance_Dot)
	a.put(t, filterPoints()...)
	index := func(params *qdrant.TextIndexParams) error {
		params.Tokenizer = qdrant.TokenizerType_Word
		_, err := a.CreateFieldIndex(t.Context(), &qdrant.CreateFieldIndexCollection{
			CollectionName: "c", FieldName: "s", FieldType: qdrant.FieldType_FieldTypeText.Enum(),
			FieldIndexParams: qdrant.NewPayloadIndexParamsText(params),
		})
		return err
	}
	if err := index(&qdrant.TextIndexParams{}); err != nil {
		t.Fatal(err)
	}
	got, _ := a.query(t, &qdrant.QueryPoints{Filter: must(qdrant.NewMatchPhrase("s", "big world"))})
	wantIDs(t, got)
	for _, params := range []*qdrant.TextIndexParams{
		{Stopwords: &qdrant.StopwordsSet{Languages: []string{"english"}}},
		{Stemmer: &qdrant.StemmingAlgorithm{}},
		{AsciiFolding: new(true)},
	} {
		wantStatus(t, index(params), codes.Unimplemented,
			"memory:// does not do stemming, stop words or ASCII folding in text indexes; use a real Qdrant for it")
	}
}
