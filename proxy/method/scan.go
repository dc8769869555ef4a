package method

import (
	"encoding/binary"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxNesting bounds the groups within groups that a message may hold, as the
// protobuf decoders do.
const maxNesting = protowire.DefaultRecursionLimit

// prefixLen is the length of what gRPC puts before a message: a flag for
// compression, and the length.
const prefixLen = 5

// scanner walks over the fields of a message without copying it. Once malformed
// is set, what it returns means nothing.
type scanner struct {
	rest      mem.BufferSlice // the buffers after cur
	cur       []byte
	left      int // bytes of the message that are not read yet
	malformed bool
}

// scan returns a scanner of the message at the start of a body, and by how many
// bytes the body is too short for it; below zero, how many bytes follow it. It
// can't read a message that is compressed, or whose prefix is cut off.
func scan(body mem.BufferSlice) (s scanner, missing int, ok bool) {
	s = scanner{rest: body, left: prefixLen}
	var prefix [prefixLen]byte
	for i := range prefix {
		if s.atEnd() {
			return s, 0, false
		}
		prefix[i] = s.within(1)[0]
	}
	size, there := int(binary.BigEndian.Uint32(prefix[1:])), body.Len()-prefixLen
	s.left = min(size, there)
	return s, size - there, prefix[0] == 0
}

// atEnd reports whether all bytes are read, and moves on to the next buffer
// that has any.
func (s *scanner) atEnd() bool {
	for s.left > 0 && len(s.cur) == 0 && len(s.rest) > 0 {
		s.cur, s.rest = s.rest[0].ReadOnlyData(), s.rest[1:]
	}
	return s.left == 0 || len(s.cur) == 0
}

// here returns the bytes of the current buffer that belong to the message.
func (s *scanner) here() []byte { return s.cur[:min(len(s.cur), s.left)] }

// advance passes over n bytes of the current buffer.
func (s *scanner) advance(n int) { s.cur, s.left = s.cur[n:], s.left-n }

func (s *scanner) varint() uint64 {
	var v uint64
	for i := range 10 {
		if s.atEnd() {
			break
		}
		b := s.cur[0]
		s.advance(1)
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
	if s.malformed || s.atEnd() || n <= uint64(len(s.here())) {
		return s.within(n)
	}
	var joined []byte
	for n > 0 && !s.atEnd() {
		part := s.within(min(n, uint64(len(s.here()))))
		joined = append(joined, part...)
		n -= uint64(len(part))
	}
	s.malformed = n > 0
	return joined
}

// within reads n bytes of the current buffer.
func (s *scanner) within(n uint64) []byte {
	if n > uint64(len(s.here())) {
		s.malformed = true
		return nil
	}
	part := s.cur[:n]
	s.advance(int(n))
	return part
}

func (s *scanner) discard(n uint64) {
	for n > 0 && !s.atEnd() {
		step := min(n, uint64(len(s.here())))
		s.advance(int(step))
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
