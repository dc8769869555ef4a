package h2_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// attack is what a hostile client sends, step by step.
type attack struct {
	cve   string
	begin func(f *http2.Framer)
	step  func(f *http2.Framer, i int)
	// most is how many steps are too many, and started how many handlers they may
	// begin: twice of it, since windows of time begin when they happen to.
	most    int
	started int64
	// endless says that this need not end, as long as it is cheap.
	endless bool
}

var attacks = []attack{
	{cve: "CVE-2019-9511 (dribble)", begin: func(f *http2.Framer) {
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		openFrame(f, 1, true)
	}, step: func(f *http2.Framer, _ int) { f.WriteWindowUpdate(1, 1) }, most: 100_000, started: 1},
	{cve: "CVE-2019-9512 (PING)", step: func(f *http2.Framer, _ int) { f.WritePing(false, [8]byte{1}) }, most: 2000},
	{cve: "CVE-2019-9513 (PRIORITY)", begin: func(f *http2.Framer) { openFrame(f, 1, true) }, step: func(f *http2.Framer, i int) {
		f.WritePriority(uint32(2*(i%100)+1), http2.PriorityParam{StreamDep: uint32(2*(i%99) + 201), Weight: byte(i)})
	}, most: 2000, started: 1},
	{cve: "CVE-2019-9514 (mistakes)", step: func(f *http2.Framer, i int) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true})
	}, most: 1000},
	{cve: "CVE-2025-8671 (made you reset)", step: func(f *http2.Framer, i int) {
		openFrame(f, uint32(2*i+1), false)
		f.WriteRawFrame(http2.FrameWindowUpdate, 0, uint32(2*i+1), make([]byte, 4))
	}, most: 1000, started: 1000},
	{cve: "CVE-2019-9515 (SETTINGS)", step: func(f *http2.Framer, i int) {
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i % 1000)})
	}, most: 2000},
	{cve: "CVE-2019-9516 (empty header fields)", step: func(f *http2.Framer, i int) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true, EndStream: true, BlockFragment: nameless[:3*200]})
	}, most: 1000},
	// Too large a header is a call with an answer of its own, see TestTooLargeHeader.
	{cve: "CVE-2019-9516 (thousands of them)", step: func(f *http2.Framer, i int) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true, EndStream: true, BlockFragment: nameless})
	}, most: 500, started: 100, endless: true},
	{cve: "CVE-2019-9518 (empty DATA)", begin: func(f *http2.Framer) { openFrame(f, 1, false) }, step: func(f *http2.Framer, _ int) {
		f.WriteDataPadded(1, false, nil, []byte{0})
	}, most: 2000, started: 1},
	{cve: "CVE-2023-44487 (rapid reset)", step: func(f *http2.Framer, i int) {
		openFrame(f, uint32(2*i+1), false)
		f.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
	}, most: 50_000, started: 50_000},
	{cve: "CVE-2023-45288 (CONTINUATION)", begin: func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request})
	}, step: func(f *http2.Framer, _ int) { f.WriteContinuation(1, false, indexed) }, most: 8},
	{cve: "CVE-2023-45288 (small CONTINUATION)", begin: func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request})
	}, step: func(f *http2.Framer, _ int) { f.WriteContinuation(1, false, []byte{0x82}) }, most: 1024},
}

// nameless are literal fields without a name and without a value.
var nameless = make([]byte, 3*5000)

// indexed is a frame full of references to the static table: each byte is a field.
var indexed = bytes.Repeat([]byte{0x82}, 16<<10)

// cpu is what this process has used so far.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heap is what lives.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what was pooled goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cost is what a client has made a server do.
type cost struct {
	steps int           // until the connection was ended, or all of them
	bytes int           // of them
	cpu   time.Duration // the client's own part included
	grown int64         // bytes of the heap, at most
	code  http2.ErrCode
	ended bool
}

// perStep is what a step costs, or, of a large one, as much of it as is as large
// as a step that is compared with.
func (c cost) perStep(like *cost) time.Duration {
	steps := max(float64(c.steps), float64(c.bytes)/float64(like.bytes)*float64(like.steps))
	return time.Duration(float64(c.cpu) / steps)
}

// seen is a connection that tells what the one who reads it is done with: all that
// was read before it comes for more.
type seen struct {
	net.Conn
	mu         sync.Mutex
	changed    *sync.Cond
	read, done int
	over       bool
}

func newSeen(nc net.Conn) *seen {
	s := &seen{Conn: nc}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *seen) Read(p []byte) (int, error) {
	s.mu.Lock()
	s.done = s.read
	s.changed.Broadcast()
	s.mu.Unlock()
	n, err := s.Conn.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read += n
	return n, err
}

func (s *seen) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.changed.Broadcast()
	return s.Conn.Close()
}

// wait returns when n bytes are done with, or nothing is read any more.
func (s *seen) wait(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.done < n && !s.over {
		s.changed.Wait()
	}
}

