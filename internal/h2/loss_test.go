package h2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// dying is a client's socket whose peer dies with an error of its own.
type dying struct {
	net.Conn
	err error
}

func (d dying) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		err = d.err
	}
	return n, err
}

// deaths are the ways in which a socket tells that its peer is gone.
var deaths = []error{io.EOF, syscall.ECONNRESET}

// greeted connects a client, in a bubble, to a peer that has dealt with its
// greeting. It takes nothing more by itself.
func greeted(t *testing.T, death error) (*h2.ClientConn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
		framer := http2.NewFramer(far, far)
		framer.ReadFrame() // SETTINGS
		framer.ReadFrame() // WINDOW_UPDATE
		framer.WriteSettings()
		framer.ReadFrame() // the acknowledgement
	}()
	conn, err := h2.NewClientConn(t.Context(), dying{near, death}, h2.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return conn, far
}

// ask begins a call with a body, on a goroutine of its own: nobody takes it yet.
func ask(t *testing.T, conn *h2.ClientConn, fields h2.Fields, body int) (s *h2.Stream, done chan error) {
	t.Helper()
	s, err := conn.Open(front, fields, body == 0)
	if err != nil {
		t.Fatal(err)
	}
	s.Share()
	done = make(chan error, 1)
	go func() {
		if body == 0 {
			done <- nil
			return
		}
		done <- s.Write(context.Background(), message(body), true)
	}()
	return s, done
}

// length is how many bytes a call's header takes on the wire.
func length(t *testing.T, fields h2.Fields) (n int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		conn, far := greeted(t, io.EOF)
		defer conn.Close()
		defer far.Close()
		s, _ := ask(t, conn, fields, 0)
		defer s.Close()
		for ended := false; !ended; {
			head := make([]byte, 9)
			io.ReadFull(far, head)
			size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
			io.ReadFull(far, make([]byte, size))
			n += len(head) + size
			ended = http2.Flags(head[4]).Has(http2.FlagHeadersEndHeaders)
		}
	})
	return n
}

// A server that dies while a request is written has done nothing with it as long
// as it has not got the whole header, to the byte.
func TestLostWhileWriting(t *testing.T) {
	const body = 100
	long := h2.Fields{h2.Field("long", strings.Repeat("Ω", 10<<10))} // two frames
	for _, test := range []struct {
		name   string
		fields h2.Fields
	}{{"short header", nil}, {"header in two frames", long}} {
		header := length(t, test.fields)
		for _, death := range deaths {
			t.Run(fmt.Sprintf("%s, %v", test.name, death), func(t *testing.T) {
				for k := 0; k <= header+9+body; k++ {
					if 50 < k && k < header-30 && k%997 > 0 {
						continue // in the middle of a long header
					}
					synctest.Test(t, func(t *testing.T) { lostWhileWriting(t, death, test.fields, body, k, k >= header) })
				}
			})
		}
	}
}

func lostWhileWriting(t *testing.T, death error, fields h2.Fields, body, k int, want bool) {
	conn, far := greeted(t, death)
	defer conn.Close()
	s, written := ask(t, conn, fields, body)
	defer s.Close()
	synctest.Wait()
	io.ReadFull(far, make([]byte, k))
	synctest.Wait()
	far.Close()
	_, _, err := s.Header(context.Background())
	lost, ok := errors.AsType[*h2.LostError](err)
	if !ok || lost.Sent != want {
		t.Errorf("after %d bytes: %v, want sent %v", k, brief(err), want)
	}
	// Whether the body is with the connection, and so is gone, or was waited with,
	// is not what counts; that a writer does not wait for ever is.
	if err := <-written; err != nil && brief(err) != brief(lost) {
		t.Errorf("after %d bytes Write says %v, Header %v", k, brief(err), brief(lost))
	}
	if _, err := conn.Open(front, nil, true); brief(err) != "lost, sent false" {
		t.Errorf("a call on a lost connection: %v", brief(err))
	}
}

// Calls that are written together are lost one by one.
func TestLostWhileWritingTwo(t *testing.T) {
	header := length(t, nil)
	for k := range 2*header + 1 {
		synctest.Test(t, func(t *testing.T) {
			conn, far := greeted(t, io.EOF)
			defer conn.Close()
			first, _ := ask(t, conn, nil, 0)
			defer first.Close()
			synctest.Wait()
			second, _ := ask(t, conn, nil, 0) // its header is shorter: the table is warm
			defer second.Close()
			io.ReadFull(far, make([]byte, min(k, header)))
			rest := make([]byte, 1<<10)
			n := 0
			if k > header {
				synctest.Wait()
				n, _ = io.ReadFull(far, rest[:1])
			}
			synctest.Wait()
			far.Close()
			for i, s := range []*h2.Stream{first, second} {
				_, _, err := s.Header(context.Background())
				want := i == 0 && k >= header // of the second only a byte was taken
				if lost, ok := errors.AsType[*h2.LostError](err); !ok || lost.Sent != want {
					t.Errorf("call %d after %d+%d bytes: %v, want sent %v", i+1, min(k, header), n, brief(err), want)
				}
			}
		})
	}
}

// reading is what a client made of an answer.
type reading struct {
	header bool
	body   []byte
	err    error // nil when the answer ended properly
}

