package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// fate is what happens to the connection that a request is on.
type fate int

const (
	passes    fate = iota
	cutBefore      // the request does not reach Qdrant
	cutAfter       // Qdrant has answered, and nothing of it comes back
	cutWithin      // the answer's headers come back, and no more
	fates
)

// relay stands between the sidecar and Qdrant, passes bytes on as they are, and breaks the connection of some requests
// by a TCP reset. It reads along, so it knows which of them reached Qdrant.
type relay struct {
	lis      net.Listener
	upstream string
	rest     bool // and not gRPC
	done     sync.WaitGroup

	mu       sync.Mutex
	rate     float64 // above 0, at most 1
	random   *rand.Rand
	requests int // so far
	hit      int // those that were on a connection when it broke
	target   int // the one of this block that is hit
	conns    map[net.Conn]bool
	cuts     int
	seen     map[[32]byte]bool // unsafe requests that reached Qdrant whole, by path and message
	twice    []string          // the methods of those that the sidecar made again
}

// startRelay stands in front of one API of an upstream.
func startRelay(upstream string, rate float64, seed uint64, rest bool) (*relay, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{
		lis: lis, upstream: upstream, rest: rest, rate: rate, random: rand.New(rand.NewPCG(seed, 0)),
		conns: map[net.Conn]bool{}, seen: map[[32]byte]bool{},
	}
	r.done.Go(r.accept)
	return r, nil
}

func (r *relay) address() string { return r.lis.Addr().String() }

// stop returns how many connections were cut, and which unsafe calls the sidecar repeated although they had arrived.
func (r *relay) stop() (cuts int, twice []string) {
	r.lis.Close()
	r.mu.Lock()
	for conn := range r.conns {
		conn.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.done.Wait()
	return r.cuts, r.twice
}

func (r *relay) accept() {
	for {
		down, err := r.lis.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", r.upstream)
		if err != nil {
			down.Close()
			continue
		}
		l := &link{relay: r, down: down, up: up, fates: map[uint32]fate{}, requests: map[uint32]*request{}}
		if !r.track(down, up) {
			l.end(false)
			return
		}
		if r.rest {
			r.done.Go(func() { defer l.end(false); l.exchange() })
			continue
		}
		r.done.Go(func() { defer l.end(false); l.forward() })
		r.done.Go(func() { defer l.end(false); l.back() })
	}
}

func (r *relay) track(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		if r.conns == nil {
			return false
		}
		r.conns[conn] = true
	}
	return true
}

// draw hits one request, chosen at random, out of each block of as many as the rate says. Chance alone would also hit
// many in a row, which is an outage, and has the sidecar refuse calls as it should. A connection that breaks takes all
// requests with it that it carries, often a dozen; then there is a rest until they are no more of all than the rate
// says.
func (r *relay) draw() fate {
	r.mu.Lock()
	defer r.mu.Unlock()
	block := int(math.Round(1 / r.rate))
	if r.requests%block == 0 {
		r.target = r.requests + r.random.IntN(block)
	}
	r.requests++
	if r.requests-1 != r.target || float64(r.hit) > r.rate*float64(r.requests) {
		return passes
	}
	return cutBefore + fate(r.random.IntN(int(fates-cutBefore)))
}

// link is a connection of the sidecar's and the one to Qdrant that it goes on to.
type link struct {
	relay    *relay
	down, up net.Conn
	once     sync.Once
	requests map[uint32]*request // by stream; forward's own

	mu    sync.Mutex
	fates map[uint32]fate // of requests without an answer, by stream
}

// request is as much of one as tells whether it was made before.
type request struct {
	path  string
	again bool // the sidecar says that it made it before
	body  bytes.Buffer
}

