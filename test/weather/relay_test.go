package weather_test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// relay stands before a node, on an address of its own, and is the weather between the
// two. Bytes that it does not pass on are kept until it does, as TCP's are.
type relay struct {
	t       testing.TB
	target  string
	address string
	running sync.WaitGroup

	mu    sync.Mutex
	lis   net.Listener // nil while connections are refused
	conns map[net.Conn]bool
	// delay is how long what the node says is under way.
	delay time.Duration
	// passing is closed while what is said is passed on.
	passing chan struct{}
	open    int
}

// newRelay begins to relay from a free port of an address to the target.
func newRelay(t testing.TB, ip, target string) *relay {
	t.Helper()
	r := &relay{t: t, target: target, conns: make(map[net.Conn]bool), passing: make(chan struct{})}
	r.pass()
	r.accept(net.JoinHostPort(ip, "0"))
	t.Cleanup(func() {
		r.pass()
		r.refuse()
		r.running.Wait()
	})
	return r
}

// accept listens, at first or again.
func (r *relay) accept(address string) {
	r.t.Helper()
	lis, err := net.Listen("tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.lis, r.address = lis, lis.Addr().String()
	r.mu.Unlock()
	r.running.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return // it was closed
			}
			r.running.Go(func() { r.relay(conn) })
		}
	})
}

// refuse ends all connections by RST and takes no more.
func (r *relay) refuse() {
	r.mu.Lock()
	if r.lis != nil {
		r.lis.Close()
		r.lis = nil
	}
	r.mu.Unlock()
	r.reset()
}

// reset ends all connections by RST.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // it may have been closed
		}
		conn.Close()
	}
}

// hold keeps what is said until pass.
func (r *relay) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passing = make(chan struct{})
}

// pass passes everything on again.
func (r *relay) pass() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.passing:
	default:
		close(r.passing)
	}
}

// slow sets the delay.
func (r *relay) slow(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

// connections is how many callers there are. One that has left is counted until the
// relay has noticed.
func (r *relay) connections() (count int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open, nil
}

// relay serves one connection.
func (r *relay) relay(caller net.Conn) {
	left := r.track(caller, 1)
	defer left()
	node, err := net.DialTimeout("tcp", r.target, patience)
	if err != nil {
		return // the node is gone, and the caller sees that
	}
	defer r.track(node, 0)()
	var both sync.WaitGroup
	both.Go(func() {
		r.carry(node, caller, left, func() time.Duration { return 0 })
		node.Close()
	})
	r.carry(caller, node, func() {}, func() time.Duration { return r.delay })
	caller.Close()
	both.Wait()
}

// track notes a connection that counts for so many, until it has left.
func (r *relay) track(conn net.Conn, count int) (left func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[conn] = true
	r.open += count
	return sync.OnceFunc(func() {
		conn.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, conn)
		r.open -= count
	})
}

// packet is what was read at once, and when it is due: not before passing is closed.
type packet struct {
	data    []byte
	due     time.Time
	passing chan struct{}
}

// carry passes bytes on until one side ends. Who says no more has left, even if what he
// has said is still under way.
func (r *relay) carry(to, from net.Conn, left func(), delay func() time.Duration) {
	packets := make(chan packet, 4096)
	var writing sync.WaitGroup
	writing.Go(func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for p := range packets {
			timer.Reset(time.Until(p.due))
			<-timer.C
			<-p.passing
			if _, err := to.Write(p.data); err != nil {
				from.Close()
			}
		}
	})
	for {
		data := make([]byte, 16<<10)
		n, err := from.Read(data)
		if err != nil {
			break
		}
		r.mu.Lock()
		p := packet{data[:n], time.Now().Add(delay()), r.passing}
		r.mu.Unlock()
		packets <- p
	}
	left()
	close(packets)
	writing.Wait()
}
