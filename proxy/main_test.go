package proxy_test

import (
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
)

// buffers is the buffer pool of everything in this test binary.
var buffers = &countingPool{BufferPool: mem.DefaultBufferPool()}

// countingPool counts the buffers that are in use.
type countingPool struct {
	mem.BufferPool
	out atomic.Int64
}

func (p *countingPool) Get(n int) *[]byte {
	p.out.Add(1)
	return p.BufferPool.Get(n)
}

func (p *countingPool) Put(b *[]byte) {
	p.out.Add(-1)
	p.BufferPool.Put(b)
}

func TestMain(m *testing.M) {
	experimental.SetDefaultBufferPool(buffers)
	goleak.VerifyTestMain(m)
}
