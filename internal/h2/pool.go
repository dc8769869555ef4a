package h2

import (
	"sync"
	"sync/atomic"
)

// buffers is where the memory of messages comes from.
var buffers bufferPool

// BuffersInUse returns how many buffers are in use, and how many bytes they have
// in all: what the connections of this process have received and not passed on.
func BuffersInUse() (n, bytes int64) { return buffers.n.Load(), buffers.bytes.Load() }

// bufferSizes are those that are kept. Smaller ones are cheaper to make anew, and
// nothing needs larger ones.
var bufferSizes = [...]int{4 << 10, 16 << 10, 32 << 10, readBufferSize}

// bufferPool is a [google.golang.org/grpc/mem.BufferPool]. Unlike the one of that
// package it does not clear what it hands out: all of it is overwritten.
type bufferPool struct {
	sizes    [len(bufferSizes)]sync.Pool
	n, bytes atomic.Int64
}

// Get implements mem.BufferPool.
func (p *bufferPool) Get(n int) *[]byte {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		p.n.Add(1)
		p.bytes.Add(int64(size))
		if buf, ok := p.sizes[i].Get().(*[]byte); ok {
			*buf = (*buf)[:n]
			return buf
		}
		return new(make([]byte, n, size))
	}
	return new(make([]byte, n))
}

// Put implements mem.BufferPool.
func (p *bufferPool) Put(buf *[]byte) {
	for i, size := range bufferSizes {
		if cap(*buf) == size {
			p.n.Add(-1)
			p.bytes.Add(-int64(size))
			p.sizes[i].Put(buf)
			return
		}
	}
}
