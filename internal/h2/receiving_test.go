package h2_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// receivingServer is an engine's server that takes requests with bodies.
func receivingServer(script [][]act) error {
	near, far := net.Pipe()
	m := newReceiver(near)
	manner := func(header h2.Fields) *receiving {
		index, _ := strconv.Atoi(header.Get("index"))
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.streams[index]
	}
	server := h2.NewServer(h2.ServerConfig{
		Whole: func(header h2.Fields) int {
			if manner(header).manner == whole {
				return wholeLimit
			}
			return 0
		},
		Handle: func(stream *h2.Stream) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			stream.OnEnd(func(error) { cancel() })
			header, _, _ := stream.Header(ctx)
			s := manner(header)
			m.mu.Lock()
			s.cancel = cancel
			m.mu.Unlock()
			m.serve(ctx, s, stream)
			if ctx.Err() == nil {
				_ = stream.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, true)
			}
		},
	})
	defer server.Close()
	defer near.Close()
	go server.ServeConn(far, nil)
	go m.read()
	near.Write([]byte(http2.ClientPreface))
	m.framer.WriteSettings()
	m.open = func(s *receiving) {
		m.mu.Lock()
		s.id, s.window = uint32(2*s.index+1), m.initial
		m.mu.Unlock()
		m.framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: s.id, EndHeaders: true,
			BlockFragment: block(faultwire.GRPCRequest("/a/B", "index", strconv.Itoa(s.index))),
		})
	}
	return m.play(script)
}

// receivingClient is an engine's client that takes answers with bodies.
func receivingClient(script [][]act) error {
	near, far := net.Pipe()
	m := newReceiver(far)
	var calls sync.WaitGroup
	defer calls.Wait()
	go func() {
		_, _ = io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
		m.read()
	}()
	go func() {
		m.framer.WriteSettings()
		m.framer.WriteSettingsAck()
	}()
	conn, err := h2.NewClientConn(context.Background(), near, h2.Limits{})
	if err != nil {
		return err
	}
	defer conn.Close()
	defer far.Close()
	m.open = func(s *receiving) {
		stream, err := conn.Open(front, h2.Fields{h2.Field("index", strconv.Itoa(s.index))}, true)
		if err != nil {
			m.fail("opening: %v", err)
			return
		}
		var ctx context.Context
		ctx, s.cancel = context.WithCancel(context.Background())
		calls.Go(func() {
			defer s.cancel()
			m.serve(ctx, s, stream)
			stream.Close()
		})
		synctest.Wait()
		m.framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: s.id, EndHeaders: true, BlockFragment: block(faultwire.GRPCHeader()),
		})
	}
	return m.play(script)
}

// What the engine receives, as either end, arrives once and in order. A stream
// that nobody reads stalls its own sender, once its window is full, and nobody
// else; a sender is never stalled for bytes that were read, stored on purpose,
// padding, or thrown away; and the connection's window comes back to the byte.
func TestReceivingFollowsTheModel(t *testing.T) {
	kinds := []string{"open", "send", "send", "send", "padded", "padded", "read", "read", "end", "trailer", "reset", "give up"}
	numbers := rapid.OneOf(sizes, rapid.SampledFrom([]int{0, 1, 2, 3, 1<<20 + 1, 3 << 20}))
	for name, run := range map[string]func([][]act) error{"server": receivingServer, "client": receivingClient} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				script := scripts(kinds, numbers).Draw(rt, "script")
				opening := []act{{kind: "open", n: rapid.IntRange(0, manners-1).Draw(rt, "manner")}}
				before := buffersOut()
				err := errors.New("the bubble was left")
				synctest.Test(t, func(*testing.T) { err = run(append([][]act{opening}, script...)) })
				if err != nil {
					rt.Fatal(err)
				}
				if n := buffersOut() - before; n != 0 {
					rt.Fatalf("%d buffers are left", n)
				}
			})
		})
	}
}