// launch sends up to steps steps through a pipe, whose bytes are read when they
// are written: nothing hides in a kernel.
func launch(t *testing.T, server *h2.Server, a attack, steps int) (c cost) {
	t.Helper()
	near, pipe := net.Pipe()
	far := newSeen(pipe)
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.ServeConn(far, nil)
	}()
	var ended atomic.Bool
	var reading sync.WaitGroup
	reading.Go(func() {
		framer := http2.NewFramer(io.Discard, near)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				ended.Store(true)
				return
			}
			if f, ok := frame.(*http2.GoAwayFrame); ok {
				c.code = f.ErrCode
				ended.Store(true)
			}
		}
	})
	begin := append([]byte(http2.ClientPreface), frames(func(f *http2.Framer) {
		f.WriteSettings()
		if a.begin != nil {
			a.begin(f)
		}
	})...)
	near.Write(begin)
	const batches = 8
	before := heap()
	for c.steps < steps && !ended.Load() {
		n := min(max(1, min(steps, a.most)/batches), steps-c.steps)
		sent := frames(func(f *http2.Framer) {
			for i := range n {
				a.step(f, c.steps+i)
			}
		})
		start := cpu(t)
		_, err := near.Write(sent)
		far.wait(len(begin) + c.bytes + len(sent))
		c.cpu += cpu(t) - start
		if err != nil {
			break
		}
		c.steps, c.bytes = c.steps+n, c.bytes+len(sent)
		if now := heap(); now > before {
			c.grown = max(c.grown, int64(now-before))
		}
	}
	c.ended = ended.Load()
	near.Close()
	<-served
	reading.Wait()
	return c
}

// Each known attack ends its connection soon, and until then has cost little more
// than what it sends: few handlers, no memory to speak of, and no more CPU than a
// few honest calls of that size.
func TestAttacksAreCheap(t *testing.T) {
	const (
		streams   = 100
		dearest   = 5 // times an honest call
		mostGrown = 8 << 20
	)
	answer := message(1000)
	honest := attack{step: func(f *http2.Framer, i int) { openFrame(f, uint32(2*i+1), true) }, most: 20_000}
	server := h2.NewServer(h2.ServerConfig{Handle: func(s *h2.Stream) {
		_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, false)
		_ = s.Write(t.Context(), answer, true)
	}})
	launch(t, server, honest, 1000) // what is slow once
	baseline := launch(t, server, honest, 10_000)
	server.Close()
	if baseline.ended {
		t.Fatalf("honest calls were ended with %v after %d", baseline.code, baseline.steps)
	}
	for _, a := range attacks {
		t.Run(a.cve, func(t *testing.T) {
			var handler blocked
			var started atomic.Int64
			server := h2.NewServer(h2.ServerConfig{Limits: h2.Limits{Streams: streams}, Handle: func(s *h2.Stream) {
				started.Add(1)
				handler.handle(s)
			}})
			defer server.Close()
			c := launch(t, server, a, 4*a.most)
			perStep, honest := c.perStep(&baseline), baseline.perStep(&baseline)
			t.Logf("%d steps, %v each (an honest call: %v), %d KiB grown, %d handlers, %d at once",
				c.steps, perStep, honest, c.grown>>10, started.Load(), handler.most.Load())
			if !a.endless && (!c.ended || c.code != http2.ErrCodeEnhanceYourCalm) {
				t.Errorf("ended %v, %v", c.ended, c.code)
			}
			// One batch more may be written before the end is read.
			if most := 2*a.most + a.most/4 + 2; c.steps > most && !a.endless {
				t.Errorf("%d steps were taken, want %d at most", c.steps, most)
			}
			if perStep > dearest*honest {
				t.Errorf("%v of CPU a step, an honest call costs %v", perStep, honest)
			}
			if c.grown > mostGrown {
				t.Errorf("the heap grew by %d KiB", c.grown>>10)
			}
			if n := started.Load(); n > 2*a.started+a.started/4 {
				t.Errorf("%d handlers began", n)
			}
			if n := handler.most.Load(); n > 2*streams {
				t.Errorf("%d handlers at once", n)
			}
		})
	}
}

// CVE-2019-9517: a client opens all windows, asks for much, and does not read from
// its socket. What waits for it is bounded by connection, however many answers
// there are.
func TestAnswersWithoutAReader(t *testing.T) {
	const streams, size, most = 1000, 1 << 20, 4 << 20
	answer := message(size)
	var writing atomic.Int64
	_, addr := serve(t, h2.ServerConfig{Handle: func(s *h2.Stream) {
		writing.Add(1)
		_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, false)
		_ = s.Write(t.Context(), answer, true)
	}})
	before, held := heap(), bytesOut()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.Write([]byte(http2.ClientPreface))
	nc.Write(frames(func(f *http2.Framer) {
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		f.WriteWindowUpdate(0, 1<<31-1-65535)
		for i := range streams {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block(faultwire.GRPCRequest("/a/B")), EndStream: true, EndHeaders: true})
		}
	}))
	eventually(t, "all are asked for", func() bool { return writing.Load() == streams })
	grown := int64(heap()) - int64(before)
	t.Logf("%d KiB for %d answers of %d KiB", grown>>10, streams, size>>10)
	// A goroutine for each stream is most of it.
	if grown > most+streams*(10<<10) || bytesOut()-held > most {
		t.Errorf("%d KiB of heap and %d KiB of buffers are held for a client that does not read", grown>>10, (bytesOut()-held)>>10)
	}
	// Its turn comes when it reads after all.
	got := 0
	for got < streams*size {
		nc.SetReadDeadline(time.Now().Add(patience))
		head := make([]byte, 9)
		if _, err := io.ReadFull(nc, head); err != nil {
			t.Fatalf("after %d MiB: %v", got>>20, err)
		}
		n := int64(binary.BigEndian.Uint32(head) >> 8)
		if _, err := io.CopyN(io.Discard, nc, n); err != nil {
			t.Fatal(err)
		}
		if http2.FrameType(head[3]) == http2.FrameData {
			got += int(n)
		}
	}
}
