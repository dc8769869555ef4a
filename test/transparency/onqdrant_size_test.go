package transparency_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// An upsert of any size arrives whole, and what it brought comes back whole: once
// with the sidecar before the one, once before the other.
func TestMessageSizesOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	for _, size := range sizes {
		if size < 1000 {
			continue // there is no room for a point
		}
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			request := upsertOf(t, size)
			scroll := &qdrant.ScrollPoints{CollectionName: liveCollection, Limit: new(uint32(1000)), WithPayload: qdrant.NewWithPayload(true)}
			var answers [2]*qdrant.ScrollResponse
			for i, ways := range [2][2]side{{r.direct, r.through}, {r.through, r.direct}} {
				r.do(t, "/qdrant.Points/Delete", &qdrant.DeletePoints{
					CollectionName: liveCollection, Wait: new(true), Points: qdrant.NewPointsSelectorFilter(&qdrant.Filter{}),
				}, nil)
				r.upsert(t, ways[0], request)
				answers[i] = &qdrant.ScrollResponse{}
				r.at(bounded(t), t, ways[1], "/qdrant.Points/Scroll", scroll, answers[i])
				answers[i].Time = 0
			}
			if !proto.Equal(answers[0], answers[1]) {
				t.Error("what went through the sidecar is not what went past it")
			}
			sent := &qdrant.UpsertPoints{}
			if err := proto.Unmarshal(request, sent); err != nil {
				t.Fatal(err)
			}
			if got, want := textOf(answers[0].GetResult()), textOf(sent.GetPoints()); !bytes.Equal(got, want) {
				t.Errorf("%d bytes of payload were sent, and %d came back", len(want), len(got))
			}
		})
	}
}

// What is large takes no more of the sidecar than when a script sends it.
func TestLargeMessagesTakeLittleMemoryOnQdrant(t *testing.T) {
	const (
		size   = 64 << 20
		stored = 4 << 20 // of a request and of an answer
		most   = 20 << 20
	)
	r := newLiveRig(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: r.qdrant.URL(), Plain: true, Args: []string{"--timeout=3m", "--write-timeout=1m"}})
	through := side{"through", s.GRPC}
	scroll := &qdrant.ScrollPoints{CollectionName: liveCollection, Limit: new(uint32(1000)), WithPayload: qdrant.NewWithPayload(true)}
	transfer := func(request []byte) {
		r.upsert(t, through, request)
		r.at(bounded(t), t, through, "/qdrant.Points/Scroll", scroll, nil)
	}
	for range 20 {
		transfer(upsertOf(t, 50<<10)) // what every process has after its first calls
	}
	large := upsertOf(t, size)
	before := s.PeakMemory()
	for range 3 {
		transfer(large)
	}
	grown := s.PeakMemory() - before
	t.Logf("the peak grew from %d MiB by %.1f MiB", before>>20, float64(grown)/(1<<20))
	if grown > most+stored {
		t.Errorf("%d MiB of memory for messages of %d MiB", grown>>20, size>>20)
	}
}

// upsert makes one that must be carried out.
func (r *liveRig) upsert(t *testing.T, to side, request []byte) {
	t.Helper()
	answer, err := call{path: "/qdrant.Points/Upsert", body: faultwire.Prefixed(request), extra: r.key()}.ask(bounded(t), to)
	if err != nil {
		t.Fatal(err)
	}
	var result qdrant.PointsOperationResponse
	if len(answer.Messages) == 1 {
		err = proto.Unmarshal(answer.Messages[0].Payload, &result)
	}
	if got := result.GetResult().GetStatus(); err != nil || got != qdrant.UpdateStatus_Completed {
		t.Fatalf("%s: %v, %v\n%s", to.name, got, err, answer.Trailer)
	}
}

// upsertOf is an upsert of exactly that many bytes: points with up to a mebibyte of
// text each, and a field that no Qdrant knows for the rest.
func upsertOf(t *testing.T, size int) []byte {
	t.Helper()
	const (
		most = 1 << 20
		room = 100 // for what is around a text
	)
	m := &qdrant.UpsertPoints{CollectionName: liveCollection, Wait: new(true)}
	for left := size - room; left > 0; left -= most {
		text := strings.Repeat(fmt.Sprintf("%07d ", left), most/8)[:max(1, min(left, most)-room)]
		m.Points = append(m.Points, &qdrant.PointStruct{
			Id: qdrant.NewIDNum(uint64(len(m.Points))), Vectors: qdrant.NewVectors(1, 2, 3, 4),
			Payload: qdrant.NewValueMap(map[string]any{"text": text}),
		})
	}
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	const number = 10_000
	fill := size - len(wire) - protowire.SizeTag(number)
	fill -= protowire.SizeVarint(uint64(fill))
	wire = protowire.AppendTag(wire, number, protowire.BytesType)
	wire = protowire.AppendBytes(wire, make([]byte, fill))
	if len(wire) != size {
		t.Fatalf("%d bytes, want %d", len(wire), size)
	}
	return wire
}

// textOf is all the text that points carry, in order.
func textOf[P interface {
	GetPayload() map[string]*qdrant.Value
}](points []P) []byte {
	var text []byte
	for _, p := range points {
		text = append(text, p.GetPayload()["text"].GetStringValue()...)
	}
	return text
}
