package h2

import (
	"bytes"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// Most calls of a connection have the header of the one before, and so the same
// bytes on the wire: a peer that has sent a field once sends its index in the
// table of header compression from then on. Blocks that leave the table as it is
// are remembered on both sides until another changes it. Decoding, checking and
// encoding them was a sixth of what a call costs.
const (
	rememberedBlocks = 8
	// What is remembered must be small beside a connection.
	maxRememberedFields = 64
	maxRememberedBytes  = 512
)

// block is a complete header block and what there is to know about it.
type block struct {
	fields     Fields // the pseudo-fields first, if it is well-formed
	front      int    // how many of them are pseudo-fields
	overflow   bool   // larger than our limits: the rest is not kept
	wellFormed bool   // what is not a pseudo-field may be in HTTP/2
	request    bool   // of servers: the pseudo-fields are those of a request
	status     int    // of clients: that of an answer; 0 when it is not one
	length     int64  // announced length of the body; -1 when there is none
	lengthOK   bool
	// shared blocks are remembered, and never change.
	shared bool

	// Of a server's: what its configuration says of streams that begin with it.
	routed     bool
	whole      int
	recognized any
}

// analyze looks at the fields once.
func (b *block) analyze(server bool) {
	front, rest := pseudo(b.fields)
	b.front = len(front)
	b.wellFormed = wellFormed(rest)
	if server {
		b.request = wellFormedRequest(front)
		b.length, b.lengthOK = contentLength(rest)
	} else {
		b.status = statusCode(front)
	}
}

// decodedBlocks are the remembered blocks of the peer. Of the reading goroutine only.
type decodedBlocks struct {
	blocks  [rememberedBlocks]*block
	encoded [rememberedBlocks][]byte
	n, next int
}

func (r *decodedBlocks) find(encoded []byte) *block {
	for i := range r.n {
		if bytes.Equal(r.encoded[i], encoded) {
			return r.blocks[i]
		}
	}
	return nil
}

// remember keeps a copy of b, which it returns.
func (r *decodedBlocks) remember(encoded []byte, b *block) *block {
	kept := *b
	kept.shared = true
	// Clipped, so that whoever appends to it gets a slice of its own.
	kept.fields = slices.Clip(slices.Clone(b.fields))
	r.blocks[r.next], r.encoded[r.next] = &kept, bytes.Clone(encoded)
	r.n = max(r.n, r.next+1)
	r.next = (r.next + 1) % rememberedBlocks
	return &kept
}

// encodedBlocks are the remembered blocks of ours. Guarded by conn.mu.
type encodedBlocks struct {
	fields  [rememberedBlocks]Fields
	encoded [rememberedBlocks][]byte
	n, next int
}

// find compares contents. Strings that are the same object compare at once.
func (s *encodedBlocks) find(front, rest Fields) []byte {
	for i := range s.n {
		fields := s.fields[i]
		if len(fields) == len(front)+len(rest) &&
			slices.Equal(fields[:len(front)], front) && slices.Equal(fields[len(front):], rest) {
			return s.encoded[i]
		}
	}
	return nil
}

func (s *encodedBlocks) remember(front, rest Fields, encoded []byte) {
	s.fields[s.next], s.encoded[s.next] = slices.Concat(front, rest), bytes.Clone(encoded)
	s.n = max(s.n, s.next+1)
	s.next = (s.next + 1) % rememberedBlocks
}

// memorable reports whether a block may come again as it is. What is left of a
// deadline, and what names a call in its trace, is never the same twice.
func memorable(encoded []byte, fields ...Fields) bool {
	n := 0
	for _, f := range fields {
		if f.Has("grpc-timeout") || f.Has("traceparent") {
			return false
		}
		n += len(f)
	}
	return n <= maxRememberedFields && len(encoded) <= maxRememberedBytes
}

// neutral reports whether a block leaves the table of header compression as it
// is: it has fields of the table and literals that are not to be added (RFC 7541
// §6), and changes no sizes. The block is known to be well-formed.
func neutral(encoded []byte) bool {
	for len(encoded) > 0 {
		first := encoded[0]
		switch {
		case first&0x80 != 0: // indexed
			encoded = skipInt(encoded, 7)
		case first&0x40 != 0, first&0x20 != 0: // to be added; a size
			return false
		default:
			encoded = skipInt(encoded, 4)
			if first&0x0f == 0 {
				encoded = skipString(encoded)
			}
			encoded = skipString(encoded)
		}
	}
	return true
}

// skipInt returns what follows an integer with a prefix of that many bits (RFC
// 7541 §5.1).
func skipInt(p []byte, bits int) []byte { _, p = readInt(p, bits); return p }

func readInt(p []byte, bits int) (uint64, []byte) {
	if len(p) == 0 {
		return 0, nil
	}
	limit := byte(1)<<bits - 1
	n := uint64(p[0] & limit)
	p = p[1:]
	if n < uint64(limit) {
		return n, p
	}
	for shift := 0; len(p) > 0; shift += 7 {
		b := p[0]
		p = p[1:]
		n += uint64(b&0x7f) << min(shift, 56)
		if b&0x80 == 0 {
			break
		}
	}
	return n, p
}

func skipString(p []byte) []byte {
	n, p := readInt(p, 7)
	return p[min(n, uint64(len(p))):]
}

// decode reads a complete block. The result is good until the next call, unless
// it is shared.
func (c *conn) decode(encoded []byte) (*block, error) {
	if c.decoded != nil {
		if b := c.decoded.find(encoded); b != nil {
			return b, nil
		}
	}
	b := &c.decoding
	*b = block{fields: b.fields[:0]}
	c.decodedBytes = 0
	_, err := c.dec.Write(encoded)
	if err == nil {
		err = c.dec.Close()
	}
	if err != nil {
		return nil, err
	}
	c.dec.SetEmitEnabled(true)
	b.analyze(c.server)
	switch {
	case !neutral(encoded):
		c.decoded = nil
	case !b.overflow && memorable(encoded, b.fields):
		if c.decoded == nil {
			c.decoded = new(decodedBlocks)
		}
		b = c.decoded.remember(encoded, b)
	}
	return b, nil
}

// emit takes one decoded field.
func (c *conn) emit(f hpack.HeaderField) {
	b := &c.decoding
	c.decodedBytes += f.Size()
	if c.decodedBytes > c.limits.HeaderListBytes || len(b.fields) >= c.limits.HeaderFields {
		b.overflow = true
		c.dec.SetEmitEnabled(false)
		return
	}
	b.fields = append(b.fields, f)
}

// encodeLocked compresses a block. The result is good until the next call.
func (c *conn) encodeLocked(front, rest Fields) []byte {
	if c.said != nil {
		if encoded := c.said.find(front, rest); encoded != nil {
			return encoded
		}
	}
	c.encoded.Reset()
	for _, f := range front {
		_ = c.enc.WriteField(f) // a bytes.Buffer takes everything
	}
	for _, f := range rest {
		_ = c.enc.WriteField(f)
	}
	encoded := c.encoded.Bytes()
	switch {
	case !neutral(encoded):
		c.said = nil
	case memorable(encoded, front, rest):
		if c.said == nil {
			c.said = new(encodedBlocks)
		}
		c.said.remember(front, rest, encoded)
	}
	return encoded
}
