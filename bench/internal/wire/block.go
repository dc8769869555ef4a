package wire

import (
	"bytes"

	"golang.org/x/net/http2/hpack"
)

// defaultTable is the size of HPACK's table until a peer says otherwise.
const defaultTable = 4096

// Block is a header block that one connection sends over and over.
type Block struct {
	fields []hpack.HeaderField
	bytes  []byte // the last encoding
	// stable: bytes changes no table, and was made in this state of it.
	stable bool
	state  int
}

// NewBlock makes a block. It must be used by one connection only.
func NewBlock(fields ...hpack.HeaderField) *Block {
	return &Block{fields: fields}
}

// encoder encodes blocks against the connection's table. A block's bytes can
// be sent again once encoding it twice, with no other block changing the table
// in between, gives the same bytes: by then every field is in the table, or
// never will be.
type encoder struct {
	hpack *hpack.Encoder
	out   bytes.Buffer
	state int // counts encodings that may have changed the table
}

func newEncoder() *encoder {
	e := &encoder{}
	e.hpack = hpack.NewEncoder(&e.out)
	return e
}

// resize obeys the peer's SETTINGS_HEADER_TABLE_SIZE. A table smaller than the
// default is not used at all: blocks that push each other out of it would never
// become stable.
func (e *encoder) resize(limit uint32) {
	if limit < defaultTable {
		limit = 0
	}
	e.hpack.SetMaxDynamicTableSizeLimit(limit)
	e.hpack.SetMaxDynamicTableSize(min(limit, defaultTable))
	e.state++
}

// encode returns the block's bytes, valid until the next call.
func (e *encoder) encode(b *Block) []byte {
	if b.stable && b.state == e.state {
		return b.bytes
	}
	e.out.Reset()
	for _, f := range b.fields {
		_ = e.hpack.WriteField(f) // a bytes.Buffer takes everything
	}
	b.stable = bytes.Equal(b.bytes, e.out.Bytes())
	if !b.stable {
		e.state++
		b.bytes = bytes.Clone(e.out.Bytes())
	}
	b.state = e.state
	return b.bytes
}
