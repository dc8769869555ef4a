package h2_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/h2"
)

// leakCalls is how many calls TestNothingIsLeft makes.
func leakCalls() int {
	switch {
	case testing.Short():
		return 2000
	case underRace:
		return 10_000
	default:
		return 100_000
	}
}

// hop is a client's way to the next server: a connection, and another one when
// that is down.
type hop struct {
	addr  string
	mu    sync.Mutex
	conn  *h2.ClientConn
	olds  []*h2.ClientConn
	dials int
}

func (h *hop) connection() (*h2.ClientConn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil {
		select {
		case <-h.conn.Down():
			h.olds = append(h.olds, h.conn)
			h.conn = nil
		default:
			return h.conn, nil
		}
	}
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h.dials++
	h.conn, err = h2.NewClientConn(ctx, nc, h2.Limits{})
	return h.conn, err
}

func (h *hop) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, conn := range append(h.olds, h.conn) {
		if conn != nil {
			conn.Close()
		}
	}
}

// moody is an upstream that answers most calls, and leaves some in every way
// there is.
func moody(s *h2.Stream) {
	switch rand.IntN(20) {
	case 0: // without an answer: it is reset
	case 1: // an answer, and no interest in the request
		_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, true)
	case 2: // half an answer
		_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, false)
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = s.Write(ctx, message(5000), false)
	case 3: // late
		over := make(chan struct{})
		s.OnEnd(func(error) { close(over) })
		pause := time.NewTimer(rand.N(5 * time.Millisecond))
		defer pause.Stop()
		select {
		case <-pause.C:
			echo(s)
		case <-over:
		}
	case 4, 5, 6, 7, 8: // stored whole
		over, cancel := context.WithCancel(context.Background())
		defer cancel()
		s.OnEnd(func(error) { cancel() })
		data, whole, err := s.ReadWhole(over, 1<<20)
		defer func() { data.Free() }()
		if err == nil && whole {
			_ = s.Respond(over, h2.Fields{h2.Field(":status", "200")}, data, h2.Fields{h2.Field("grpc-status", "0")})
		}
	default:
		echo(s)
	}
}

// forward is a proxy's handler: bytes go on as they come, both ways.
func forward(next *hop) func(*h2.Stream) {
	return func(from *h2.Stream) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		from.OnEnd(func(error) { cancel() })
		header, _, _ := from.Header(ctx)
		conn, err := next.connection()
		if err != nil {
			return
		}
		to, err := conn.Open(header, nil, false)
		if err != nil {
			return
		}
		var sending sync.WaitGroup
		defer sending.Wait()
		defer cancel()
		to.Share()
		defer to.Close()
		sending.Go(func() { _ = pour(ctx, to, from) })
		answer, ended, err := to.Header(ctx)
		if err == nil && from.WriteHeader(nil, answer, ended) == nil && !ended {
			_ = pour(ctx, from, to)
		}
	}
}

// pour copies what is left of a stream to another one.
func pour(ctx context.Context, to, from *h2.Stream) error {
	for {
		data, err := from.Read(ctx)
		if err == io.EOF { // a connection's end is none of the stream
			return to.Write(ctx, nil, true)
		}
		if err != nil {
			return err
		}
		err = to.Write(ctx, data, false)
		data.Free()
		if err != nil {
			return err
		}
	}
}

// tallied counts how calls ended.
type tallied struct{ whole, other, cancelled, failed, wrong atomic.Int64 }

