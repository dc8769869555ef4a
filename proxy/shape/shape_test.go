package shape_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/shape"
)

// marker is in every value of the examples that must not be told.
const marker = "s3cr3t"

func points(name string) *method.Method { return method.Lookup("/qdrant.Points/" + name) }

func marshal(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// wire is a message as a gRPC body, in buffers of a size.
func wire(msg []byte, size int) mem.BufferSlice {
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(msg))), msg...)
	var cut mem.BufferSlice
	for len(body) > 0 {
		n := min(size, len(body))
		cut, body = append(cut, mem.SliceBuffer(body[:n:n])), body[n:]
	}
	return cut
}

// zipped is a message as a gRPC body that is compressed.
func zipped(tb testing.TB, msg []byte) mem.BufferSlice {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(msg); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return mem.BufferSlice{mem.SliceBuffer(append(binary.BigEndian.AppendUint32([]byte{1}, uint32(b.Len())), b.Bytes()...))}
}

// told is a shape as a log line has it.
func told(s shape.Shape) string {
	var b strings.Builder
	log := slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key != "query" && a.Key != "write" {
			return slog.Attr{}
		}
		return a
	}}))
	log.Info("", s.Attr())
	return strings.TrimSpace(b.String())
}

// example is a request and what is told of it.
type example struct {
	name    string
	request proto.Message
	want    string
}

func filter() *qdrant.Filter {
	return &qdrant.Filter{
		Must: []*qdrant.Condition{
			qdrant.NewMatch(marker, marker),
			qdrant.NewMatchKeywords("city", marker, marker+"2", marker+"3"),
			qdrant.NewNestedFilter("nested", &qdrant.Filter{Should: []*qdrant.Condition{qdrant.NewRange("price", &qdrant.Range{Gt: new(77.125)})}}),
		},
		MustNot:   []*qdrant.Condition{qdrant.NewHasID(qdrant.NewIDNum(424242), qdrant.NewIDUUID(marker))},
		MinShould: &qdrant.MinShould{MinCount: 1, Conditions: []*qdrant.Condition{qdrant.NewMatchInts("n", 424242, 2), qdrant.NewIsNull(marker)}},
	}
}

const filterTold = `"filter_conditions":6,"filter_clauses":"min_should,must,must_not,should","filter_kinds":"any,has_id,is_null,match,nested,range","filter_depth":2,"filter_values":7`

