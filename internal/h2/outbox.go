package h2

import (
	"net"

	"google.golang.org/grpc/mem"
)

// Sizes of the chunks that frames are put into. The first one of a batch is
// small, for with few calls it is all there is.
const (
	firstChunk = 4 << 10
	nextChunk  = 32 << 10
)

// shareFrom is how many bytes of DATA are worth an entry of their own in a
// gathering write instead of a copy.
const shareFrom = 8 << 10

// outbox is what is queued to be written, in order. It owns nothing while it is
// empty.
type outbox struct {
	batch
	pool   mem.BufferPool
	gather bool // the socket writes from many places at once
	over   bool // nothing is written any more
	chunk  []byte
	from   int // of chunk: what is not in batch.pieces yet
	spare  batch
}

// batch is what is written at once.
type batch struct {
	pieces net.Buffers
	n      int // bytes
	chunks []*[]byte
	shared []mem.Buffer
}

func newOutbox(nc net.Conn, pool mem.BufferPool) outbox {
	o := outbox{pool: pool}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		o.gather = true
	}
	return o
}

// grow starts a new chunk.
func (o *outbox) grow() {
	o.seal()
	size := nextChunk
	if len(o.chunks) == 0 {
		size = firstChunk
	}
	chunk := o.pool.Get(size)
	o.chunks = append(o.chunks, chunk)
	o.chunk, o.from = (*chunk)[:0], 0
}

// seal makes a piece of what chunk has.
func (o *outbox) seal() {
	if len(o.chunk) > o.from {
		o.pieces = append(o.pieces, o.chunk[o.from:])
		o.from = len(o.chunk)
	}
}

// write copies p behind what is queued.
func (o *outbox) write(p []byte) {
	if o.over {
		return
	}
	o.n += len(p)
	for len(p) > 0 {
		if len(o.chunk) == cap(o.chunk) {
			o.grow()
		}
		k := copy(o.chunk[len(o.chunk):cap(o.chunk)], p)
		o.chunk = o.chunk[:len(o.chunk)+k]
		p = p[k:]
	}
}

// writeFrom puts p, which is part of buf, behind what is queued.
func (o *outbox) writeFrom(buf mem.Buffer, p []byte) {
	if !o.gather || o.over || len(p) < shareFrom {
		o.write(p)
		return
	}
	o.seal()
	buf.Ref()
	o.pieces, o.shared = append(o.pieces, p), append(o.shared, buf)
	o.n += len(p)
}

// take returns everything that is queued, which is to be given back with free.
func (o *outbox) take() batch {
	o.seal()
	taken := o.batch
	o.batch, o.spare = o.spare, batch{}
	o.chunk, o.from = nil, 0
	return taken
}

// free ends the use of what was taken.
func (o *outbox) free(b batch) {
	for _, chunk := range b.chunks {
		o.pool.Put(chunk)
	}
	for _, buf := range b.shared {
		buf.Free()
	}
	clear(b.chunks)
	clear(b.shared)
	clear(b.pieces)
	// Its slices serve again, unless a burst has made them large.
	if cap(b.pieces) <= 64 {
		o.spare = batch{pieces: b.pieces[:0], chunks: b.chunks[:0], shared: b.shared[:0]}
	}
}

// end frees everything that is queued, and takes nothing more.
func (o *outbox) end() {
	o.over = true
	o.free(o.take())
	o.spare = batch{}
}
