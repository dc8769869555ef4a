package method_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/proxy/method"
)

var exists = method.Lookup("/qdrant.Collections/CollectionExists")

// cut prefixes a message and cuts it into buffers of n bytes.
func cut(msg []byte, n int) mem.BufferSlice {
	msg = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(msg))), msg...)
	var s mem.BufferSlice
	for part := range slices.Chunk(msg, n) {
		s = append(s, mem.SliceBuffer(part))
	}
	return s
}

func TestCollectionOf(t *testing.T) {
	name := func(s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), s)
	}
	vector := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), make([]byte, 3000))
	group := append(protowire.AppendTag(nil, 9, protowire.StartGroupType), name("inside a group")...)
	group = protowire.AppendTag(group, 9, protowire.EndGroupType)

	for _, test := range []struct {
		about string
		msg   []byte
		want  string
	}{
		{"empty", nil, ""},
		{"first", slices.Concat(name("docs"), vector), "docs"},
		{"last", slices.Concat(vector, name("docs")), "docs"},
		{"repeated: the last wins", slices.Concat(name("a"), vector, name("b")), "b"},
		{"emptied again", slices.Concat(name("a"), name("")), ""},
		{"beside a group", slices.Concat(group, name("docs"), group), "docs"},
		{"only in a group", group, ""},
		{"of another type", protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7), ""},
		{"not UTF-8", name("\xff"), ""},
		{"as long as it may be", name(strings.Repeat("x", 255)), strings.Repeat("x", 255)},
		{"longer", name(strings.Repeat("x", 256)), ""},
		{"cut off after the name", append(name("docs"), 0x12, 0x05, 0x01), ""},
		{"a length beyond the end", append(name("docs"), 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), ""},
		{"an endless varint", append(name("docs"), bytes.Repeat([]byte{0x80}, 20)...), ""},
		{"field number zero", append(name("docs"), 0x02, 0x00), ""},
		{"a group that ends unopened", protowire.AppendTag(name("docs"), 9, protowire.EndGroupType), ""},
	} {
		t.Run(test.about, func(t *testing.T) {
			for _, size := range []int{1, 2, 7, 4096} {
				if got := exists.CollectionOf(cut(test.msg, size), nil); got != test.want {
					t.Errorf("in buffers of %d bytes: %q, want %q", size, got, test.want)
				}
			}
		})
	}
	whole := cut(name("docs"), 100)[0].ReadOnlyData()
	for about, body := range map[string][]byte{
		"nothing":       nil,
		"half a prefix": whole[:3],
		"half a name":   whole[:8],
		"compressed":    append([]byte{1}, whole[1:]...),
	} {
		if got := exists.CollectionOf(mem.BufferSlice{mem.SliceBuffer(body)}, nil); got != "" {
			t.Errorf("%s has the collection %q", about, got)
		}
	}
	long := cut(slices.Concat(name("docs"), vector), 4096)[0].ReadOnlyData()
	if got := exists.CollectionOf(mem.BufferSlice{mem.SliceBuffer(long[:100])}, nil); got != "docs" {
		t.Errorf("the start of a message has the collection %q", got)
	}
	if got := exists.CollectionOf(append(cut(name("first"), 3), cut(name("second"), 3)...), nil); got != "first" {
		t.Errorf("of two messages the collection is %q, want that of the first", got)
	}
	if got := method.Lookup("/qdrant.Snapshots/DeleteFull").CollectionOf(cut(name("a snapshot"), 100), nil); got != "" {
		t.Errorf("a request without a collection has %q", got)
	}
}

// FuzzCollectionOf holds the scan against the real decoder, whatever the bytes
// and however they are spread over buffers.
func FuzzCollectionOf(f *testing.F) {
	for _, m := range []proto.Message{
		&qdrant.CollectionExistsRequest{CollectionName: "docs"},
		&qdrant.UpsertPoints{CollectionName: "docs", Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1)}}},
		&qdrant.SearchPoints{CollectionName: "docs", Vector: []float32{1, 2, 3}},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint8(3))
	}
	f.Add([]byte{0x0b, 0x0a, 0x01, 'x', 0x0c}, uint8(1))
	f.Fuzz(func(t *testing.T, msg []byte, size uint8) {
		var want qdrant.CollectionExistsRequest
		if err := proto.Unmarshal(msg, &want); err != nil {
			want.CollectionName = ""
		}
		if len(want.GetCollectionName()) > 255 {
			want.CollectionName = "" // Qdrant has none of that length
		}
		if got := exists.CollectionOf(cut(msg, int(size)+1), nil); got != want.GetCollectionName() {
			t.Errorf("%x: %q, the decoder says %q", msg, got, want.GetCollectionName())
		}
	})
}

// TestNames: what was seen before costs nothing, and what is remembered is bounded.
func TestNames(t *testing.T) {
	var seen method.Names
	request := func(n int) mem.BufferSlice {
		return cut(protowire.AppendString([]byte{0x0a}, fmt.Sprintf("collection %d", n)), 1000)
	}
	for range 2 {
		var calls sync.WaitGroup
		for n := range 1000 {
			calls.Go(func() {
				if got := exists.CollectionOf(request(n), &seen); got != fmt.Sprintf("collection %d", n) {
					t.Errorf("collection %d is called %q", n, got)
				}
			})
		}
		calls.Wait()
	}
	remembered := 0
	for n := range 1000 {
		msg := request(n)
		if testing.AllocsPerRun(1, func() { exists.CollectionOf(msg, &seen) }) == 0 {
			remembered++
		}
	}
	if remembered != 256 {
		t.Errorf("%d of 1,000 names are remembered, want 256", remembered)
	}
}

func BenchmarkCollectionOf(b *testing.B) {
	raw, err := proto.Marshal(&qdrant.SearchPoints{CollectionName: "docs", Vector: make([]float32, 768)})
	if err != nil {
		b.Fatal(err)
	}
	msg := cut(raw, 16<<10)
	var seen method.Names
	for b.Loop() {
		exists.CollectionOf(msg, &seen)
	}
}
