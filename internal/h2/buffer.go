package h2

import (
	"google.golang.org/grpc/mem"
)

// chunkSize is the capacity of the buffers that received bytes are put into: a
// DATA frame of the default size fits.
const chunkSize = 16 << 10

// body is bytes that were received or are to be sent, in pooled buffers.
type body struct {
	chunks mem.BufferSlice
	n      int
	// room is the unused end of the last chunk, while this body alone owns it.
	room []byte
	last *[]byte
	// Most messages are one chunk, and most streams one message: it is listed
	// here. What was taken must not change, so this serves once.
	single [1]mem.Buffer
	listed bool
}

// append copies p into the body.
func (b *body) append(p []byte, pool mem.BufferPool) {
	for len(p) > 0 {
		if len(b.room) == 0 {
			b.seal(pool)
			// The first chunk is as large as need be, for most messages are in one.
			// The next ones grow with what is there already: bytes that dribble in
			// one by one must not cost a buffer each.
			b.last = newChunk(min(max(len(p), b.n), chunkSize), pool)
			b.room = (*b.last)[:cap(*b.last)]
		}
		k := copy(b.room, p)
		b.room, p = b.room[k:], p[k:]
		b.n += k
	}
}

// newChunk returns a buffer for n bytes. Small ones are left to the garbage
// collector, as mem.NewBuffer does in any case.
func newChunk(n int, pool mem.BufferPool) *[]byte {
	if mem.IsBelowBufferPoolingThreshold(n) {
		return new(make([]byte, n))
	}
	return pool.Get(n)
}

// seal turns the chunk being filled into a buffer that can be shared.
func (b *body) seal(pool mem.BufferPool) {
	if b.last == nil {
		return
	}
	filled := (*b.last)[:cap(*b.last)-len(b.room)]
	*b.last = filled
	if !b.listed {
		b.chunks, b.listed = b.single[:0], true
	}
	b.chunks = append(b.chunks, mem.NewBuffer(b.last, pool))
	b.last, b.room = nil, nil
}

// take returns all bytes and leaves the body empty.
func (b *body) take(pool mem.BufferPool) mem.BufferSlice {
	b.seal(pool)
	chunks := b.chunks
	b.chunks, b.n = nil, 0
	return chunks
}

// free drops all bytes.
func (b *body) free(pool mem.BufferPool) {
	chunks := b.take(pool)
	chunks.Free()
}
