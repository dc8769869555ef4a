package wire

import (
	"net"
	"sync"
	"syscall"
)

// outbox gathers what is to be written. The goroutine that flushes tries once
// without blocking, because waking a writer costs more than a call. What the
// socket does not take at once is left to a writer goroutine: a reader that
// blocked on writing to a peer that blocks on writing would never end.
//
// Everything is guarded by the connection's mutex.
type outbox struct {
	nc    net.Conn
	raw   syscall.RawConn
	queue []byte
	spare []byte // the queue's other buffer
	// busy: the writer goroutine owns the socket until the queue is empty.
	busy   bool
	wake   chan struct{}
	try    func(fd uintptr) bool // made once, so that a flush allocates nothing
	n      int                   // what try wrote
	failed error
}

func newOutbox(nc net.Conn) (*outbox, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errNoSocket
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	o := &outbox{nc: nc, raw: raw, wake: make(chan struct{}, 1)}
	o.try = func(fd uintptr) bool {
		o.n, _ = syscall.Write(int(fd), o.queue)
		return true
	}
	return o, nil
}

// Write queues p; it is what the Framer writes to.
func (o *outbox) Write(p []byte) (int, error) {
	if o.failed != nil {
		return 0, o.failed
	}
	o.queue = append(o.queue, p...)
	return len(p), nil
}

// flush writes what is queued, or has the writer goroutine do so.
func (o *outbox) flush() {
	if o.busy || len(o.queue) == 0 || o.failed != nil {
		return
	}
	o.n = 0
	if err := o.raw.Write(o.try); err != nil {
		o.failed = err
		return
	}
	// An error of the single write shows again, and for good, in the writer's.
	o.queue = o.queue[:copy(o.queue, o.queue[max(o.n, 0):])]
	if len(o.queue) > 0 {
		o.busy = true
		o.wake <- struct{}{}
	}
}

// write is the writer goroutine. It ends when wake is closed.
func (o *outbox) write(mu *sync.Mutex) {
	for range o.wake {
		mu.Lock()
		for len(o.queue) > 0 && o.failed == nil {
			p := o.queue
			o.queue, o.spare = o.spare[:0], nil
			mu.Unlock()
			_, err := o.nc.Write(p)
			mu.Lock()
			o.spare = p
			if err != nil {
				o.failed = err
			}
		}
		o.busy = false
		mu.Unlock()
	}
}