func examples() []example {
	dense := qdrant.NewVectorInput(77.125, 2, 3)
	wp, wv := qdrant.NewWithPayload(true), qdrant.NewWithVectors(true)
	params := &qdrant.SearchParams{HnswEf: new(uint64(256)), Exact: new(true), IndexedOnly: new(true)}
	strong := &qdrant.WriteOrdering{Type: qdrant.WriteOrderingType_Strong}
	point := &qdrant.PointStruct{
		Id: qdrant.NewIDNum(424242), Payload: qdrant.NewValueMap(map[string]any{marker: marker}),
		Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{"a": qdrant.NewVector(77.125, 2), "b": qdrant.NewVectorSparse([]uint32{424242}, []float32{77.125})}),
	}
	byID := qdrant.NewPointsSelector(qdrant.NewIDNum(424242), qdrant.NewIDUUID(marker))
	byFilter := qdrant.NewPointsSelectorFilter(&qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewIsEmpty(marker)}})
	return []example{
		{"Query", &qdrant.QueryPoints{
			CollectionName: "docs", Query: qdrant.NewQueryNearest(dense), Filter: filter(), Params: params, Limit: new(uint64(10)), Offset: new(uint64(5)),
			WithPayload: wp, WithVectors: wv, ScoreThreshold: new(float32(77.125)), Timeout: new(uint64(3)), Using: new(marker),
		}, `{"query":{"kind":"nearest","limit":10,"offset":5,"vectors":1,"dimension":3,` + filterTold +
			`,"exact":true,"hnsw_ef":256,"indexed_only":true,"score_threshold":true,"with_payload":true,"with_vectors":true,"timeout_seconds":3}}`},
		{"Query", &qdrant.QueryPoints{
			CollectionName: "docs", Query: qdrant.NewQueryFusion(qdrant.Fusion_RRF),
			Prefetch: []*qdrant.PrefetchQuery{
				{Query: qdrant.NewQueryNearest(qdrant.NewVectorInputSparse([]uint32{1, 2, 3}, []float32{1, 2, 3})), Limit: new(uint64(1000))},
				{
					Query: qdrant.NewQueryNearest(dense), Limit: new(uint64(100)),
					Prefetch: []*qdrant.PrefetchQuery{{Query: qdrant.NewQueryNearest(qdrant.NewVectorInputMulti([][]float32{{1, 2}, {3, 4}}))}},
				},
			},
		}, `{"query":{"kind":"fusion,nearest","vectors":4,"dimension":3,"sparse_values":3,"prefetch":3,"prefetch_depth":2,"prefetch_limit":1000}}`},
		{"Query", &qdrant.QueryPoints{Query: qdrant.NewQueryDocument(&qdrant.Document{Text: marker, Model: marker})}, `{"query":{"kind":"nearest","inference":true}}`},
		{"Query", &qdrant.QueryPoints{Query: qdrant.NewQueryOrderBy(&qdrant.OrderBy{Key: marker})}, `{"query":{"kind":"order_by","order_by":true}}`},
		{"Query", &qdrant.QueryPoints{Query: qdrant.NewQueryRecommend(&qdrant.RecommendInput{
			Positive: []*qdrant.VectorInput{qdrant.NewVectorInputID(qdrant.NewIDNum(424242)), dense}, Negative: []*qdrant.VectorInput{dense},
		})}, `{"query":{"kind":"recommend","ids":1,"vectors":2,"dimension":3}}`},
		{"QueryBatch", &qdrant.QueryBatchPoints{QueryPoints: []*qdrant.QueryPoints{
			{Limit: new(uint64(10)), Filter: filter()}, {Limit: new(uint64(20)), Query: qdrant.NewQueryNearest(dense)},
		}}, `{"query":{"batch":2,"kind":"nearest","limit":20,"vectors":1,"dimension":3,` + filterTold + `}}`},
		{"QueryGroups", &qdrant.QueryPointGroups{GroupBy: marker, Limit: new(uint64(4)), GroupSize: new(uint64(2))}, `{"query":{"limit":4,"group_size":2}}`},
		{"Scroll", &qdrant.ScrollPoints{
			Offset: qdrant.NewIDNum(424242), Limit: new(uint32(100)), WithVectors: qdrant.NewWithVectorsInclude(marker), WithPayload: qdrant.NewWithPayloadExclude(marker),
		}, `{"query":{"limit":100,"with_payload":true,"with_vectors":true}}`},
		{"Get", &qdrant.GetPoints{Ids: []*qdrant.PointId{qdrant.NewIDUUID(marker), qdrant.NewIDNum(424242)}}, `{"query":{"ids":2}}`},
		{"SearchMatrixPairs", &qdrant.SearchMatrixPoints{Sample: new(uint64(50)), Limit: new(uint64(5))}, `{"query":{"limit":5,"sample":50}}`},
		{"Count", &qdrant.CountPoints{Exact: new(true)}, `{"query":{"exact":true}}`},
		{"Count", &qdrant.CountPoints{CollectionName: "docs"}, `{}`},
		{"Search", &qdrant.SearchPoints{Vector: []float32{77.125, 2}, Limit: 7}, `{"query":{"limit":7,"vectors":1,"dimension":2}}`},
		{"Search", &qdrant.SearchPoints{Vector: []float32{77.125, 2}, SparseIndices: &qdrant.SparseIndices{Data: []uint32{1, 2}}}, `{"query":{"vectors":1,"sparse_values":2}}`},

		{"Upsert", &qdrant.UpsertPoints{CollectionName: "docs", Wait: new(true), Points: []*qdrant.PointStruct{point, point, point}, Ordering: strong, Timeout: new(uint64(9))},
			`{"write":{"points":3,"vectors":2,"dimension":2,"sparse_values":1,"wait":true,"ordering":"strong","timeout_seconds":9}}`},
		{"Upsert", &qdrant.UpsertPoints{Points: []*qdrant.PointStruct{{Vectors: qdrant.NewVectors(1, 2)}}, UpdateFilter: &qdrant.Filter{}, Ordering: &qdrant.WriteOrdering{}},
			`{"write":{"points":1,"vectors":1,"dimension":2,"filter_depth":1,"conditional":true,"wait":false,"ordering":"weak"}}`},
		{"Delete", &qdrant.DeletePoints{Points: byID}, `{"write":{"points":2,"wait":false}}`},
		{"Delete", &qdrant.DeletePoints{Points: byFilter},
			`{"write":{"filter_conditions":1,"filter_clauses":"must","filter_kinds":"is_empty","filter_depth":1,"by_filter":true,"wait":false}}`},
		{"SetPayload", &qdrant.SetPayloadPoints{Payload: qdrant.NewValueMap(map[string]any{marker: marker}), PointsSelector: byID}, `{"write":{"points":2,"wait":false}}`},
		{"UpdateBatch", &qdrant.UpdateBatchPoints{Operations: []*qdrant.PointsUpdateOperation{
			qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{Points: []*qdrant.PointStruct{point, point}}),
			qdrant.NewPointsUpdateDeletePoints(&qdrant.PointsUpdateOperation_DeletePoints{Points: byID}),
		}}, `{"write":{"operations":"delete,upsert","batch":2,"points":4,"vectors":2,"dimension":2,"sparse_values":1,"wait":false}}`},
		{"CreateFieldIndex", &qdrant.CreateFieldIndexCollection{FieldName: marker, Wait: new(true)}, `{"write":{"wait":true}}`},
	}
}

