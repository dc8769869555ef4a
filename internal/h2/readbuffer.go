package h2

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc/mem"
)

// readBufferSize holds several frames of the largest size that we accept, and
// with small calls hundreds.
const readBufferSize = 128 << 10

// readBuffer is what was read of a socket and not handled yet. It has memory only
// while there is something: most connections are idle most of the time.
type readBuffer struct {
	nc       net.Conn
	pool     mem.BufferPool
	buf      *[]byte
	from, to int // of buf
	traffic  *Traffic
	reads    atomic.Uint64 // that brought something
	// at is when the newest bytes came; zero until somebody asks.
	at time.Time

	// Of sockets that can tell when there is something to read; otherwise nil.
	raw   syscall.RawConn
	ready func(fd uintptr) bool // readReady, made once
	n     int                   // what it has read
	err   error
}

func (b *readBuffer) init(nc net.Conn, pool mem.BufferPool) {
	b.nc, b.pool = nc, pool
	if b.raw = rawSocket(nc); b.raw != nil {
		b.ready = b.readReady
	}
}

// peek returns the next n bytes, which stay until they are discarded and are good
// until the next call. With an error there are fewer. n is no more than the size
// of a frame.
func (b *readBuffer) peek(n int) ([]byte, error) {
	for b.to-b.from < n {
		if err := b.fill(); err != nil {
			return b.bytes(), err
		}
	}
	return b.bytes()[:n], nil
}

func (b *readBuffer) discard(n int) { b.from += n }

// fill reads once. There is less in the buffer than it holds.
func (b *readBuffer) fill() error {
	if b.from > 0 {
		b.from, b.to = 0, copy(*b.buf, b.bytes())
	}
	if b.raw == nil {
		b.take()
		b.n, b.err = b.nc.Read((*b.buf)[b.to:])
	} else if err := b.raw.Read(b.ready); err != nil {
		return err
	}
	b.to += b.n
	if b.n > 0 {
		b.traffic.read(b.n)
		b.reads.Add(1)
		b.at = time.Time{}
		return nil // an error comes again
	}
	return b.err
}

// arrival is when the newest bytes came. One look at the clock serves all the frames
// that came together, and there is none for those that nobody wants to know it of.
func (b *readBuffer) arrival() time.Time {
	if b.at.IsZero() {
		b.at = time.Now()
	}
	return b.at
}

func (b *readBuffer) bytes() []byte {
	if b.buf == nil {
		return nil
	}
	return (*b.buf)[b.from:b.to]
}

func (b *readBuffer) take() {
	if b.buf == nil {
		b.buf = b.pool.Get(readBufferSize)
	}
}

// drop gives the buffer away, and what is in it.
func (b *readBuffer) drop() {
	if b.buf != nil {
		b.pool.Put(b.buf)
		b.buf, b.from, b.to = nil, 0, 0
	}
}