func (l *link) end(cut bool) {
	l.once.Do(func() {
		for _, conn := range []net.Conn{l.down, l.up} {
			if tcp, ok := conn.(*net.TCPConn); ok && cut {
				tcp.SetLinger(0) //nolint:errcheck // then it ends by FIN, which is a cut too
			}
			conn.Close()
		}
		l.mu.Lock()
		carried := len(l.fates)
		l.mu.Unlock()
		l.relay.mu.Lock()
		defer l.relay.mu.Unlock()
		if cut {
			l.relay.cuts++
			l.relay.hit += max(1, carried)
		}
		delete(l.relay.conns, l.down)
		delete(l.relay.conns, l.up)
	})
}

// forward passes requests on, frame by frame.
func (l *link) forward() {
	var raw bytes.Buffer
	from := io.TeeReader(l.down, &raw)
	if _, err := io.CopyN(io.Discard, from, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	frames := http2.NewFramer(nil, from)
	frames.SetMaxReadFrameSize(1<<24 - 1)
	frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := frames.ReadFrame()
		if bad, ok := errors.AsType[http2.StreamError](err); err != nil && (!ok || bad.Code == http2.ErrCodeNo) {
			return
		}
		if !l.onRequest(frame) {
			l.end(true)
			return
		}
		if _, err := l.up.Write(raw.Bytes()); err != nil {
			return
		}
		raw.Reset()
	}
}

// onRequest returns false when the connection is to break instead of passing the frame on.
func (l *link) onRequest(frame http2.Frame) bool {
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		drawn := l.relay.draw()
		if drawn == cutBefore {
			return false
		}
		l.mu.Lock()
		l.fates[f.StreamID] = drawn
		l.mu.Unlock()
		r := &request{path: f.PseudoValue("path")}
		for _, field := range f.RegularFields() {
			r.again = r.again || field.Name == "grpc-previous-rpc-attempts"
		}
		l.requests[f.StreamID] = r
	case *http2.RSTStreamFrame: // one that is given up
		l.mu.Lock()
		delete(l.fates, f.StreamID)
		l.mu.Unlock()
	case *http2.DataFrame:
		r := l.requests[f.StreamID]
		if r == nil {
			return true
		}
		r.body.Write(f.Data())
		if f.StreamEnded() {
			l.relay.arrived(r)
			delete(l.requests, f.StreamID)
		}
	}
	return true
}

// arrived records an unsafe request that is about to reach Qdrant whole. One that the sidecar made before, and that had
// arrived then, is an unsafe call made twice. Others are new calls of the user's, who may repeat himself.
func (r *relay) arrived(q *request) {
	switch method.Lookup(q.path).ClassOf(mem.BufferSlice{mem.SliceBuffer(q.body.Bytes())}) {
	case resilience.Read, resilience.IdempotentWrite:
		return
	default:
	}
	key := sha256.Sum256(append([]byte(q.path), q.body.Bytes()...))
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.again && r.seen[key] {
		r.twice = append(r.twice, q.path)
	}
	r.seen[key] = true
}

// back passes answers on.
func (l *link) back() {
	var raw bytes.Buffer
	frames := http2.NewFramer(nil, io.TeeReader(l.up, &raw))
	frames.SetMaxReadFrameSize(1<<24 - 1)
	for {
		frame, err := frames.ReadFrame()
		if err != nil {
			return
		}
		header := frame.Header()
		l.mu.Lock()
		f := l.fates[header.StreamID]
		l.mu.Unlock()
		isAnswer := header.Type == http2.FrameHeaders || header.Type == http2.FrameData
		if isAnswer && (f == cutAfter || f == cutWithin && header.Type == http2.FrameData) {
			l.end(true)
			return
		}
		if isAnswer && header.Flags.Has(http2.FlagDataEndStream) { // the flag of HEADERS, too
			l.mu.Lock()
			delete(l.fates, header.StreamID)
			l.mu.Unlock()
		}
		if _, err := l.down.Write(raw.Bytes()); err != nil {
			return
		}
		raw.Reset()
	}
}
