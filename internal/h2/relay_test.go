package h2_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// relay passes connections on, watches the windows of what it passes, and breaks
// the connections whose bytes are used up.
type relay struct {
	lis    net.Listener
	target string
	// budget is how many bytes a new connection may carry.
	budget  func() int64
	calm    atomic.Bool // budgets do not count any more
	broken  atomic.Int64
	running sync.WaitGroup

	mu    sync.Mutex
	links map[*link]struct{}
}

// link is one connection of a relay.
type link struct {
	near, far *net.TCPConn
	left      atomic.Int64
	up, down  way
}

// way is one direction of a link. What it may carry as a whole is the window of
// its receiver, who opens it on the other way.
type way struct{ data, opened, first atomic.Int64 }

// open reports whether the receiver of a way has its window open: nothing more than
// at first, after its greeting, and little less, for it is given back in steps.
func (w *way) open() bool {
	most := 65535 + w.first.Load()
	window := 65535 + w.opened.Load() - w.data.Load()
	return window <= most && window >= most/4
}

func newRelay(t testing.TB, target string, budget func() int64) *relay {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{lis: lis, target: target, budget: budget, links: make(map[*link]struct{})}
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *relay) addr() string { return r.lis.Addr().String() }

func (r *relay) accept() {
	for {
		near, err := r.lis.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", r.target)
		if err != nil {
			near.Close()
			continue
		}
		l := &link{near: near.(*net.TCPConn), far: far.(*net.TCPConn)}
		l.left.Store(r.budget())
		r.mu.Lock()
		r.links[l] = struct{}{}
		r.mu.Unlock()
		var both sync.WaitGroup
		both.Go(func() { r.pass(l, l.far, l.near, &l.up, &l.down, len(http2.ClientPreface)) })
		both.Go(func() { r.pass(l, l.near, l.far, &l.down, &l.up, 0) })
		r.running.Go(func() {
			both.Wait()
			r.mu.Lock()
			delete(r.links, l)
			r.mu.Unlock()
			l.near.Close()
			l.far.Close()
		})
	}
}

// pass copies one way. It counts the DATA of its own way, and what it opens of
// the other one.
func (r *relay) pass(l *link, to, from *net.TCPConn, own, other *way, skip int) {
	defer to.CloseWrite()
	var m meter
	m.skip = skip
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		m.feed(buf[:n], own, other)
		if l.left.Add(-int64(n)) < 0 && !r.calm.Load() {
			r.cut(l)
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut breaks a connection: in order, or with a reset, to either end.
func (r *relay) cut(l *link) {
	r.broken.Add(1)
	if rand.IntN(2) == 0 {
		l.near.SetLinger(0)
	}
	if rand.IntN(2) == 0 {
		l.far.SetLinger(0)
	}
	l.near.Close()
	l.far.Close()
}

func (r *relay) close() {
	r.lis.Close()
	r.mu.Lock()
	for l := range r.links {
		l.near.Close()
		l.far.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// open reports whether the windows of all connections that live are, both ways.
func (r *relay) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		if !l.up.open() || !l.down.open() {
			return false
		}
	}
	return true
}

// meter reads the frames that pass by.
type meter struct {
	skip int
	head []byte
	kind http2.FrameType
	id   uint32
	tail []byte // of a WINDOW_UPDATE
}

func (m *meter) feed(p []byte, own, other *way) {
	for len(p) > 0 {
		if m.skip > 0 {
			n := min(m.skip, len(p))
			if m.kind == http2.FrameWindowUpdate && m.id == 0 {
				m.tail = append(m.tail, p[:n]...)
			}
			m.skip -= n
			p = p[n:]
			if m.skip == 0 && len(m.tail) == 4 {
				n := int64(binary.BigEndian.Uint32(m.tail))
				other.opened.Add(n)
				other.first.CompareAndSwap(0, n)
				m.tail = nil
			}
			continue
		}
		n := min(9-len(m.head), len(p))
		m.head = append(m.head, p[:n]...)
		p = p[n:]
		if len(m.head) < 9 {
			return
		}
		m.skip = int(m.head[0])<<16 | int(m.head[1])<<8 | int(m.head[2])
		m.kind, m.id = http2.FrameType(m.head[3]), binary.BigEndian.Uint32(m.head[5:])
		if m.kind == http2.FrameData {
			own.data.Add(int64(m.skip))
		}
		m.head = m.head[:0]
	}
}
