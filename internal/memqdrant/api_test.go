package memqdrant_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// api is the services of one fresh database.
type api struct {
	qdrant.PointsClient
	collections qdrant.CollectionsClient
}

func newAPI(t testing.TB) api {
	conn := dial(t)
	return api{qdrant.NewPointsClient(conn), qdrant.NewCollectionsClient(conn)}
}

// create makes collection "c" with one unnamed dense vector.
func (a api) create(t testing.TB, size uint64, distance qdrant.Distance) {
	t.Helper()
	a.createWith(t, &qdrant.CreateCollection{
		VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: size, Distance: distance}),
	})
}

func (a api) createWith(t testing.TB, in *qdrant.CreateCollection) {
	t.Helper()
	in.CollectionName = "c"
	if _, err := a.collections.Create(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// put stores points in "c".
func (a api) put(t testing.TB, points ...*qdrant.PointStruct) {
	t.Helper()
	_, err := a.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: "c", Wait: new(true), Points: points})
	if err != nil {
		t.Fatal(err)
	}
}

// at is a point with a dense vector; payloads are pairs of keys and values.
func at(id uint64, vector []float32, pairs ...any) *qdrant.PointStruct {
	return &qdrant.PointStruct{Id: qdrant.NewIDNum(id), Vectors: qdrant.NewVectors(vector...), Payload: fields(pairs...)}
}

func fields(pairs ...any) map[string]*qdrant.Value {
	values := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i].(string)] = pairs[i+1]
	}
	return qdrant.NewValueMap(values)
}

type object = map[string]any

func ids(points []*qdrant.ScoredPoint) []uint64 {
	var nums []uint64
	for _, p := range points {
		nums = append(nums, p.GetId().GetNum())
	}
	return nums
}

// query runs a query on "c" and returns the ids and scores that come back.
func (a api) query(t testing.TB, in *qdrant.QueryPoints) ([]uint64, []float32) {
	t.Helper()
	in.CollectionName = "c"
	out, err := a.Query(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var scores []float32
	for _, p := range out.GetResult() {
		scores = append(scores, p.GetScore())
	}
	return ids(out.GetResult()), scores
}

func wantIDs(t testing.TB, got []uint64, want ...uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got points %v, want %v", got, want)
	}
}

func wantScores(t testing.TB, got []float32, want ...float32) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b float32) bool { return a-b < 1e-4 && b-a < 1e-4 }) {
		t.Errorf("got scores %v, want %v", got, want)
	}
}

// wantStatus checks the code and a part of the message of a refused call.
func wantStatus(t testing.TB, err error, code codes.Code, part string) {
	t.Helper()
	got := status.Convert(err)
	if got.Code() != code || !strings.Contains(got.Message(), part) {
		t.Errorf("got %v %q, want %v %q", got.Code(), got.Message(), code, part)
	}
}
