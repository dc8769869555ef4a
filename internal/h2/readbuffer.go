package h2

import "net"

// A connection begins with a small buffer for reading and gets the large one as
// soon as it has filled that: many connections never do. The large one holds any
// frame.
const (
	firstReadBuffer = 2 << 10
	fullReadBuffer  = 32 << 10
)

// readBuffer is what was read of a socket and not handled yet.
type readBuffer struct {
	nc       net.Conn
	buf      []byte
	from, to int // of buf
}

// peek returns the next n bytes, which stay until they are discarded and are good
// until the next call. With an error there are fewer.
func (b *readBuffer) peek(n int) ([]byte, error) {
	for b.to-b.from < n {
		if err := b.fill(n); err != nil {
			return b.buf[b.from:b.to], err
		}
	}
	return b.buf[b.from : b.from+n], nil
}

// fill reads once, into room for n bytes in all.
func (b *readBuffer) fill(n int) error {
	size := len(b.buf)
	if n > size || b.to == size {
		size = fullReadBuffer
	}
	if size == 0 {
		size = firstReadBuffer
	}
	rest := b.buf[b.from:b.to]
	if size != len(b.buf) {
		b.buf = make([]byte, size)
	}
	b.from, b.to = 0, copy(b.buf, rest)
	k, err := b.nc.Read(b.buf[b.to:])
	b.to += k
	if k > 0 {
		return nil // an error comes again
	}
	return err
}

func (b *readBuffer) discard(n int) { b.from += n }
