package method

import (
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxNesting bounds the groups within groups that a message may hold, as the
// protobuf decoders do.
const maxNesting = protowire.DefaultRecursionLimit

// CollectionOf returns the name of the collection that a request of this method
// is for, read from its undecoded bytes; "" when there is none. As in every
// decoder the last occurrence of the field wins. A malformed message has no
// collection; saying so to the caller is the upstream's business.
func (m *Method) CollectionOf(msg mem.BufferSlice) string {
	if !m.Collection {
		return ""
	}
	return firstString(msg)
}

// firstString returns the value of string field 1 of a message.
func firstString(msg mem.BufferSlice) string {
	s := scanner{rest: msg}
	var name []byte
	for !s.atEnd() {
		field, kind := s.tag()
		if field == 1 && kind == protowire.BytesType {
			name = s.bytes()
		} else {
			s.skip(field, kind)
		}
		if s.malformed {
			return ""
		}
	}
	if !utf8.Valid(name) {
		return ""
	}
	return string(name)
}

// scanner walks over the fields of a message without copying it. Once malformed
// is set, what it returns means nothing.
type scanner struct {
	rest      mem.BufferSlice // the buffers after cur
	cur       []byte
	malformed bool
}

// atEnd reports whether all bytes are read, and moves on to the next buffer
// that has any.
func (s *scanner) atEnd() bool {
	for len(s.cur) == 0 && len(s.rest) > 0 {
		s.cur, s.rest = s.rest[0].ReadOnlyData(), s.rest[1:]
	}
	return len(s.cur) == 0
}

func (s *scanner) varint() uint64 {
	var v uint64
	for i := range 10 {
		if s.atEnd() {
			break
		}
		b := s.cur[0]
		s.cur = s.cur[1:]
		if i == 9 && b > 1 {
			break // more than 64 bits
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v
		}
	}
	s.malformed = true
	return 0
}

func (s *scanner) tag() (protowire.Number, protowire.Type) {
	field, kind := protowire.DecodeTag(s.varint())
	if field < protowire.MinValidNumber {
		s.malformed = true
	}
	return field, kind
}

// bytes reads a length and that many bytes, which stay valid as long as the
// message does unless they lie across buffers: then they are a copy.
func (s *scanner) bytes() []byte {
	n := s.varint()
	if s.malformed || s.atEnd() || n <= uint64(len(s.cur)) {
		return s.within(n)
	}
	var joined []byte
	for n > 0 && !s.atEnd() {
		part := s.within(min(n, uint64(len(s.cur))))
		joined = append(joined, part...)
		n -= uint64(len(part))
	}
	s.malformed = n > 0
	return joined
}

// within reads n bytes of the current buffer.
func (s *scanner) within(n uint64) []byte {
	if n > uint64(len(s.cur)) {
		s.malformed = true
		return nil
	}
	part := s.cur[:n]
	s.cur = s.cur[n:]
	return part
}

func (s *scanner) discard(n uint64) {
	for n > 0 && !s.atEnd() {
		step := min(n, uint64(len(s.cur)))
		s.cur = s.cur[step:]
		n -= step
	}
	if n > 0 {
		s.malformed = true
	}
}

// skip passes over the value of a field, groups and what is in them included.
func (s *scanner) skip(field protowire.Number, kind protowire.Type) {
	var open []protowire.Number // the groups around the current field
	for !s.malformed {
		switch kind {
		case protowire.VarintType:
			s.varint()
		case protowire.Fixed32Type:
			s.discard(4)
		case protowire.Fixed64Type:
			s.discard(8)
		case protowire.BytesType:
			if n := s.varint(); !s.malformed {
				s.discard(n)
			}
		case protowire.StartGroupType:
			open = append(open, field)
			s.malformed = s.malformed || len(open) > maxNesting
		case protowire.EndGroupType:
			if len(open) == 0 || open[len(open)-1] != field {
				s.malformed = true
				return
			}
			open = open[:len(open)-1]
		default:
			s.malformed = true
		}
		if len(open) == 0 {
			return
		}
		field, kind = s.tag()
	}
}
