package h2_test

import (
	"bytes"
	"context"
	"errors"
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

// sendingServer is an engine's server that answers with bodies.
func sendingServer(script [][]act) (err error) {
	near, far := net.Pipe()
	m := newSender(near)
	server := h2.NewServer(h2.ServerConfig{Handle: func(stream *h2.Stream) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		header, _, _ := stream.Header(ctx)
		index, _ := strconv.Atoi(header.Get("index"))
		m.mu.Lock()
		s := m.streams[index]
		s.cancel = cancel
		m.mu.Unlock()
		_ = stream.WriteHeader(nil, h2.Fields{h2.Field(":status", "200"), h2.Field("index", header.Get("index"))}, false)
		s.follow(ctx, stream)
	}})
	defer server.Close()
	defer near.Close()
	defer m.finish()
	go server.ServeConn(far, nil)
	go m.read()
	near.Write([]byte(http2.ClientPreface))
	m.framer.WriteSettings()
	m.open = func(index int) {
		m.framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: uint32(2*index + 1), EndStream: true, EndHeaders: true,
			BlockFragment: block(faultwire.GRPCRequest("/a/B", "index", strconv.Itoa(index))),
		})
		synctest.Wait() // only then its handler can be told to stop
	}
	return m.play(script)
}

// sendingClient is an engine's client that makes requests with bodies.
func sendingClient(script [][]act) error {
	near, far := net.Pipe()
	m := newSender(far)
	var calls sync.WaitGroup
	defer calls.Wait()
	go func() {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := far.Read(preface); err != nil || !bytes.Equal(preface, []byte(http2.ClientPreface)) {
			m.fail("preface %q, %v", preface, err)
		}
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
	defer m.finish()
	m.open = func(index int) {
		stream, err := conn.Open(front, h2.Fields{h2.Field("index", strconv.Itoa(index))}, false)
		if err != nil {
			m.fail("opening: %v", err)
			return
		}
		stream.Share() // it is closed while it is written to
		s := m.streams[index]
		var ctx context.Context
		ctx, s.cancel = context.WithCancel(context.Background())
		calls.Go(func() {
			defer s.cancel()
			stop := context.AfterFunc(ctx, stream.Close)
			defer stop()
			s.follow(ctx, stream)
			stream.Close()
		})
		synctest.Wait()
	}
	return m.play(script)
}

// What the engine sends, as either end, is all that the windows allow and never
// more, whatever the peer does to them, also when SETTINGS put them below zero
// while DATA is under way; every byte arrives once and in order, and all of them
// once the peer grants enough.
func TestSendingFollowsTheModel(t *testing.T) {
	kinds := []string{
		"open", "write", "write", "write", "end", "trailer", "initial", "initial",
		"window", "window", "connection", "connection", "reset", "give up", "stall", "resume",
	}
	for name, run := range map[string]func([][]act) error{"server": sendingServer, "client": sendingClient} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				script := scripts(kinds, sizes).Draw(rt, "script")
				err := errors.New("the bubble was left")
				synctest.Test(t, func(*testing.T) { err = run(append([][]act{{{kind: "open"}}}, script...)) })
				if err != nil {
					rt.Fatal(err)
				}
			})
		})
	}
}
