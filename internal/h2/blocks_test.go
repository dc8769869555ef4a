package h2_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// Streams of one connection keep their own fields while others come: those that
// are new each time, those that are never the same twice, and those that are.
func TestStreamsKeepTheirFields(t *testing.T) {
	const callers, each = 16, 200
	_, addr := serve(t, h2.ServerConfig{
		Recognize: func(header h2.Fields) any { return header },
		Handle: func(s *h2.Stream) {
			header, _, err := s.Header(bounded(t))
			if err != nil {
				return
			}
			body, err := s.Read(bounded(t)) // after others have come
			if err != nil {
				t.Error(err)
				return
			}
			raw := body.Materialize()
			body.Free()
			said := string(raw[prefixed:])
			known, ok := s.Recognized().(h2.Fields)
			if ok && (known.Get("x-id") != header.Get("x-id") || known.Get("x-kind") != header.Get("x-kind")) {
				t.Errorf("the header %v was recognized as %v", header, known)
			}
			if got := header.Get("x-id") + header.Get("grpc-timeout"); got != said {
				t.Errorf("a stream that is %q has the header of %q", said, got)
			}
			answer := mem.BufferSlice{mem.SliceBuffer(raw)}
			_ = s.Respond(bounded(t), h2.Fields{h2.Field(":status", "200"), h2.Field("x-id", header.Get("x-id"))},
				answer, h2.Fields{h2.Field("grpc-status", "0"), h2.Field("x-said", said)})
		},
	})
	conn := dial(t, addr)
	var callersDone sync.WaitGroup
	for caller := range callers {
		callersDone.Go(func() {
			for i := range each {
				id, timeout := "same", ""
				switch (caller + i) % 3 {
				case 1:
					id = fmt.Sprint(caller, "-", i)
				case 2:
					timeout = fmt.Sprint(caller*each+i, "m")
				}
				fields := h2.Fields{h2.Field("x-kind", strings.Repeat("k", caller%3+1)), h2.Field("x-id", id)}
				if timeout != "" {
					fields = append(fields, hpack.HeaderField{Name: "grpc-timeout", Value: timeout, Sensitive: true})
				}
				raw := faultwire.Prefixed([]byte(id + timeout))
				body := mem.BufferSlice{mem.SliceBuffer(raw)}
				s, answer, err := called(bounded(t), conn, fields, body, 1<<20)
				if err != nil {
					t.Error(err)
					return
				}
				if answer.Header.Get("x-id") != id || answer.Trailer.Get("x-said") != id+timeout || !bytes.Equal(answer.Body.Materialize(), raw) {
					t.Errorf("%q was answered with %v, %v", id+timeout, answer.Header, answer.Trailer)
				}
				answer.Body.Free()
				s.Close()
			}
		})
	}
	callersDone.Wait()
}