// call makes one call and leaves it at some time.
func (c *tallied) call(next *hop) {
	conn, err := next.connection()
	if err != nil {
		c.failed.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if rand.IntN(3) == 0 {
		defer time.AfterFunc(rand.N(2*time.Millisecond), cancel).Stop()
	}
	size := rand.IntN(4 << 10)
	switch rand.IntN(500) {
	case 0:
		size = rand.IntN(3 << 20)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9:
		size = rand.IntN(100 << 10)
	}
	body := message(size)
	got, err := exchange(ctx, conn, body)
	switch {
	case err == nil && bytes.Equal(got, body[0].ReadOnlyData()):
		c.whole.Add(1)
	case err == nil && len(got) == 0:
		c.other.Add(1)
	case err == nil:
		c.wrong.Add(1)
	case errors.Is(err, context.Canceled):
		c.cancelled.Add(1)
	default:
		c.failed.Add(1)
	}
}

// exchange makes a call in one go, or writes and reads at the same time.
func exchange(ctx context.Context, conn *h2.ClientConn, body mem.BufferSlice) ([]byte, error) {
	if rand.IntN(2) == 0 {
		s, answer, err := called(ctx, conn, nil, body, 1<<20)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		got := answer.Body.Materialize()
		answer.Body.Free()
		if answer.Whole {
			return got, nil
		}
		rest, err := received(ctx, s)
		return append(got, rest...), err
	}
	s, err := conn.Open(front, nil, false)
	if err != nil {
		return nil, err
	}
	s.Share()
	defer s.Close()
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	sending.Go(func() { _ = s.Write(ctx, body, true) })
	return received(ctx, s)
}

// TestNothingIsLeft makes calls from client to proxy to upstream, all of them
// the engine, over connections that break at any byte, with callers that cancel
// and an upstream that resets. Afterwards every buffer, goroutine and stream is
// gone, and the windows of the connections that live are open again.
func TestNothingIsLeft(t *testing.T) {
	const workers = 64
	before, routines := buffersOut(), runtime.NumGoroutine()
	budget := func() int64 { return 1 + rand.Int64N(1<<(10+rand.IntN(16))) } // up to 32 MiB
	t.Run("calls", func(t *testing.T) {
		limits := h2.Limits{Streams: 2 * workers}
		_, upstream := serve(t, h2.ServerConfig{Handle: moody, Limits: limits})
		behind := newRelay(t, upstream, budget)
		next := &hop{addr: behind.addr()}
		_, proxy := serve(t, h2.ServerConfig{Handle: forward(next), Limits: limits})
		t.Cleanup(next.close)
		inFront := newRelay(t, proxy, budget)
		var counts tallied
		hops := []*hop{{addr: inFront.addr()}, {addr: inFront.addr()}, {addr: inFront.addr()}}
		for _, h := range hops {
			t.Cleanup(h.close)
		}
		var left atomic.Int64
		left.Store(int64(leakCalls()))
		var calls sync.WaitGroup
		for i := range workers {
			calls.Go(func() {
				for left.Add(-1) >= 0 {
					counts.call(hops[i%len(hops)])
				}
			})
		}
		calls.Wait()
		inFront.calm.Store(true)
		behind.calm.Store(true)
		t.Logf("%d whole, %d answered otherwise, %d cancelled, %d failed; %d and %d connections broken",
			counts.whole.Load(), counts.other.Load(), counts.cancelled.Load(), counts.failed.Load(), inFront.broken.Load(), behind.broken.Load())
		if n := counts.wrong.Load(); n > 0 {
			t.Errorf("%d answers were not what was asked", n)
		}
		if min(counts.whole.Load(), counts.cancelled.Load(), counts.failed.Load(), inFront.broken.Load(), behind.broken.Load()) == 0 {
			t.Error("something did not happen: this tests little")
		}
		settled(t, before, inFront, behind)
		// The places of all streams are free: as many calls fit as at first.
		// What hangs on the proxy hangs on the upstream, too, so that comes first.
		for _, h := range append([]*hop{next}, hops...) {
			fits(t, h, 2*workers)
		}
	})
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= routines })
	if n := buffersOut() - before; n != 0 {
		t.Errorf("%d buffers are left", n)
	}
}

// settled waits until no buffer is held, and all windows are open, although
// the connections live.
func settled(t *testing.T, before int64, relays ...*relay) {
	t.Helper()
	eventually(t, "buffers come back and windows open", func() bool {
		if buffersOut() != before {
			return false
		}
		for _, r := range relays {
			if !r.open() {
				return false
			}
		}
		return true
	})
}

// fits opens as many streams as a connection allows. Those that were given up
// keep their places until it is their resets' turn.
func fits(t *testing.T, h *hop, n int) {
	t.Helper()
	conn, err := h.connection()
	if err != nil {
		t.Error(err)
		return
	}
	var opened []*h2.Stream
	eventually(t, "all places are free", func() bool {
		s, err := conn.Open(front, nil, false)
		if err == nil {
			opened = append(opened, s)
		}
		return len(opened) == n
	})
	for _, s := range opened {
		s.Close()
	}
}
