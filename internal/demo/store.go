package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/qdrant/go-client/qdrant"

	"qdrant-sidecar/internal/digits"
)

const (
	dimensions = digits.Side * digits.Side
	// batch is how many points one Upsert carries: enough calls to see them in the
	// metrics, few enough to be quick.
	batch = 300

	labelField = "label"
	indexField = "index"
)

// store is the demo's collection, seen through the SDK. Methods that return a duration
// return what the calls took, without the work around them.
type store struct {
	client     *qdrant.Client
	collection string
}

// match is a point that a search found, as Qdrant returned it.
type match struct {
	pixels picture
	label  int64
	score  float32
}

func (s *store) close() error {
	if err := s.client.Close(); err != nil {
		return failed("closing the client", err)
	}
	return nil
}

// timed makes the call, or the few, of one step, bounded in time, and names the step if it fails.
func timed(ctx context.Context, step string, call func(context.Context) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	start := time.Now()
	err := call(ctx)
	took := time.Since(start)
	if err != nil {
		return took, failed(step, err)
	}
	return took, nil
}

// drop deletes the collection if it is there and the demo's own.
func (s *store) drop(ctx context.Context) error {
	var there bool
	_, err := timed(ctx, fmt.Sprintf("looking for the collection %q", s.collection), func(ctx context.Context) (err error) {
		there, err = s.client.CollectionExists(ctx, s.collection)
		return err
	})
	if err != nil || !there {
		return err
	}
	_, err = timed(ctx, fmt.Sprintf("removing the collection %q", s.collection), func(ctx context.Context) error {
		info, err := s.client.GetCollectionInfo(ctx, s.collection)
		if err != nil {
			return err
		}
		if !ours(info) {
			return errors.New("it exists and does not look like the demo's; choose another name")
		}
		return s.client.DeleteCollection(ctx, s.collection)
	})
	return err
}

// ours tells the demo's collection from one that merely has its name. In front of a real
// Qdrant the wrong answer would delete somebody's data.
func ours(info *qdrant.CollectionInfo) bool {
	vector := info.GetConfig().GetParams().GetVectorsConfig().GetParams()
	if vector.GetSize() != dimensions || vector.GetDistance() != qdrant.Distance_Euclid {
		return false
	}
	// Qdrant estimates this count, and too high while it moves points between segments.
	if info.GetPointsCount() > 2*uint64(len(digits.All())) {
		return false
	}
	for field := range info.GetPayloadSchema() {
		if field != labelField {
			return false
		}
	}
	return true
}

func (s *store) create(ctx context.Context) (time.Duration, error) {
	step := fmt.Sprintf("creating the collection %q", s.collection)
	return timed(ctx, step, func(ctx context.Context) error {
		return s.client.CreateCollection(ctx, &qdrant.CreateCollection{
			CollectionName: s.collection,
			VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{
				Size:     dimensions,
				Distance: qdrant.Distance_Euclid,
			}),
		})
	})
}

// upsert stores the digits, with their index in all as the id, and returns in how many calls.
func (s *store) upsert(ctx context.Context, all []digits.Digit) (calls int, took time.Duration, err error) {
	for first := 0; first < len(all); first += batch {
		end := min(first+batch, len(all))
		points := make([]*qdrant.PointStruct, 0, end-first)
		for i := first; i < end; i++ {
			points = append(points, &qdrant.PointStruct{
				Id:      qdrant.NewIDNum(uint64(i)),
				Vectors: qdrant.NewVectorsDense(all[i].Pixels[:]),
				Payload: qdrant.NewValueMap(map[string]any{labelField: all[i].Label, indexField: i}),
			})
		}
		step := fmt.Sprintf("upserting the points %d to %d", first, end-1)
		t, err := timed(ctx, step, func(ctx context.Context) error {
			_, err := s.client.Upsert(ctx, &qdrant.UpsertPoints{
				CollectionName: s.collection,
				Wait:           new(true),
				Points:         points,
			})
			return err
		})
		if err != nil {
			return calls, took, err
		}
		calls++
		took += t
	}
	return calls, took, nil
}

func (s *store) index(ctx context.Context) (time.Duration, error) {
	return timed(ctx, "creating the index on the label", func(ctx context.Context) error {
		_, err := s.client.CreateFieldIndex(ctx, &qdrant.CreateFieldIndexCollection{
			CollectionName: s.collection,
			Wait:           new(true),
			FieldName:      labelField,
			FieldType:      qdrant.FieldType_FieldTypeInteger.Enum(),
		})
		return err
	})
}

func (s *store) count(ctx context.Context) (n int, took time.Duration, err error) {
	took, err = timed(ctx, "counting the points", func(ctx context.Context) error {
		count, err := s.client.Count(ctx, &qdrant.CountPoints{CollectionName: s.collection, Exact: new(true)})
		n = int(count)
		return err
	})
	return n, took, err
}

// nearest finds the points most like the one with this id, which is itself not among
// them. The filter may be nil.
func (s *store) nearest(ctx context.Context, id uint64, filter *qdrant.Filter) ([]match, time.Duration, error) {
	const step = "searching for the nearest neighbours"
	var points []*qdrant.ScoredPoint
	took, err := timed(ctx, step, func(ctx context.Context) (err error) {
		points, err = s.client.Query(ctx, &qdrant.QueryPoints{
			CollectionName: s.collection,
			Query:          qdrant.NewQueryID(qdrant.NewIDNum(id)),
			Filter:         filter,
			Limit:          new(uint64(neighbours)),
			WithPayload:    qdrant.NewWithPayload(true),
			WithVectors:    qdrant.NewWithVectors(true),
		})
		return err
	})
	if err != nil {
		return nil, took, err
	}
	if len(points) != neighbours {
		return nil, took, failed(step, fmt.Errorf("%d were asked for, %d came back", neighbours, len(points)))
	}
	found := make([]match, 0, len(points))
	for _, p := range points {
		m, err := asMatch(p)
		if err != nil {
			return nil, took, failed(step, err)
		}
		found = append(found, m)
	}
	return found, took, nil
}

// asMatch takes the picture and the label from the answer rather than from the data
// set: what is drawn has been through the sidecar both ways.
func asMatch(p *qdrant.ScoredPoint) (match, error) {
	m := match{label: p.GetPayload()[labelField].GetIntegerValue(), score: p.GetScore()}
	vector := p.GetVectors().GetVector().GetDenseVector().GetData()
	if len(vector) != dimensions {
		return match{}, fmt.Errorf("point %d came back with %d numbers, not %d", p.GetId().GetNum(), len(vector), dimensions)
	}
	copy(m.pixels[:], vector)
	return m, nil
}
