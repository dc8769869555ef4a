package h2

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// readReady reads what there is. It reports false to wait until there is
// something, for which it needs no buffer.
func (b *readBuffer) readReady(fd uintptr) bool {
	b.take()
	into := (*b.buf)[b.to:]
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(len(into)))
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			if b.from == b.to {
				b.drop()
			}
			return false
		case errno != 0:
			b.n, b.err = 0, socketError("read", b.nc, errno)
		case n == 0:
			b.n, b.err = 0, io.EOF
		default:
			b.n, b.err = int(n), nil
		}
		return true
	}
}

// mostPieces is how many the kernel takes at once, IOV_MAX.
const mostPieces = 1024

// vector is how the kernel is told of pieces.
type vector []syscall.Iovec

// writeReady writes what the socket takes. It reports false to wait until that is
// more.
func (w *writer) writeReady(fd uintptr) bool {
	for len(w.left) > 0 {
		n, errno := w.send(fd)
		switch errno {
		case 0:
			w.took(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			w.timed = true
			_ = w.nc.SetWriteDeadline(time.Now().Add(w.stall))
			return false
		default:
			w.err = socketError("write", w.nc, errno)
			return true
		}
	}
	return true
}

func (w *writer) send(fd uintptr) (int, syscall.Errno) {
	if len(w.left) == 1 {
		p := w.left[0]
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		return int(n), errno
	}
	w.vector = w.vector[:0]
	for _, p := range w.left[:min(len(w.left), mostPieces)] {
		w.vector = append(w.vector, syscall.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))})
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(w.vector))), uintptr(len(w.vector)))
	clear(w.vector)
	return int(n), errno
}

// rawSocket returns what nc is read and written by; nil when that is nc itself.
func rawSocket(nc net.Conn) syscall.RawConn {
	if socket, ok := nc.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

func socketError(op string, nc net.Conn, errno syscall.Errno) error {
	return &net.OpError{
		Op: op, Net: nc.LocalAddr().Network(),
		Source: nc.LocalAddr(), Addr: nc.RemoteAddr(), Err: os.NewSyscallError(op, errno),
	}
}
