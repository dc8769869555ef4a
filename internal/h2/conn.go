package h2

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"
)

// What we announce, and how much we keep for a slow peer.
const (
	streamWindow = 1 << 20 // as Qdrant's own
	connWindow   = 1 << 20
	maxFrame     = 16 << 10
	readBuffer   = 32 << 10
	// outLimit is how many bytes may wait for a socket that does not take them
	// before writers of DATA wait too.
	outLimit = 256 << 10
	// outFatal is how many bytes of frames that cannot wait (acknowledgements,
	// resets, windows) may pile up before the peer is taken for hostile.
	outFatal = 4 << 20
)

// conn is one HTTP/2 connection, either end of it. One goroutine reads; one
// flushes; any may write.
type conn struct {
	nc     net.Conn
	server bool
	limits Limits
	pool   mem.BufferPool

	// Of the reading goroutine only.
	br    *bufio.Reader
	fr    *http2.Framer
	dec   *hpack.Decoder
	block headerBlock
	rates rates

	// mu guards everything below, and the mutable state of all streams. It is
	// held for memory operations only, never across a system call.
	mu      sync.Mutex
	streams map[uint32]*Stream
	err     error // why the connection is over; nil while it is not
	closed  chan struct{}

	// Writing. Frames are put behind out in the order they are to be sent; that
	// order is also the order of header compression.
	out      []byte
	spare    []byte
	queued   int64 // bytes ever put behind out
	taken    int64 // bytes ever handed to the socket
	enc      *hpack.Encoder
	encoded  bytes.Buffer
	wake     chan struct{}
	flushing bool
	waiting  []*Stream // senders that wait for room or a window

	// The peer's settings, and the windows.
	peerStreamWindow int32
	peerMaxFrame     int
	peerMaxStreams   uint32
	sendWindow       int64
	unreturned       int // received bytes whose window was not returned yet

	nextID    uint32 // client: of the next stream
	lastID    uint32 // server: the highest stream of the peer
	goingAway bool   // we said, or were told, that there are no new streams
	// weReset are the newest streams that we reset: what the peer had under way
	// for them is no mistake of its.
	weReset     [64]uint32
	weResetNext int
	refusing    bool // server: streams above refuseAbove are not served
	refuseAbove uint32
	onIdle      func() // called when the last stream has ended while refusing

	// Set before the connection is used, by the end that it is.
	cfg             *ServerConfig
	onStream        func(*Stream)
	acked           func([8]byte)
	onDownLocked    func()
	onSettledLocked func()
}

// newConn prepares a connection; the caller starts reading.
func newConn(nc net.Conn, server bool, limits Limits) *conn {
	c := &conn{
		nc:               nc,
		server:           server,
		limits:           limits,
		pool:             mem.DefaultBufferPool(),
		br:               bufio.NewReaderSize(nc, readBuffer),
		streams:          make(map[uint32]*Stream),
		closed:           make(chan struct{}),
		wake:             make(chan struct{}, 1),
		peerStreamWindow: 65535,
		peerMaxFrame:     maxFrame,
		peerMaxStreams:   1<<31 - 1,
		sendWindow:       65535,
		nextID:           1,
	}
	c.fr = http2.NewFramer(io.Discard, c.br)
	c.fr.SetReuseFrames()
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.enc = hpack.NewEncoder(&c.encoded)
	c.dec = hpack.NewDecoder(4096, c.emit)
	c.dec.SetMaxStringLength(int(limits.HeaderListBytes))
	return c
}

// fail ends the connection: every stream ends with err, and the socket closes.
// The first error wins.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	close(c.closed)
	if c.onDownLocked != nil {
		c.onDownLocked()
	}
	for _, s := range c.streams {
		s.endLocked(c.lostLocked(s, err))
	}
	c.mu.Unlock()
	c.nc.Close()
}

// connError is a violation by the peer that ends the connection.
type connError struct {
	code   http2.ErrCode
	reason string
}

func (e *connError) Error() string { return fmt.Sprintf("%v: %s", e.code, e.reason) }

// abort tells the peer with GOAWAY why the connection ends, and ends it.
func (c *conn) abort(code http2.ErrCode, reason string) {
	c.mu.Lock()
	c.goAwayLocked(c.lastID, code, reason)
	c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	c.flush()
	c.fail(&connError{code, reason})
}

// flushLoop writes what others have queued until the connection is over.
func (c *conn) flushLoop() {
	for {
		select {
		case <-c.wake:
		case <-c.closed:
			return
		}
		// Whoever else is runnable may add to the same write: with one thread
		// that is most of the calls that are under way.
		runtime.Gosched()
		if err := c.flush(); err != nil {
			c.fail(err)
			return
		}
	}
}

// flush writes everything that is queued. Concurrent callers share one write.
func (c *conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flushing {
		return nil
	}
	c.flushing = true
	defer func() { c.flushing = false }()
	for len(c.out) > 0 {
		out := c.out
		c.out = c.spare[:0]
		c.taken += int64(len(out))
		c.mu.Unlock()
		if c.limits.WriteStall > 0 {
			_ = c.nc.SetWriteDeadline(time.Now().Add(c.limits.WriteStall))
		}
		_, err := c.nc.Write(out)
		c.mu.Lock()
		c.spare = out
		if cap(c.spare) > outLimit {
			c.spare = nil // one big burst must not stay
		}
		if err != nil {
			return err
		}
		c.wakeSendersLocked()
	}
	return nil
}

// wakeLocked has the queued bytes written soon.
func (c *conn) wakeLocked() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// wakeSendersLocked lets all waiting senders look again.
func (c *conn) wakeSendersLocked() {
	for _, s := range c.waiting {
		s.waitingSend = false
		signal(s.sendable)
	}
	c.waiting = c.waiting[:0]
}

// signal wakes the one goroutine that waits on ch, now or when it comes to wait.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// checkOutLocked ends connections whose peer makes us answer and never reads.
func (c *conn) checkOutLocked() error {
	if len(c.out) > outFatal {
		return &connError{http2.ErrCodeEnhanceYourCalm, "the peer causes answers and does not read them"}
	}
	return nil
}

// streamEndedLocked ends a connection that drains with its last stream.
func (c *conn) streamEndedLocked() {
	if c.refusing && len(c.streams) == 0 && c.onIdle != nil {
		// What is queued goes out first, and fail takes mu.
		idle := c.onIdle
		c.onIdle = nil
		go func() {
			_ = c.flush()
			idle()
		}()
	}
}

var errClosed = errors.New("the connection was closed")
