package transparency_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// A server that knows the answer before it has read the request says so, and
// resets what it does not need (RFC 9113 §8.1). The answer is the outcome: a
// caller that heard of a failure instead would repeat what was refused.
func TestAnswerBeforeTheRequestIsRead(t *testing.T) {
	r := newRig(t)
	body := faultwire.Prefixed(make([]byte, 3<<20)) // more than any window
	for _, code := range []http2.ErrCode{http2.ErrCodeNo, http2.ErrCodeCancel} {
		script := func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader("grpc-status", "3", "grpc-message", "too%20much"), true)
			s.SendReset(code)
		}
		forEachPath(t, func(t *testing.T, path string) {
			r.script.Store(&script)
			s := open(t, r.through().dial(t), path)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_ = s.SendData(body, true) // fails once the call is over
			}()
			answer, err := s.Response(bounded(t))
			if err != nil || answer.Trailer.Get("grpc-status") != "3" || answer.Trailer.Get("grpc-message") != "too%20much" {
				t.Errorf("after %v the client received %v, %v; want the upstream's status 3", code, answer.Trailer, err)
			}
			s.SendReset(http2.ErrCodeCancel)
			<-sent
		})
	}
}

// Metadata beyond the limit is refused as a whole. A part of it would be another
// call: one whose API key was cut off would get the sidecar's.
func TestTooMuchMetadata(t *testing.T) {
	upstream := &faultwire.Server{Handler: func(s *faultwire.Stream) { s.Answer(nil) }}
	if err := upstream.Start(); err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	proxy := sidecar.Start(t, sidecar.Options{
		Upstream: "http://" + upstream.Addr(), Env: []string{"QDRANT_API_KEY=the-sidecars"},
	})
	for name, test := range map[string]struct {
		size int
		code string
	}{
		"most of it": {15 << 10, "0"},
		"too much":   {17 << 10, "8"},
	} {
		forEachPath(t, func(t *testing.T, path string) {
			conn, err := faultwire.Dial(bounded(t), proxy.GRPC)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var extra []string
			for range test.size / 1024 {
				extra = append(extra, "x-padding", strings.Repeat("p", 1024-32-len("x-padding")))
			}
			extra = append(extra, "api-key", "the-callers")
			before := upstream.Stats().Streams
			answer, err := conn.Call(bounded(t), faultwire.GRPCRequest(path, extra...), faultwire.Prefixed(nil))
			if err != nil || answer.Trailer.Get("grpc-status") != test.code {
				t.Errorf("%s: %v, %v; want grpc-status %s", name, answer.Trailer, err, test.code)
			}
			if passed := upstream.Stats().Streams > before; passed != (test.code == "0") {
				t.Errorf("%s: passed on: %v", name, passed)
			}
		})
	}
}

// The HTTP method is passed on: a request that Qdrant refuses must not become one
// that it takes.
func TestVerb(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		seen := make(chan string, 1)
		script := func(s *faultwire.Stream) {
			seen <- s.Request.Fields.Get(":method")
			s.Answer(nil)
		}
		r.script.Store(&script)
		fields := faultwire.GRPCRequest(path)
		for i := range fields {
			if fields[i].Name == ":method" {
				fields[i].Value = "GET"
			}
		}
		if _, err := r.through().dial(t).Call(bounded(t), fields, faultwire.Prefixed(nil)); err != nil {
			t.Fatal(err)
		}
		if verb := wait(t, "the call", seen); verb != "GET" {
			t.Errorf("a GET arrived as %s", verb)
		}
	})
}

// A server that goes away in order (GOAWAY that announces, GOAWAY that counts)
// costs nobody a call.
func TestGracefulGoAwayLosesNothing(t *testing.T) {
	r := newRig(t)
	script := func(s *faultwire.Stream) {
		if s.Request.Fields.Get("x-leave") != "" {
			s.Conn().GoAway(1<<31-1, http2.ErrCodeNo, "")
			s.Conn().GoAway(s.Conn().LastStreamID(), http2.ErrCodeNo, "")
		}
		for {
			if _, err := s.NextMessage(s.Context()); err != nil {
				break
			}
		}
		s.Answer(nil)
	}
	r.script.Store(&script)
	ctx, cancel := context.WithTimeout(bounded(t), 3*time.Second)
	defer cancel()
	ended := make(chan error, 8)
	for range cap(ended) {
		conn := r.through().dial(t)
		go func() {
			for i := 1; ; i++ {
				var extra []string
				if i%200 == 0 {
					extra = []string{"x-leave", "1"}
				}
				answer, err := conn.Call(ctx, faultwire.GRPCRequest(knownMethod, extra...), faultwire.Prefixed(nil))
				switch {
				case ctx.Err() != nil:
					ended <- nil
					return
				case err != nil || answer.Trailer.Get("grpc-status") != "0":
					ended <- fmt.Errorf("call %d: %v, %w", i, answer.Trailer, err)
					return
				}
			}
		}()
	}
	for range cap(ended) {
		if err := wait(t, "the end of the callers", ended); err != nil {
			t.Error(err)
		}
	}
	if n := len(r.upstream.Conns()); n == 0 {
		t.Error("no connection is left: this tested nothing")
	}
}