// dies has a server say k bytes of an answer and die, and returns what was made of
// it, read as it comes, or whole.
func dies(t *testing.T, death error, says []byte, whole bool) (got reading) {
	conn, far := greeted(t, death)
	defer conn.Close()
	s, written := ask(t, conn, nil, 10)
	defer s.Close()
	go func() {
		io.CopyN(io.Discard, far, 1) // the request is under way
		go io.Copy(io.Discard, far)
		synctest.Wait()
		far.Write(says)
		far.Close()
	}()
	ctx := context.Background()
	_, _, err := s.Header(ctx)
	got.header, got.err = err == nil, err
	if err == nil && whole {
		data, all, err := s.ReadWhole(ctx, 1000)
		if err == nil && !all {
			err = errors.New("not whole")
		}
		got.body, got.err = data.Materialize(), err
		data.Free()
	}
	for err == nil && !whole {
		var data mem.BufferSlice
		if data, err = s.Read(ctx); err == nil {
			got.body = append(got.body, data.Materialize()...)
			data.Free()
		}
		if got.err = err; err == io.EOF { // a loss must not be taken for an end, whatever it wraps
			got.err = nil
		}
	}
	<-written
	return got
}

// A server that dies while it answers: until the last byte the answer is no
// answer, and has never been "never sent". What had come of it is what it began
// with.
func TestLostWhileReading(t *testing.T) {
	body := faultwire.Prefixed([]byte("an answer"))
	pieces := [][]byte{
		frames(func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(faultwire.GRPCHeader())})
		}),
		frames(func(f *http2.Framer) { f.WriteData(1, false, body[:6]) }),
		frames(func(f *http2.Framer) { f.WriteDataPadded(1, false, body[6:], make([]byte, 3)) }),
		frames(func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: block(faultwire.Pairs("grpc-status", "0"))})
		}),
	}
	all := bytes.Join(pieces, nil)
	for _, death := range deaths {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, whole %v", death, whole), func(t *testing.T) {
				for k := range len(all) + 1 {
					synctest.Test(t, func(t *testing.T) {
						got := dies(t, death, all[:k], whole)
						if got.header != (k >= len(pieces[0])) {
							t.Errorf("after %d bytes: a header: %v", k, got.header)
						}
						if k == len(all) {
							if got.err != nil || !bytes.Equal(got.body, body) {
								t.Errorf("the whole answer: %q, %v", got.body, got.err)
							}
							return
						}
						if !bytes.HasPrefix(body, got.body) {
							t.Errorf("after %d bytes: %q", k, got.body)
						}
						lost, ok := errors.AsType[*h2.LostError](got.err)
						if !ok || !lost.Sent {
							t.Errorf("after %d bytes: %v, want lost, sent true", k, brief(got.err))
						}
						// io.EOF means a proper end to all who read: see Stream.Read.
						if errors.Is(got.err, io.EOF) {
							t.Errorf("after %d bytes: the loss passes for an end: %v", k, got.err)
						}
					})
				}
			})
		}
	}
}

// The same for calls that are made in one go: what was lost is told as it is for
// those that are written and read.
func TestLostCall(t *testing.T) {
	const body = 100
	header := length(t, nil)
	for k := range header + 9 + body + 1 {
		synctest.Test(t, func(t *testing.T) {
			conn, far := greeted(t, io.EOF)
			defer conn.Close()
			go func() {
				io.ReadFull(far, make([]byte, k))
				synctest.Wait()
				far.Close()
			}()
			_, _, err := called(context.Background(), conn, nil, message(body), 1000)
			if lost, ok := errors.AsType[*h2.LostError](err); !ok || lost.Sent != (k >= header) || errors.Is(err, io.EOF) {
				t.Errorf("after %d bytes: %v (%v), want sent %v", k, brief(err), err, k >= header)
			}
		})
	}
}

// What a server says of a call before it dies counts once it is said to the last
// byte, and not before.
func TestLostWhileSayingWhy(t *testing.T) {
	for _, test := range []struct {
		name string
		says []byte
		want string
	}{
		{"GOAWAY below the call", frames(func(f *http2.Framer) { f.WriteGoAway(0, http2.ErrCodeNo, []byte("bye")) }), `NO_ERROR "bye", sent false`},
		{"GOAWAY at the call", frames(func(f *http2.Framer) { f.WriteGoAway(1, http2.ErrCodeNo, []byte("bye")) }), `NO_ERROR "bye", sent true`},
		{"refused", frames(func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeRefusedStream) }), "reset REFUSED_STREAM, by us false, never sent true"},
		{"reset", frames(func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeInternal) }), "reset INTERNAL_ERROR, by us false, never sent false"},
	} {
		for _, death := range deaths {
			t.Run(fmt.Sprintf("%s, %v", test.name, death), func(t *testing.T) {
				for k := range len(test.says) + 1 {
					synctest.Test(t, func(t *testing.T) {
						want := "lost, sent true"
						if k == len(test.says) {
							want = test.want
						}
						if got := brief(dies(t, death, test.says[:k], false).err); got != want {
							t.Errorf("after %d bytes: %s, want %s", k, got, want)
						}
					})
				}
			})
		}
	}
}
