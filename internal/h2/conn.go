package h2

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"
)

// What we announce, and how much we keep for a slow peer.
const (
	streamWindow = 1 << 20 // as Qdrant's own
	connWindow   = 4 << 20 // what is read counts as consumed, so it holds no memory
	maxFrame     = 16 << 10
	maxWindow    = 1<<31 - 1
	tableSize    = 4096 // of header compression, both ways: the default
)

// conn is one HTTP/2 connection, either end of it. One goroutine reads;
// one writes while there is something; any may queue what is to be sent.
type conn struct {
	nc     net.Conn
	server bool
	limits *Limits
	pool   mem.BufferPool

	// Of the reading goroutine only.
	in           readBuffer
	few          bytes.Reader   // a frame for fr
	fr           *http2.Framer  // parses the frames that are few
	dec          *hpack.Decoder // of decoding
	decoding     block
	decodedBytes uint32         // of the list, as RFC 9113 §6.5.2 counts
	decoded      *decodedBlocks // nil while there are none
	arrival      arrival
	rates        rates
	settled      bool   // the peer's first SETTINGS came
	first        []byte // what the peer's side began with, for as long as they had not

	// writing is held while queued bytes are given to the socket. It is taken
	// before mu.
	writing sync.Mutex
	writer  writer // guarded by writing

	// mu guards everything below, and the mutable state of all streams. It is
	// held for memory operations only, never across a system call.
	mu      sync.Mutex
	streams map[uint32]*Stream
	// spareStreams have ended, and are used again.
	spareStreams []*Stream
	err          error         // why the connection is over; nil while it is not
	closed       chan struct{} // closed with err
	cause        error         // what is going to be err, while fail waits for the writer
	// last is why the connection is to be over as soon as everything that is
	// queued has been written.
	last error

	// Writing. Frames are queued in the order they are to be sent; that order is
	// also the order of header compression.
	out     outbox
	queued  int64 // bytes ever queued
	taken   int64 // bytes of them that the socket may have taken
	enc     *hpack.Encoder
	encoded bytes.Buffer
	said    *encodedBlocks // nil while there are none
	wake    chan struct{}
	// flushing says that flushLoop runs, as one of tasks.
	flushing bool
	tasks    *sync.WaitGroup
	waiting  []*Stream // senders that wait for room or the connection's window

	// The peer's settings, and the windows.
	peerStreamWindow int64
	peerMaxStreams   atomic.Uint32 // written under mu
	sendWindow       int64
	unreturned       int // received bytes whose window was not returned yet
	toll             toll

	nextID uint32 // client: of the next stream
	lastID uint32 // server: the highest stream of the peer
	// weReset are the newest streams that we reset: what the peer had under way
	// for them is no mistake of its.
	weReset     []uint32
	weResetNext int

	// The end that the connection is; the other is nil.
	serving *serverConn
	calling *ClientConn
}

// newConn prepares a connection; the caller starts reading.
func newConn(nc net.Conn, server bool, limits *Limits, tasks *sync.WaitGroup) *conn {
	c := &conn{
		nc:               nc,
		server:           server,
		limits:           limits,
		tasks:            tasks,
		pool:             &buffers,
		streams:          make(map[uint32]*Stream),
		closed:           make(chan struct{}),
		wake:             make(chan struct{}, 1),
		peerStreamWindow: 65535,
		sendWindow:       65535,
		nextID:           1,
	}
	c.in.init(nc, c.pool)
	c.in.traffic = limits.Traffic
	c.writer.init(nc, limits.WriteStall)
	c.out = newOutbox(nc, c.pool)
	c.fr = http2.NewFramer(io.Discard, &c.few)
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.peerMaxStreams.Store(maxWindow)
	c.enc = hpack.NewEncoder(&c.encoded)
	// Strings need no limit of their own: a block has one.
	c.dec = hpack.NewDecoder(tableSize, c.emit)
	return c
}

// end makes the connection over for all who use it: every stream ends with err.
// The socket stays as it is. The first error wins.
func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if c.cause != nil {
		err = c.cause
	}
	c.err = err
	c.out.end()
	close(c.closed)
	if c.calling != nil {
		c.calling.downLocked(err)
	}
	for _, s := range c.streams {
		// Of a server's stream nobody asks whether it was sent.
		s.endLocked(&LostError{Sent: c.server || s.headEnd <= c.taken, Err: err})
	}
}

// fail ends the connection at once. The first error wins.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = err
	}
	c.mu.Unlock()
	// A write that is under way ends with the socket, and only then is it known
	// what was sent of it.
	c.nc.Close()
	c.writing.Lock()
	defer c.writing.Unlock()
	c.end(err)
}

// finishLocked ends the connection as soon as what is queued has been written.
func (c *conn) finishLocked(err error) {
	if c.last == nil {
		c.last = err
	}
	c.wakeLocked()
}

// Closing a socket while bytes of the peer are unread makes the kernel send a
// reset, which can overtake what we said last. So the last of the peer is read
// away, for as long as this.
const (
	lingerTime  = 250 * time.Millisecond
	lingerBytes = 16 << 20 // more than two sockets hold
)

// halfClose tells the peer that nothing more comes, and has reading end soon.
func (c *conn) halfClose() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
}

func (c *conn) linger() {
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.nc, lingerBytes)
}

// lastWords is how long a peer that broke the protocol may take to read why the
// connection ends.
const lastWords = time.Second

// abort tells the peer with GOAWAY why the connection ends, and ends it. Only
// the reading goroutine may call it, which reads no more frames then.
func (c *conn) abort(violation *connError) {
	c.mu.Lock()
	c.goAwayLocked(c.lastID, violation.code, violation.reason)
	if c.calling != nil {
		c.calling.downLocked(violation)
	}
	c.finishLocked(violation)
	c.mu.Unlock()
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-c.closed:
		c.linger()
	case <-timer.C:
	}
	c.fail(violation)
}

// streamEndedLocked ends a connection that drains with its last stream.
func (c *conn) streamEndedLocked() {
	if c.serving != nil && c.serving.final && len(c.streams) == 0 {
		c.finishLocked(errClosed)
	}
}

// signal wakes the one goroutine that waits on ch, now or when it comes to wait.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
