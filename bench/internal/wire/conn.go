package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Errors of a connection whose peer, or whose socket, is not what it must be.
var (
	errNoSocket = errors.New("wire: the connection is not a socket")
	errPreface  = errors.New("wire: the peer does not begin with HTTP/2's preface")
	errFlow     = errors.New("wire: the peer sent more than its flow-control window")
	errGoAway   = errors.New("wire: the peer ends the connection")
	errHeaders  = errors.New("wire: malformed header block")
)

const (
	readBuffer = 64 << 10
	// initialWindow is HTTP/2's before any SETTINGS.
	initialWindow = 65535
	// ownMaxFrame is the most that the peer may put in a frame: the default.
	ownMaxFrame = 16384
)

// Handler is what an end does with what comes in. Every method is called with
// the lock held.
type Handler interface {
	// Field takes the next field of the block that Headers ends.
	Field(f hpack.HeaderField)
	// Headers is a whole header block. The stream need not be open.
	Headers(id uint32, end bool)
	// Data is called after the stream's In took the bytes.
	Data(s *Stream, end bool)
	// Sent is called when the last byte of a Send was queued.
	Sent(s *Stream)
	// Reset is a RST_STREAM.
	Reset(id uint32, code http2.ErrCode)
}

// Config is what an end announces.
type Config struct {
	// Server: the other side begins.
	Server bool
	// StreamWindow and ConnWindow are the flow-control windows, in bytes.
	StreamWindow, ConnWindow int
	// Settings are announced beside the window.
	Settings []http2.Setting
}

// Conn is one end of a connection. Hold its lock to send.
type Conn struct {
	conf    Config
	handler Handler
	nc      net.Conn
	in      *bufio.Reader
	framer  *http2.Framer // its reading half is Serve's, its writing half the lock's
	fields  *hpack.Decoder
	ready   chan struct{}

	mu      sync.Mutex
	out     *outbox
	encoder *encoder
	streams map[uint32]*Stream
	free    []*Stream
	blocked []*Stream
	// What the peer takes.
	window      int64
	initial     int64
	maxFrame    int
	maxStreams  uint32
	unacked     int // received on the connection and not yet given back
	haveHeaders uint32
	headersEnd  bool
	greeted     bool
	failed      error
}

// New makes an end of nc, which must be a socket. Serve starts it.
func New(nc net.Conn, conf Config, handler Handler) (*Conn, error) {
	out, err := newOutbox(nc)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		conf: conf, handler: handler, nc: nc, out: out,
		encoder: newEncoder(), streams: map[uint32]*Stream{}, ready: make(chan struct{}),
		window: initialWindow, initial: initialWindow, maxFrame: ownMaxFrame, maxStreams: 1 << 31,
	}
	c.in = bufio.NewReaderSize(reader{c}, readBuffer)
	c.framer = http2.NewFramer(out, c.in)
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(ownMaxFrame)
	c.fields = hpack.NewDecoder(defaultTable, handler.Field)
	return c, nil
}

// reader writes what is gathered before it may block for more.
type reader struct{ c *Conn }

func (r reader) Read(p []byte) (int, error) {
	r.c.mu.Lock()
	r.c.out.flush()
	r.c.mu.Unlock()
	return r.c.nc.Read(p)
}

// Lock begins sending.
func (c *Conn) Lock() { c.mu.Lock() }

// Unlock ends sending. What was sent is written when the reader has nothing
// left to read; call Flush first when nobody else would.
func (c *Conn) Unlock() { c.mu.Unlock() }

// Flush writes what is gathered. Lock is held.
func (c *Conn) Flush() { c.out.flush() }

// Ready is closed when the peer's SETTINGS are known.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

// MaxStreams is how many streams the peer allows at once. Lock is held.
func (c *Conn) MaxStreams() int { return int(c.maxStreams) }

// Shutdown ends the connection, and with it Serve.
func (c *Conn) Shutdown() { c.nc.Close() }

