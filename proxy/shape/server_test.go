package shape_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/shape"
)

// TestServerTime reads the time from answers of every form.
func TestServerTime(t *testing.T) {
	const took = 1500 * time.Microsecond
	results := make([]*qdrant.RetrievedPoint, 100)
	for i := range results {
		results[i] = &qdrant.RetrievedPoint{Id: qdrant.NewIDNum(uint64(i)), Payload: qdrant.NewValueMap(map[string]any{"a": strings.Repeat("x", 100)})}
	}
	for path, answer := range map[string]proto.Message{
		"/qdrant.Points/Scroll":        &qdrant.ScrollResponse{Result: results, Time: took.Seconds(), NextPageOffset: qdrant.NewIDNum(2)},
		"/qdrant.Points/Get":           &qdrant.GetResponse{Result: results, Time: took.Seconds(), Usage: &qdrant.Usage{}},
		"/qdrant.Points/Upsert":        &qdrant.PointsOperationResponse{Time: took.Seconds()},
		"/qdrant.Collections/Create":   &qdrant.CollectionOperationResponse{Time: took.Seconds()},
		"/qdrant.Snapshots/DeleteFull": &qdrant.DeleteSnapshotResponse{Time: took.Seconds()},
	} {
		m, msg := method.Lookup(path), marshal(t, answer)
		for _, size := range []int{1, 7, 1 << 20} {
			if got, ok := shape.ServerTime(m, wire(msg, size), ""); !ok || got != took {
				t.Errorf("%s in buffers of %d: %v, %v", path, size, got, ok)
			}
		}
		if got, ok := shape.ServerTime(m, zipped(t, msg), "gzip"); !ok || got != took {
			t.Errorf("%s, compressed: %v, %v", path, got, ok)
		}
	}
	count := method.Lookup("/qdrant.Points/Count")
	for name, body := range map[string]mem.BufferSlice{
		"negative":  wire(marshal(t, &qdrant.CountResponse{Time: -1}), 9),
		"no number": wire(marshal(t, &qdrant.CountResponse{Time: math.NaN()}), 9),
		"too much":  wire(marshal(t, &qdrant.CountResponse{Time: math.Inf(1)}), 9),
		"cut":       {mem.SliceBuffer("\x00\x00\x00\x00\x09\x11\x00\x00")},
		"none":      wire(nil, 9),
		"nothing":   nil,
		"not gzip":  {mem.SliceBuffer("\x01\x00\x00\x00\x09\x11\x00\x00")},
		"varint":    wire([]byte{2 << 3, 1}, 9),
	} {
		if got, ok := shape.ServerTime(count, body, "gzip"); ok {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got, ok := shape.ServerTime(method.Other, wire(marshal(t, &qdrant.CountResponse{Time: 1}), 9), ""); ok {
		t.Errorf("of an unknown method: %v", got)
	}
}

// BenchmarkServerTime is what it costs to ask an answer: a small one, and one of ten
// thousand points.
func BenchmarkServerTime(b *testing.B) {
	for name, points := range map[string]int{"10 points": 10, "10,000 points": 10_000} {
		b.Run(name, func(b *testing.B) {
			answer := &qdrant.QueryResponse{Time: 0.001}
			for i := range points {
				answer.Result = append(answer.Result, &qdrant.ScoredPoint{Id: qdrant.NewIDNum(uint64(i)), Payload: qdrant.NewValueMap(map[string]any{"a": strings.Repeat("x", 150)})})
			}
			raw, err := proto.Marshal(answer)
			if err != nil {
				b.Fatal(err)
			}
			m, body := method.Lookup("/qdrant.Points/Query"), wire(raw, 16<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := shape.ServerTime(m, body, ""); !ok {
					b.Fatal("it does not say")
				}
			}
		})
	}
}
