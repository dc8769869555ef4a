package h2

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// writer gives a socket what is queued.
type writer struct {
	nc net.Conn
	// stall is how long the socket may take nothing.
	stall time.Duration
	left  net.Buffers // what the socket has not taken

	// Of sockets that can tell when they take something; otherwise nil.
	raw    syscall.RawConn
	ready  func(fd uintptr) bool // writeReady, made once
	vector vector                // of writeReady
	timed  bool                  // there is a deadline
	err    error
}

func (w *writer) init(nc net.Conn, stall time.Duration) {
	w.nc, w.stall = nc, stall
	w.raw = rawSocket(nc)
	if w.raw != nil {
		w.ready = w.writeReady
	}
}

// write writes all of b as long as the socket takes some of it in time, and
// returns how many bytes it did not take.
func (w *writer) write(b batch) (left int, err error) {
	w.left = b.pieces
	if w.raw == nil {
		return w.writeTimed(b.n)
	}
	w.err = nil
	if err = w.raw.Write(w.ready); err == nil {
		err = w.err
	}
	if w.timed && err == nil {
		w.timed = false
		_ = w.nc.SetWriteDeadline(time.Time{})
	}
	for _, p := range w.left {
		left += len(p)
	}
	return left, err
}

// writeTimed is write by means of package net.
func (w *writer) writeTimed(left int) (int, error) {
	for {
		_ = w.nc.SetWriteDeadline(time.Now().Add(w.stall))
		var n int64
		var err error
		if len(w.left) == 1 {
			var k int
			k, err = w.nc.Write(w.left[0])
			w.left[0] = w.left[0][k:]
			n = int64(k)
		} else {
			n, err = w.left.WriteTo(w.nc)
		}
		left -= int(n)
		if err == nil || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return left, err
		}
	}
}

// took forgets the first n bytes of what is left.
func (w *writer) took(n int) {
	for len(w.left) > 0 && n >= len(w.left[0]) {
		n -= len(w.left[0])
		w.left[0], w.left = nil, w.left[1:]
	}
	if n > 0 {
		w.left[0] = w.left[0][n:]
	}
}
