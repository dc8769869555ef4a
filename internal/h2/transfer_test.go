package h2_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

func TestLargeBothWays(t *testing.T) {
	_, addr := serve(t, h2.ServerConfig{Handle: echo})
	conn := dial(t, addr)
	ctx := bounded(t)
	for _, n := range []int{0, 1, 1023, 16 << 10, 1<<20 + 1, 64 << 20} {
		s := open(t, conn, false)
		body := message(n)
		var sending sync.WaitGroup
		sending.Go(func() {
			if err := s.Write(ctx, body, true); err != nil {
				t.Errorf("%d bytes: sending: %v", n, err)
			}
		})
		got, err := collect(ctx, s)
		sending.Wait()
		if err != nil || !bytes.Equal(got, body.Materialize()) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		s.Close()
	}
}

// Every way to cut a small body into two frames, with and without padding and an
// empty frame between.
func TestDataCutAnywhere(t *testing.T) {
	_, addr := serve(t, h2.ServerConfig{Handle: echo, Whole: func(h2.Fields) int { return 1 << 20 }})
	conn := raw(t, addr)
	body := bytes.Repeat([]byte("0123456789"), 4)
	for cut := range len(body) + 1 {
		for _, padding := range []int{0, 1, 255} {
			s, err := conn.Open(faultwire.GRPCRequest("/a/B"), false)
			if err != nil {
				t.Fatal(err)
			}
			conn.SendRaw(frames(func(f *http2.Framer) {
				pad := make([]byte, padding)
				f.WriteDataPadded(s.ID, false, body[:cut], pad)
				f.WriteData(s.ID, false, nil)
				f.WriteDataPadded(s.ID, true, body[cut:], pad)
			}))
			r, err := s.Response(bounded(t))
			if got := bytesOf(r); err != nil || !bytes.Equal(got, body) {
				t.Fatalf("cut at %d with padding %d: %q, %v", cut, padding, got, err)
			}
		}
	}
}

// bytesOf returns the DATA of an answer.
func bytesOf(r faultwire.Response) []byte {
	var all []byte
	for _, m := range r.Messages {
		all = append(all, faultwire.PrefixedAs(m.Flag, uint32(len(m.Payload)), m.Payload)...)
	}
	return append(all, r.Rest...)
}

// A header block arrives the same however it is cut into frames.
func TestHeaderBlockCutAnywhere(t *testing.T) {
	got := make(chan h2.Fields, 1)
	_, addr := serve(t, h2.ServerConfig{Handle: func(s *h2.Stream) {
		header, _, _ := s.Header(t.Context())
		got <- header // and no answer: the raw client does not know the stream
	}})
	conn := raw(t, addr)
	want := faultwire.GRPCRequest("/a/B", "twice", "1", "twice", "", "blob-bin", "AP8=")
	encoded := block(want)
	id := uint32(1)
	send := func(name string, pieces ...[]byte) {
		conn.SendRaw(frames(func(f *http2.Framer) {
			last := len(pieces) - 1
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: pieces[0], EndStream: true, EndHeaders: last == 0})
			for i, piece := range pieces[1:] {
				f.WriteContinuation(id, i+1 == last, piece)
			}
		}))
		id += 2
		var header h2.Fields
		select {
		case header = <-got:
		case <-conn.Done():
			t.Fatalf("%s: the connection was ended", name)
		}
		if faultwire.Fields(header).String() != want.String() {
			t.Fatalf("%s: got %v", name, header)
		}
	}
	for cut := range len(encoded) + 1 {
		send(fmt.Sprint("cut at ", cut), encoded[:cut], encoded[cut:])
	}
	var bits [][]byte
	for i := range encoded {
		bits = append(bits, encoded[i:i+1])
	}
	send("byte by byte", bits...)
}

