package method

import (
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"qdrant-sidecar/proxy/protoscan"
)

// CollectionOf returns the name of the collection that a request of this method
// is for, read from its body as it is on the wire; "" when there is none. As in
// every decoder the last occurrence of the field wins. A malformed message has no
// collection, and neither has a compressed one; saying so to the caller is the
// upstream's business. Of a message that is longer than body, what is there counts.
// Names that are in seen, which may be nil, cost no allocation.
func (m *Method) CollectionOf(body mem.BufferSlice, seen *Names) string {
	if !m.Collection {
		return ""
	}
	s, missing, ok := protoscan.Open(body)
	if !ok {
		return ""
	}
	return seen.name(firstString(&s, missing > 0))
}

// maxName is the longest name that Qdrant gives a collection, in bytes. A longer
// one is refused by Qdrant and would only burden our logs.
const maxName = 255

// firstString returns the value of string field 1 of a message, or of as much of
// it as there is when it is cut off. It stays valid as [protoscan.Scanner.Bytes] says.
func firstString(s *protoscan.Scanner, cutOff bool) []byte {
	var name []byte
	for !s.AtEnd() {
		field, kind := s.Tag()
		if field == 1 && kind == protowire.BytesType {
			if value := s.Bytes(); !s.Malformed() {
				name = value
			}
		} else {
			s.Skip(field, kind)
		}
		if s.Malformed() {
			if cutOff && s.AtEnd() {
				break
			}
			return nil
		}
	}
	if len(name) > maxName || !utf8.Valid(name) {
		return nil
	}
	return name
}
