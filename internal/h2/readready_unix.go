//go:build unix

package h2

import (
	"io"
	"net"
	"os"
	"syscall"
)

const readsWhenReady = true

// readReady reads what there is. It reports false to wait until there is
// something, for which it needs no buffer.
func (b *readBuffer) readReady(fd uintptr) bool {
	b.take()
	for {
		n, err := syscall.Read(int(fd), (*b.buf)[b.to:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			if b.from == b.to {
				b.drop()
			}
			return false
		case err != nil:
			n, err = 0, &net.OpError{
				Op: "read", Net: b.nc.LocalAddr().Network(),
				Source: b.nc.LocalAddr(), Addr: b.nc.RemoteAddr(), Err: os.NewSyscallError("read", err),
			}
		case n == 0:
			err = io.EOF
		}
		b.n, b.err = n, err
		return true
	}
}
