// Package upstream is a fake Qdrant on raw frames: it announces what a real one
// announces, answers every unary call with a message of one size, at once or
// after a delay, and takes about three microseconds for it.
package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/bench/internal/wire"
)

// What a real Qdrant 1.18.3 announces.
const (
	window        = 1 << 20
	maxHeaderList = 16384
)

// Server answers calls. Its fields must not change once it serves.
type Server struct {
	// Answer is the size of an answer in bytes, with its five-byte prefix.
	Answer int
	// Delay is the time between the end of a request and its answer.
	Delay time.Duration

	calls atomic.Int64
	bytes atomic.Int64
}

// Counts returns the calls that were answered with OK, and the bytes of their
// requests.
func (s *Server) Counts() (calls, bytes int64) { return s.calls.Load(), s.bytes.Load() }

// Serve answers on the listener's connections until ctx ends, and returns when
// all of them are closed.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	if s.Answer < wire.PrefixSize {
		return errors.New("upstream: an answer has five bytes at least")
	}
	answer := wire.Frame(make([]byte, s.Answer-wire.PrefixSize))
	stop := context.AfterFunc(ctx, func() { lis.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := lis.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		wg.Go(func() {
			c := newConn(s, answer)
			c.serve(ctx, nc)
		})
	}
}

// conn is one connection of a proxy.
type conn struct {
	server *Server
	answer []byte
	wire   *wire.Conn
	// The blocks of an answer; and of one to a request that was not a whole message.
	headers, trailers, bad *wire.Block

	posted bool // the block at hand has :method POST
	path   bool // and a path
	last   uint32

	// later are the answers that wait for their time, the oldest first.
	later []due
	timer *time.Timer
}

type due struct {
	at time.Time
	id uint32
}

func newConn(s *Server, answer []byte) *conn {
	field := func(name, value string) hpack.HeaderField { return hpack.HeaderField{Name: name, Value: value} }
	status, kind := field(":status", "200"), field("content-type", "application/grpc")
	date := field("date", time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05")+" GMT")
	return &conn{
		server: s, answer: answer,
		headers:  wire.NewBlock(status, kind, date),
		trailers: wire.NewBlock(field("grpc-status", "0")),
		bad:      wire.NewBlock(status, kind, field("grpc-status", "13"), field("grpc-message", "Unexpected EOF decoding stream."), date),
	}
}

func (c *conn) serve(ctx context.Context, nc net.Conn) {
	w, err := wire.New(nc, wire.Config{
		Server: true, StreamWindow: window, ConnWindow: window,
		Settings: []http2.Setting{
			{ID: http2.SettingMaxFrameSize, Val: 16384},
			{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList},
		},
	}, c)
	if err != nil {
		nc.Close()
		return
	}
	c.wire = w
	stop := context.AfterFunc(ctx, w.Shutdown)
	defer stop()
	_ = w.Serve() // a broken connection of a proxy is the load's to notice
	w.Lock()
	defer w.Unlock()
	c.later = nil
	if c.timer != nil {
		c.timer.Stop()
	}
}

// Field implements wire.Handler.
func (c *conn) Field(f hpack.HeaderField) {
	switch f.Name {
	case ":method":
		c.posted = f.Value == "POST"
	case ":path":
		c.path = f.Value != ""
	}
}

// Headers implements wire.Handler.
func (c *conn) Headers(id uint32, end bool) {
	valid := c.posted && c.path
	c.posted, c.path = false, false
	if id <= c.last {
		// Trailers of a request.
		if s := c.wire.Stream(id); s != nil && end {
			c.ended(s)
		}
		return
	}
	c.last = id
	s := c.wire.Open(id)
	s.OK = valid
	if end {
		c.ended(s)
	}
}

// Data implements wire.Handler.
func (c *conn) Data(s *wire.Stream, end bool) {
	if end {
		c.ended(s)
	}
}

// Sent implements wire.Handler.
func (c *conn) Sent(s *wire.Stream) { c.wire.Close(s) }

// Reset implements wire.Handler.
func (c *conn) Reset(id uint32, _ http2.ErrCode) {
	if s := c.wire.Stream(id); s != nil {
		c.wire.Close(s)
	}
}

// ended answers a request that is complete, now or at its time.
func (c *conn) ended(s *wire.Stream) {
	switch {
	case !s.OK || !s.In.Whole():
		c.wire.Reject(s, c.bad)
		c.wire.Close(s)
	case c.server.Delay == 0:
		c.reply(s)
	default:
		c.later = append(c.later, due{time.Now().Add(c.server.Delay), s.ID})
		if len(c.later) > 1 {
			return // the timer runs for an older one
		}
		if c.timer == nil {
			c.timer = time.AfterFunc(c.server.Delay, c.fire)
		} else {
			c.timer.Reset(c.server.Delay)
		}
	}
}

func (c *conn) reply(s *wire.Stream) {
	c.server.calls.Add(1)
	c.server.bytes.Add(int64(s.In.Bytes))
	c.wire.Send(s, c.headers, c.answer, c.trailers)
}

// fire answers all calls whose time has come.
func (c *conn) fire() {
	c.wire.Lock()
	defer c.wire.Unlock()
	now := time.Now()
	n := 0
	for ; n < len(c.later) && !c.later[n].at.After(now); n++ {
		if s := c.wire.Stream(c.later[n].id); s != nil {
			c.reply(s)
		}
	}
	c.later = append(c.later[:0], c.later[n:]...)
	c.wire.Flush()
	if len(c.later) > 0 {
		c.timer.Reset(c.later[0].at.Sub(now))
	}
}