// What an answer consists of is told apart, however fast its frames follow.
func TestShapesOfAnswers(t *testing.T) {
	header, trailer := faultwire.GRPCHeader(), faultwire.Pairs("grpc-status", "0")
	for _, test := range []struct {
		name    string
		script  func(*faultwire.Stream)
		only    bool
		body    string
		trailer bool
	}{
		{"one block", func(s *faultwire.Stream) { s.SendHeaders(header, true) }, true, "", false},
		{"ended by empty DATA", func(s *faultwire.Stream) {
			s.SendHeaders(header, false)
			s.SendData(nil, true)
		}, false, "", false},
		{"trailers without DATA", func(s *faultwire.Stream) {
			s.SendHeaders(header, false)
			s.SendHeaders(trailer, true)
		}, false, "", true},
		{"empty trailers", func(s *faultwire.Stream) {
			s.SendHeaders(header, false)
			s.SendData([]byte("x"), false)
			s.SendHeaders(nil, true)
		}, false, "x", true},
		{"after informational ones", func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.Pairs(":status", "103", "link", "x"), false)
			s.SendHeaders(header, false)
			s.SendData([]byte("xy"), true)
		}, false, "xy", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := bounded(t)
			conn := scripted(t, &faultwire.Server{Handler: test.script})
			s := open(t, conn, true)
			defer s.Close()
			body, whole, err := s.ReadWhole(ctx, 1000) // everything is there now
			if err != nil || !whole || string(body.Materialize()) != test.body {
				t.Errorf("body %q, %v, %v", body.Materialize(), whole, err)
			}
			body.Free()
			got, only, err := s.Header(ctx)
			if err != nil || only != test.only || got.Get(":status") != "200" {
				t.Errorf("header %v, only %v, %v", got, only, err)
			}
			if got := s.Trailer(); (got != nil) != test.trailer {
				t.Errorf("trailer %v", got)
			}
		})
	}
}

// A message larger than what is to be stored is handed over as it comes.
func TestReadWholeGivesWay(t *testing.T) {
	ctx := bounded(t)
	_, addr := serve(t, h2.ServerConfig{Handle: echo})
	conn := dial(t, addr)
	s := open(t, conn, false)
	defer s.Close()
	body := message(3 << 20)
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() { s.Write(ctx, body, true) })
	begin, whole, err := s.ReadWhole(ctx, 1<<20)
	if err != nil || whole || begin.Len() <= 1<<20 || begin.Len() > 3<<20 {
		t.Fatalf("%d bytes, %v, %v", begin.Len(), whole, err)
	}
	rest, err := collect(ctx, s)
	if got := append(begin.Materialize(), rest...); err != nil || !bytes.Equal(got, body.Materialize()) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	begin.Free()
}

// Of a message that says in its prefix that it is larger than what is to be stored,
// the rest is not waited for; of one that just fits it is. The prefix may come in
// pieces.
func TestReadWholeBelievesThePrefix(t *testing.T) {
	const limit = 1 << 20
	for name, test := range map[string]struct {
		size  int
		begin []int // sizes of the frames that come first
		whole bool
	}{
		"larger":           {limit - 4, []int{100}, false},
		"larger, dribbled": {limit - 4, []int{1, 1, 2, 1}, false},
		"fits":             {limit - 5, []int{100}, true},
		"fits, dribbled":   {limit - 5, []int{1, 3, 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := bounded(t)
			type seen struct {
				n     int
				whole bool
			}
			begun, ended := make(chan seen, 1), make(chan int, 1)
			_, addr := serve(t, h2.ServerConfig{
				Whole: func(h2.Fields) int { return limit },
				Handle: func(s *h2.Stream) {
					data, whole, err := s.ReadWhole(ctx, limit)
					if err != nil {
						t.Error(err)
					}
					n := data.Len()
					data.Free()
					begun <- seen{n, whole}
					for err == nil && !whole {
						data, err = s.Read(ctx)
						n += data.Len()
						data.Free()
					}
					ended <- n
					_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, true)
				},
			})
			s := open(t, dial(t, addr), false)
			defer s.Close()
			body := make([]byte, prefixed+test.size)
			binary.BigEndian.PutUint32(body[1:], uint32(test.size))
			sent := 0
			send := func(n int, end bool) {
				t.Helper()
				if err := s.Write(ctx, mem.BufferSlice{mem.SliceBuffer(body[sent : sent+n])}, end); err != nil {
					t.Fatal(err)
				}
				sent += n
			}
			for _, n := range test.begin {
				send(n, false)
			}
			if !test.whole {
				if got := <-begun; got.whole || got.n > sent {
					t.Errorf("began with %+v", got)
				}
			}
			send(len(body)-sent, true)
			if test.whole {
				if got := <-begun; !got.whole || got.n != len(body) {
					t.Errorf("began with %+v", got)
				}
			}
			if n := <-ended; n != len(body) {
				t.Errorf("%d bytes of %d came", n, len(body))
			}
		})
	}
}

// prefixed is what comes before a gRPC message.
const prefixed = 5
