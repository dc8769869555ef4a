package faultwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// ErrConnLost is wrapped by what streams return once their connection is gone.
// The reason is in the text, and as an error in [Closed].
var ErrConnLost = errors.New("faultwire: connection lost")

// lostError does not wrap its reason: io.EOF for one must not be taken for the
// end of a stream.
func lostError(reason error) error { return fmt.Errorf("%w: %s", ErrConnLost, reason.Error()) }

// QdrantSettings are the SETTINGS that Qdrant 1.18.3 announces; both ends use
// them unless told otherwise.
func QdrantSettings() []http2.Setting {
	return []http2.Setting{
		{ID: http2.SettingInitialWindowSize, Val: 1 << 20},
		{ID: http2.SettingMaxFrameSize, Val: 1 << 14},
		{ID: http2.SettingMaxHeaderListSize, Val: 1 << 14},
	}
}

// Conn is one HTTP/2 connection, of a [Server] or from [Dial]. All methods may
// be called from any goroutine; [Conn.Next] by one at a time.
type Conn struct {
	tcp      *net.TCPConn
	accepted bool // this end is the server
	greeting []http2.Setting
	tally    *tally
	onStream func(*Stream) // set on the server's end; must not block

	out     *outbox
	in      *http2.Framer
	decoder *hpack.Decoder
	events  *inbox[ConnEvent]

	// mu is never held while using out: out's lock is the outer one, because
	// Open takes mu inside put to give out identifiers in the order of the wire.
	mu           sync.Mutex
	streams      map[uint32]*Stream
	lastID       uint32 // highest stream the client opened
	sendable     sendWindows
	receivable   receiveWindow
	streamWindow int64         // of a new stream, as we announced it
	stallStreams bool          // new streams begin stalled
	gate         chan struct{} // not nil while stalled; closed by Resume
	unhook       func() bool   // detaches the dialer's context; nil on the server's end
	acked        bool          // the peer has applied our settings
	begun        uint32        // highest stream that began; see Begin
	left         bool          // Leave has said that streams above begun come to nothing
	lost         error         // why the connection ended; nil while it lives

	done    chan struct{} // closed with lost
	running sync.WaitGroup
}

func newConn(tcp *net.TCPConn, accepted bool, settings []http2.Setting) *Conn {
	c := &Conn{
		tcp:          tcp,
		accepted:     accepted,
		greeting:     settings,
		tally:        &tally{},
		out:          newOutbox(),
		in:           http2.NewFramer(nil, tcp),
		decoder:      hpack.NewDecoder(4096, nil),
		events:       newInbox[ConnEvent](),
		streams:      make(map[uint32]*Stream),
		sendable:     sendWindows{conn: defaultWindow, initial: defaultWindow, maxFrame: 1 << 14, changed: make(chan struct{})},
		receivable:   newReceiveWindow(connectionWindow),
		streamWindow: defaultWindow,
		done:         make(chan struct{}),
	}
	maxFrame := uint32(1 << 14)
	for _, s := range settings {
		switch s.ID {
		case http2.SettingInitialWindowSize:
			c.streamWindow = int64(s.Val)
		case http2.SettingMaxFrameSize:
			maxFrame = s.Val
		case http2.SettingHeaderTableSize:
			c.decoder.SetAllowedMaxDynamicTableSize(s.Val)
		}
	}
	c.in.SetMaxReadFrameSize(maxFrame)
	return c
}

// Dial opens a connection to addr, and sends the preface and settings
// ([QdrantSettings] when none are given). It does not wait for the peer's
// SETTINGS. The connection ends with ctx, which so bounds everything done on it.
func Dial(ctx context.Context, addr string, settings ...http2.Setting) (*Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("faultwire: %w", err)
	}
	if len(settings) == 0 {
		settings = QdrantSettings()
	}
	c := newConn(conn.(*net.TCPConn), false, settings)
	c.start()
	stop := context.AfterFunc(ctx, func() { c.finish(context.Cause(ctx)) })
	c.mu.Lock()
	c.unhook = stop
	c.mu.Unlock()
	return c, nil
}

// start queues this end's greeting and begins to read and write.
func (c *Conn) start() {
	// A failed write does not end the connection: the reader meets the same
	// end, behind the bytes that arrived before it.
	c.running.Go(func() { c.out.run(c.tcp) })
	// put fails only when the connection has ended, which the reader finds too.
	c.out.put(func() error { //nolint:errcheck // see above
		if !c.accepted {
			c.out.buf.WriteString(http2.ClientPreface)
		}
		if err := c.out.framer.WriteSettings(c.greeting...); err != nil {
			return err
		}
		return c.out.framer.WriteWindowUpdate(0, connectionWindow-defaultWindow)
	})
	c.running.Go(func() { c.finish(c.read()) })
}

