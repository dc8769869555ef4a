package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMessage(t *testing.T) {
	t.Parallel()
	two := append(Frame([]byte("abc")), Frame(nil)...)
	tests := []struct {
		name  string
		in    []byte
		count int
		whole bool
	}{
		{"nothing", nil, 0, false},
		{"empty message", Frame(nil), 1, true},
		{"message", Frame([]byte("abc")), 1, true},
		{"half a prefix", two[:3], 0, false},
		{"half a message", two[:7], 1, false},
		{"two messages", two, 2, false},
	}
	for _, tt := range tests {
		for step := 1; step <= max(len(tt.in), 1); step++ {
			var m Message
			for p := tt.in; len(p) > 0; p = p[min(step, len(p)):] {
				m.Feed(p[:min(step, len(p))])
			}
			if m.Count != tt.count || m.Whole() != tt.whole || m.Bytes != len(tt.in) {
				t.Errorf("%s by %d: count %d, whole %v, bytes %d", tt.name, step, m.Count, m.Whole(), m.Bytes)
			}
		}
	}
}

// FuzzMessage feeds the same bytes whole and in two parts.
func FuzzMessage(f *testing.F) {
	f.Add(append(Frame([]byte("abc")), 0, 0), uint8(3))
	f.Add([]byte{0, 255, 255, 255, 255, 1}, uint8(5))
	f.Fuzz(func(t *testing.T, in []byte, at uint8) {
		var whole, parts Message
		whole.Feed(in)
		cut := min(int(at), len(in))
		parts.Feed(in[:cut])
		parts.Feed(in[cut:])
		if whole.Count != parts.Count || whole.Whole() != parts.Whole() || whole.Bytes != len(in) || parts.Bytes != len(in) {
			t.Errorf("whole %+v, in parts %+v", whole, parts)
		}
	})
}

// TestBlocks sends blocks in turn and decodes all of them, so a block that is
// kept although the table has moved on shows.
func TestBlocks(t *testing.T) {
	t.Parallel()
	for _, table := range []uint32{0, 64, 4096, 1 << 20} {
		e := newEncoder()
		e.resize(table)
		a := NewBlock(hpack.HeaderField{Name: ":path", Value: "/a.B/C"}, hpack.HeaderField{Name: "x-a", Value: "1"})
		b := NewBlock(hpack.HeaderField{Name: "x-b", Value: "two"})
		var got []hpack.HeaderField
		decoder := hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = append(got, f) })
		for i, block := range []*Block{a, b, a, a, b, b, a, b, a, b, a} {
			got = nil
			if _, err := decoder.Write(e.encode(block)); err != nil {
				t.Fatalf("table %d, block %d: %v", table, i, err)
			}
			if err := decoder.Close(); err != nil {
				t.Fatal(err)
			}
			for n, f := range block.fields {
				if n >= len(got) || got[n].Name != f.Name || got[n].Value != f.Value {
					t.Fatalf("table %d, block %d: got %v, want %v", table, i, got, block.fields)
				}
			}
		}
		if !a.stable || !b.stable {
			t.Errorf("table %d: a block is encoded each time", table)
		}
	}
}

// echo is a handler that counts what was sent.
type echo struct {
	conn  *Conn
	block *Block
	sent  atomic.Int64
}

func (*echo) Field(hpack.HeaderField)     {}
func (*echo) Headers(uint32, bool)        {}
func (*echo) Data(*Stream, bool)          {}
func (*echo) Reset(uint32, http2.ErrCode) {}
func (e *echo) Sent(*Stream)              { e.sent.Add(1) }

// socketPair returns two ends of a TCP connection.
func socketPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	ours, err = new(net.Dialer).DialContext(t.Context(), "tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err = lis.Accept(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	_ = theirs.SetDeadline(deadline)
	_ = ours.SetDeadline(deadline)
	return ours, theirs
}

// client is a Conn against a scripted server.
// Serve's error comes on the channel.
func client(t *testing.T) (*echo, *http2.Framer, <-chan error) {
	t.Helper()
	ours, theirs := socketPair(t)
	e := &echo{block: NewBlock(hpack.HeaderField{Name: "x", Value: "y"})}
	c, err := New(ours, Config{StreamWindow: 1000, ConnWindow: 70_000}, e)
	if err != nil {
		t.Fatal(err)
	}
	e.conn = c
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done <- c.Serve()
	}()
	t.Cleanup(func() {
		theirs.Close()
		<-ended
	})
	framer := http2.NewFramer(theirs, theirs)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}); err != nil {
		t.Fatal(err)
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(theirs, preface); err != nil || string(preface) != http2.ClientPreface {
		t.Fatalf("preface %q, %v", preface, err)
	}
	return e, framer, done
}

// next returns the next frame of a type, past the others.
func next[F http2.Frame](t *testing.T, framer *http2.Framer) F {
	t.Helper()
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("waiting for a frame: %v", err)
		}
		if wanted, ok := f.(F); ok {
			return wanted
		}
	}
}

// TestSendingObeysWindows has a message of 100 bytes meet a window of 10, which
// opens, and shrinks below what is used, and opens again.
func TestSendingObeysWindows(t *testing.T) {
	t.Parallel()
	e, framer, _ := client(t)
	<-e.conn.Ready()
	message := bytes.Repeat([]byte("0123456789"), 10)
	e.conn.Lock()
	e.conn.Send(e.conn.Open(1), e.block, message, nil)
	e.conn.Flush()
	e.conn.Unlock()
	var got []byte
	expect := func(n int, end bool) {
		t.Helper()
		f := next[*http2.DataFrame](t, framer)
		got = append(got, f.Data()...)
		if len(f.Data()) != n || f.StreamEnded() != end {
			t.Fatalf("DATA of %d, end %v; want %d, %v", len(f.Data()), f.StreamEnded(), n, end)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect(10, false)
	must(framer.WriteWindowUpdate(1, 20))
	expect(20, false)
	// 10 to 5 makes the window -5; 15 more leave 10.
	must(framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5}))
	must(framer.WriteWindowUpdate(1, 15))
	expect(10, false)
	if n := e.sent.Load(); n != 0 {
		t.Errorf("Sent was called before the end")
	}
	must(framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1005}))
	expect(60, true)
	if !bytes.Equal(got, message) {
		t.Errorf("got %q", got)
	}
	if n := e.sent.Load(); n != 1 {
		t.Errorf("Sent was called %d times", n)
	}
}

// TestReceivingGivesBack sends what the windows allow, again and again, and
// counts what comes back; then more than allowed ends the connection.
func TestReceivingGivesBack(t *testing.T) {
	t.Parallel()
	e, framer, served := client(t)
	<-e.conn.Ready()
	e.conn.Lock()
	e.conn.Open(1)
	e.conn.Unlock()
	stream, conn := 1000, initialWindow
	for sent := 0; sent < 200_000; {
		n := min(600, stream, conn)
		if n > 0 {
			if err := framer.WriteDataPadded(1, false, make([]byte, n-100), make([]byte, 99)); err != nil {
				t.Fatal(err)
			}
			sent, stream, conn = sent+n, stream-n, conn-n
		}
		if n >= 600 {
			continue
		}
		switch f := next[*http2.WindowUpdateFrame](t, framer); f.StreamID {
		case 0:
			conn += int(f.Increment) // the greeting's too
		case 1:
			stream += int(f.Increment)
		}
	}
	if err := framer.WriteData(1, false, make([]byte, 2000)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-served:
		if !errors.Is(err, errFlow) {
			t.Errorf("a peer that exceeds its window ends the connection with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a peer that exceeds its window is not cut off")
	}
}