// Serve greets the peer and handles what it sends, until the connection ends.
// The error is nil when the peer closed it in order.
func (c *Conn) Serve() error {
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		c.out.write(&c.mu)
	}()
	err := c.serve()
	c.nc.Close()
	c.mu.Lock()
	c.out.failed = net.ErrClosed
	close(c.out.wake)
	c.mu.Unlock()
	<-writer
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (c *Conn) serve() error {
	if err := c.greet(); err != nil {
		return err
	}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		c.mu.Lock()
		err = c.handle(f)
		if err == nil {
			err = c.failed
		}
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (c *Conn) greet() error {
	if c.conf.Server {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.in, preface); err != nil {
			return err
		}
		if string(preface) != http2.ClientPreface {
			return errPreface
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.conf.Server {
		_, err := c.out.Write([]byte(http2.ClientPreface))
		c.check(err)
	}
	settings := append([]http2.Setting{
		{ID: http2.SettingInitialWindowSize, Val: uint32(c.conf.StreamWindow)},
	}, c.conf.Settings...)
	c.check(c.framer.WriteSettings(settings...))
	if more := c.conf.ConnWindow - initialWindow; more > 0 {
		c.check(c.framer.WriteWindowUpdate(0, uint32(more)))
	}
	return c.failed
}

// check keeps the first error of writing; the reader ends with it.
func (c *Conn) check(err error) {
	if err != nil && c.failed == nil {
		c.failed = err
	}
}

func (c *Conn) headers(id uint32, b *Block, end bool) {
	c.check(c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: c.encoder.encode(b), EndStream: end, EndHeaders: true,
	}))
}

func (c *Conn) handle(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.DataFrame:
		return c.data(f)
	case *http2.HeadersFrame:
		c.haveHeaders, c.headersEnd = f.StreamID, f.StreamEnded()
		return c.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.ContinuationFrame:
		return c.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.WindowUpdateFrame:
		c.widen(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			c.check(c.framer.WritePing(true, f.Data))
		}
	case *http2.RSTStreamFrame:
		c.handler.Reset(f.StreamID, f.ErrCode)
	case *http2.GoAwayFrame:
		if c.conf.Server {
			return nil // the client may finish its calls; it closes
		}
		return fmt.Errorf("%w: %v %q", errGoAway, f.ErrCode, f.DebugData())
	}
	return nil
}

func (c *Conn) fragment(p []byte, end bool) error {
	if _, err := c.fields.Write(p); err != nil {
		return fmt.Errorf("%w: %w", errHeaders, err)
	}
	if !end {
		return nil
	}
	if err := c.fields.Close(); err != nil {
		return fmt.Errorf("%w: %w", errHeaders, err)
	}
	c.handler.Headers(c.haveHeaders, c.headersEnd)
	return nil
}

func (c *Conn) data(f *http2.DataFrame) error {
	n := int(f.Length) // padding counts
	if c.unacked += n; c.unacked > max(c.conf.ConnWindow, initialWindow) {
		return errFlow
	}
	if c.unacked*2 >= c.conf.ConnWindow {
		c.check(c.framer.WriteWindowUpdate(0, uint32(c.unacked)))
		c.unacked = 0
	}
	s := c.streams[f.StreamID]
	if s == nil {
		return nil // closed here, still coming in
	}
	s.In.Feed(f.Data())
	if s.unacked += n; s.unacked > c.conf.StreamWindow {
		return errFlow
	}
	if s.unacked*2 >= c.conf.StreamWindow && !f.StreamEnded() {
		c.check(c.framer.WriteWindowUpdate(s.ID, uint32(s.unacked)))
		s.unacked = 0
	}
	c.handler.Data(s, f.StreamEnded())
	return nil
}

func (c *Conn) widen(f *http2.WindowUpdateFrame) {
	if f.StreamID == 0 {
		c.window += int64(f.Increment)
	} else if s := c.streams[f.StreamID]; s != nil {
		s.window += int64(f.Increment)
	}
	if len(c.blocked) > 0 {
		c.unblock()
	}
}

func (c *Conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingInitialWindowSize:
			for _, stream := range c.streams {
				stream.window += int64(s.Val) - c.initial
			}
			c.initial = int64(s.Val)
		case http2.SettingMaxFrameSize:
			// Larger frames would save the ends work that a proxy may not be spared.
			c.maxFrame = min(int(s.Val), ownMaxFrame)
		case http2.SettingHeaderTableSize:
			c.encoder.resize(s.Val)
		case http2.SettingMaxConcurrentStreams:
			c.maxStreams = s.Val
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.check(c.framer.WriteSettingsAck())
	if !c.greeted {
		c.greeted = true
		close(c.ready)
	}
	c.unblock()
	return nil
}