// finish ends the connection once; later reasons are dropped.
func (c *Conn) finish(reason error) {
	c.mu.Lock()
	if c.lost != nil {
		c.mu.Unlock()
		return
	}
	c.lost = reason
	unhook := c.unhook
	streams := c.streams
	c.streams = nil
	for _, s := range streams {
		s.dead = true
	}
	c.sendable.broadcast()
	close(c.done)
	c.mu.Unlock()

	c.out.fail(lostError(reason))
	c.tcp.Close()
	for _, s := range streams {
		s.over(lostError(reason))
	}
	c.events.put(Closed{At: time.Now(), Err: reason})
	c.events.close(io.EOF)
	if unhook != nil {
		unhook()
	}
}

// Next returns the next event of the connection. After [Closed] it returns
// io.EOF.
func (c *Conn) Next(ctx context.Context) (ConnEvent, error) { return c.events.take(ctx) }

// Done is closed when the connection has ended, whoever ended it.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Close ends the connection and waits for its goroutines. The kernel turns the
// FIN into an RST when bytes of the peer are still unread; [Conn.CloseWrite]
// is the end that is orderly for certain.
func (c *Conn) Close() {
	c.finish(net.ErrClosed)
	c.running.Wait()
}

// CloseWrite sends FIN behind everything sent so far and keeps reading until
// the peer closes too.
func (c *Conn) CloseWrite() error { return c.tcp.CloseWrite() }

// Abort ends the connection with a TCP RST.
func (c *Conn) Abort() {
	c.tcp.SetLinger(0) //nolint:errcheck // fails only on a connection that is already over
	c.Close()
}

// Ping sends a PING; the answer is a [PingAck] event.
func (c *Conn) Ping(data [8]byte) error {
	return c.out.send(func() error { return c.out.framer.WritePing(false, data) })
}

// GoAway sends a GOAWAY and changes nothing else: streams go on and new ones
// are accepted, as a lying peer's would be.
func (c *Conn) GoAway(lastStreamID uint32, code http2.ErrCode, debug string) error {
	return c.out.send(func() error { return c.out.framer.WriteGoAway(lastStreamID, code, []byte(debug)) })
}

// SendSettings sends another SETTINGS frame. What it says is not enforced on
// the peer; only the settings of the greeting are.
func (c *Conn) SendSettings(settings ...http2.Setting) error {
	return c.out.send(func() error { return c.out.framer.WriteSettings(settings...) })
}

// SendRaw writes bytes as they are between two frames.
func (c *Conn) SendRaw(b []byte) error {
	return c.out.send(func() error {
		c.out.buf.Write(b)
		return nil
	})
}

// LastStreamID is the highest stream that the client has opened, 0 for none;
// what an honest GOAWAY of the server names.
func (c *Conn) LastStreamID() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastID
}

// Stall stops reading from the socket: no acknowledgements, no window updates,
// until [Conn.Resume]. Frames of the peer wait in the kernel.
func (c *Conn) Stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate == nil {
		c.gate = make(chan struct{})
	}
}

// Resume undoes [Conn.Stall].
func (c *Conn) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate != nil {
		close(c.gate)
		c.gate = nil
	}
}

// Open sends HEADERS on the client's next stream.
func (c *Conn) Open(fields Fields, endStream bool) (*Stream, error) {
	s := newStream(c)
	err := c.out.send(func() error {
		c.mu.Lock()
		if c.lost != nil {
			c.mu.Unlock()
			return lostError(c.lost)
		}
		c.lastID += 1 + c.lastID%2 // 1, 3, 5, …
		s.ID = c.lastID
		s.Request = Headers{At: time.Now(), Fields: fields, EndStream: endStream}
		s.localEnd = endStream
		c.register(s)
		c.mu.Unlock()
		return c.out.headers(s.ID, fields, endStream, 1<<14)
	})
	if err != nil {
		s.over(err)
		return nil, err
	}
	return s, nil
}

// register puts a stream that was just opened on the books. Call it with mu
// held.
func (c *Conn) register(s *Stream) {
	s.sendable = c.sendable.initial
	s.receivable = newReceiveWindow(c.streamWindow)
	if !c.acked {
		// Until the peer has applied our settings it goes by the default.
		s.receivable.slack = max(0, defaultWindow-c.streamWindow)
	}
	s.stalled = c.stallStreams
	c.streams[s.ID] = s
}
