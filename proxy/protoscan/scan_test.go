package protoscan_test

import (
	"encoding/binary"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"qdrant-sidecar/proxy/protoscan"
)

// event is what a walk over a message comes by.
type event struct {
	field protowire.Number
	kind  protowire.Type
	value string
}

// walk reads all fields of a message, into those of field 1 of type bytes.
func walk(s *protoscan.Scanner, depth int) []event {
	var found []event
	for !s.AtEnd() {
		field, kind := s.Tag()
		if s.Malformed() {
			break
		}
		e := event{field: field, kind: kind}
		switch {
		case kind == protowire.BytesType && field == 1 && depth > 0:
			after, whole := s.Enter()
			if !whole {
				return append(found, event{value: "beyond the end"})
			}
			found = append(append(found, e), walk(s, depth-1)...)
			s.Leave(after)
			continue
		case kind == protowire.BytesType:
			e.value = string(s.Bytes())
		case kind == protowire.Fixed64Type:
			e.value = string(binary.LittleEndian.AppendUint64(nil, s.Fixed64()))
		default:
			s.Skip(field, kind)
		}
		found = append(found, e)
	}
	return found
}

// FuzzScanner holds that a message says the same however it is cut into buffers, and
// that its fields are those of the protobuf library.
func FuzzScanner(f *testing.F) {
	inner := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "inner")
	message := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
	message = protowire.AppendFixed64(protowire.AppendTag(message, 3, protowire.Fixed64Type), 1<<60)
	message = protowire.AppendVarint(protowire.AppendTag(message, 4, protowire.VarintType), 1<<60)
	f.Add(message, uint8(1))
	f.Add(message[:len(message)-1], uint8(2))
	f.Add([]byte{1<<3 | 2, 200, 1}, uint8(0))
	f.Fuzz(func(t *testing.T, message []byte, size uint8) {
		plain := protoscan.New(message)
		want := walk(&plain, 5)
		body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
		var cut mem.BufferSlice
		for len(body) > 0 {
			n := min(int(size)+1, len(body))
			cut, body = append(cut, mem.SliceBuffer(body[:n:n])), body[n:]
		}
		s, missing, ok := protoscan.Open(cut)
		if !ok || missing != 0 {
			t.Fatalf("%d missing, %v", missing, ok)
		}
		got := walk(&s, 5)
		if s.Malformed() != plain.Malformed() || !s.Malformed() && len(got) != len(want) {
			t.Errorf("%x in buffers of %d: %v, want %v", message, int(size)+1, got, want)
		}
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Errorf("%x in buffers of %d: %v, want %v", message, int(size)+1, got[i], want[i])
			}
		}
		flat := protoscan.New(message)
		fields := walk(&flat, 0)
		rest := message
		for i := 0; len(rest) > 0; i++ {
			field, kind, n := protowire.ConsumeField(rest)
			if n < 0 {
				if !flat.Malformed() && kind != protowire.EndGroupType {
					t.Errorf("%x: the library finds a mistake, we found %v", message, fields)
				}
				return
			}
			if i >= len(fields) || fields[i].field != field || fields[i].kind != kind {
				t.Errorf("%x: field %d is %d of type %d, we found %v", message, i, field, kind, fields)
				return
			}
			rest = rest[n:]
		}
	})
}
