// Package protoscan walks over protobuf messages where they lie, in buffers as they
// came from the network, without decoding or copying them. What it reads may be of
// anybody's making.
package protoscan

import (
	"encoding/binary"
	"math"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxNesting bounds the groups within groups that a message may hold, as the
// protobuf decoders do.
const maxNesting = protowire.DefaultRecursionLimit

// prefixLen is the length of what gRPC puts before a message: a flag for
// compression, and the length.
const prefixLen = 5

// Scanner walks over the fields of a message without copying it. Once it has found
// that the message is malformed, what it returns means nothing. A copy of it goes on
// by itself from the same place.
type Scanner struct {
	rest      mem.BufferSlice // the buffers after cur
	cur       []byte
	left      int // bytes of the message that are not read yet
	malformed bool
}

// New returns a Scanner of a message.
func New(message []byte) Scanner { return Scanner{cur: message, left: len(message)} }

// Open returns a Scanner of the message at the start of a gRPC body, and by how many
// bytes the body is too short for it; below zero, how many bytes follow it. It
// can't read a message that is compressed, or whose prefix is cut off.
func Open(body mem.BufferSlice) (s Scanner, missing int, ok bool) {
	s = Scanner{rest: body, left: prefixLen}
	var prefix [prefixLen]byte
	for i := range prefix {
		if s.AtEnd() {
			return s, 0, false
		}
		prefix[i] = s.within(1)[0]
	}
	// Limited to what an int of 32 bits can hold, too.
	size, there := int(min(binary.BigEndian.Uint32(prefix[1:]), math.MaxInt32)), body.Len()-prefixLen
	s.left = min(size, there)
	return s, size - there, prefix[0] == 0
}

// AtEnd reports whether all bytes are read, and moves on to the next buffer
// that has any.
func (s *Scanner) AtEnd() bool {
	for s.left > 0 && len(s.cur) == 0 && len(s.rest) > 0 {
		s.cur, s.rest = s.rest[0].ReadOnlyData(), s.rest[1:]
	}
	return s.left == 0 || len(s.cur) == 0
}

// Malformed reports whether what was read so far is no message.
func (s *Scanner) Malformed() bool { return s.malformed }

// Left returns how many bytes of the message are not read yet.
func (s *Scanner) Left() int { return s.left }

// Enter reads a length, and has the message end after as many bytes until Leave is
// called with what is returned: what follows them. For a length beyond the end of
// the message whole is false, and the end stays where it is.
func (s *Scanner) Enter() (after int, whole bool) {
	size := s.Varint()
	if size > uint64(s.left) {
		return 0, false
	}
	after, s.left = s.left-int(size), int(size)
	return after, true
}

// Leave passes over what is left of the message that was entered, and goes on with
// what follows it.
func (s *Scanner) Leave(after int) {
	s.discard(uint64(s.left))
	s.left = after
}

// here returns the bytes of the current buffer that belong to the message.
func (s *Scanner) here() []byte { return s.cur[:min(len(s.cur), s.left)] }

// advance passes over n bytes of the current buffer.
func (s *Scanner) advance(n int) { s.cur, s.left = s.cur[n:], s.left-n }

// Varint reads a number.
func (s *Scanner) Varint() uint64 {
	var v uint64
	for i := range 10 {
		if s.AtEnd() {
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

// Fixed64 reads eight bytes.
func (s *Scanner) Fixed64() uint64 {
	var b [8]byte
	for i := range b {
		if s.AtEnd() {
			s.malformed = true
			return 0
		}
		b[i] = s.within(1)[0]
	}
	return binary.LittleEndian.Uint64(b[:])
}

// Tag reads what a field begins with.
func (s *Scanner) Tag() (protowire.Number, protowire.Type) {
	field, kind := protowire.DecodeTag(s.Varint())
	if field < protowire.MinValidNumber {
		s.malformed = true
	}
	return field, kind
}

// Bytes reads a length and that many bytes, which stay valid as long as the
// message does unless they lie across buffers: then they are a copy.
func (s *Scanner) Bytes() []byte {
	n := s.Varint()
	if s.malformed || s.AtEnd() || n <= uint64(len(s.here())) {
		return s.within(n)
	}
	var joined []byte
	for n > 0 && !s.AtEnd() {
		part := s.within(min(n, uint64(len(s.here()))))
		joined = append(joined, part...)
		n -= uint64(len(part))
	}
	s.malformed = n > 0
	return joined
}

// within reads n bytes of the current buffer.
func (s *Scanner) within(n uint64) []byte {
	if n > uint64(len(s.here())) {
		s.malformed = true
		return nil
	}
	part := s.cur[:n]
	s.advance(int(n))
	return part
}

func (s *Scanner) discard(n uint64) {
	for n > 0 && !s.AtEnd() {
		step := min(n, uint64(len(s.here())))
		s.advance(int(step))
		n -= step
	}
	if n > 0 {
		s.malformed = true
	}
}

// Skip passes over the value of a field, groups and what is in them included.
func (s *Scanner) Skip(field protowire.Number, kind protowire.Type) {
	var open []protowire.Number // the groups around the current field
	for !s.malformed {
		switch kind {
		case protowire.VarintType:
			s.Varint()
		case protowire.Fixed32Type:
			s.discard(4)
		case protowire.Fixed64Type:
			s.discard(8)
		case protowire.BytesType:
			if n := s.Varint(); !s.malformed {
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
		field, kind = s.Tag()
	}
}