// TestExamples tells of requests what they ask for, and nothing of what is in them.
func TestExamples(t *testing.T) {
	shown := map[string]bool{}
	for _, e := range examples() {
		msg := marshal(t, e.request)
		m := points(e.name)
		for _, size := range []int{1, 3, 1 << 20} {
			if got := told(shape.Of(m, wire(msg, size), "")); got != e.want {
				t.Errorf("%s in buffers of %d:\n%s\n%s is wanted", e.name, size, got, e.want)
			}
		}
		if got := told(shape.Of(m, zipped(t, msg), "gzip")); got != e.want {
			t.Errorf("%s, compressed:\n%s\n%s is wanted", e.name, got, e.want)
		}
		for _, value := range []string{marker, "424242", "77.125"} {
			if strings.Contains(e.want, value) {
				t.Errorf("%s tells %s", e.name, value)
			}
		}
		var groups map[string]map[string]any
		if err := json.Unmarshal([]byte(e.want), &groups); err != nil {
			t.Fatal(err)
		}
		for _, group := range groups {
			for name := range group {
				shown[name] = true
			}
		}
	}
	for _, f := range shape.Fields() {
		if !shown[f.Name] && f.Name != "partly" {
			t.Errorf("no example has %s", f.Name)
		}
	}
}

// TestCut reads of a request that is not there whole what is, wherever it ends.
func TestCut(t *testing.T) {
	for _, e := range examples() {
		msg := marshal(t, e.request)
		for n := range len(msg) {
			body := wire(msg, 1<<20)
			body[0] = mem.SliceBuffer(body[0].ReadOnlyData()[:5+n])
			if got := told(shape.Of(points(e.name), body, "")); !strings.Contains(got, `"partly":"cut"`) {
				t.Errorf("%s, %d of %d bytes: %s", e.name, n, len(msg), got)
			}
		}
	}
	// Of many points those are counted that have begun.
	many := &qdrant.UpsertPoints{}
	for range 100 {
		many.Points = append(many.Points, &qdrant.PointStruct{Vectors: qdrant.NewVectors(make([]float32, 100)...)})
	}
	msg := marshal(t, many)
	body := wire(msg, 1<<20)
	body[0] = mem.SliceBuffer(body[0].ReadOnlyData()[:len(msg)/2])
	const want = `{"write":{"points":50,"vectors":1,"dimension":100,"wait":false,"partly":"cut"}}`
	if got := told(shape.Of(points("Upsert"), body, "")); got != want {
		t.Errorf("half of 100 points: %s", got)
	}
}

// TestPartly says why not all was read.
func TestPartly(t *testing.T) {
	deep := &qdrant.Filter{}
	for range 100 {
		deep = &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewFilterAsCondition(deep)}}
	}
	var conditions []*qdrant.Condition
	for range 100_000 {
		conditions = append(conditions, qdrant.NewIsNull("x"))
	}
	bomb := zipped(t, marshal(t, &qdrant.QueryPoints{Using: new(strings.Repeat("x", 8<<20)), Limit: new(uint64(3))}))
	query := marshal(t, &qdrant.QueryPoints{Limit: new(uint64(3))})
	for name, test := range map[string]struct {
		body     mem.BufferSlice
		encoding string
		want     string
	}{
		"deep":         {wire(marshal(t, &qdrant.QueryPoints{Filter: deep}), 1<<20), "", "deep"},
		"long":         {wire(marshal(t, &qdrant.QueryPoints{Filter: &qdrant.Filter{Must: conditions}}), 1<<24), "", "long"},
		"group":        {wire([]byte{1<<3 | 3, 1<<3 | 4}, 9), "", "malformed"},
		"lying length": {wire([]byte{5<<3 | 2, 100, 0}, 9), "", "malformed"},
		"inner length": {wire([]byte{5<<3 | 2, 2, 2<<3 | 2, 100}, 9), "", "malformed"},
		"field 0":      {wire([]byte{0, 0}, 9), "", "malformed"},
		"zstd":         {zipped(t, query), "zstd", "compressed"},
		"no gzip":      {wire(query, 1<<20), "gzip", ""}, // a flag says of each message whether it is compressed
		"bomb":         {bomb, "gzip", "cut"},
		"no prefix":    {mem.BufferSlice{mem.SliceBuffer("\x00\x00")}, "", "compressed"},
		"nothing":      {nil, "gzip", "compressed"},
	} {
		got := told(shape.Of(points("Query"), test.body, test.encoding))
		if partly := strings.Contains(got, `"partly":"`+test.want+`"`); partly != (test.want != "") || test.want == "" && strings.Contains(got, "partly") {
			t.Errorf("%s: %s, want %q", name, got, test.want)
		}
	}
	for _, m := range []*method.Method{method.Other, method.Lookup("/qdrant.Collections/Create"), method.Lookup("/qdrant.Qdrant/HealthCheck")} {
		if got := told(shape.Of(m, wire(query, 9), "")); got != "{}" {
			t.Errorf("%s: %s", m.FullName(), got)
		}
	}
}

// BenchmarkOf is what a line costs to have.
func BenchmarkOf(b *testing.B) {
	for _, e := range examples()[:1] {
		body := wire(marshal(b, e.request), 1<<14)
		b.ReportAllocs()
		for b.Loop() {
			shape.Of(points(e.name), body, "")
		}
	}
}
