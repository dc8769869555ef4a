package transparency_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"qdrant-sidecar/internal/faultwire"
)

// compressible is long enough for any implementation to bother.
var compressible = strings.Repeat("a vector of nothing new ", 200)

func acceptsGzip(acceptEncoding string) bool {
	return slices.ContainsFunc(strings.Split(acceptEncoding, ","), func(name string) bool {
		return strings.TrimSpace(name) == "gzip"
	})
}

// likeQdrant answers the way Qdrant does: every answer is compressed, whatever
// its size, if the request advertises gzip. It repeats the request's message.
func likeQdrant(s *faultwire.Stream, seen request) {
	if len(seen.Messages) != 1 {
		s.Fail("13", "want one message")
		return
	}
	payload := seen.Messages[0].Payload
	if seen.Messages[0].Flag == 1 {
		var err error
		if payload, err = gunzipped(payload); err != nil {
			s.Fail("13", "not%20gzip")
			return
		}
	}
	if !acceptsGzip(s.Request.Fields.Get("grpc-accept-encoding")) {
		s.Answer(payload)
		return
	}
	packed := gzipped(payload)
	s.SendHeaders(faultwire.GRPCHeader("grpc-encoding", "gzip"), false)
	s.SendData(faultwire.PrefixedAs(1, uint32(len(packed)), packed), false)
	s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
}

// advertised is what clients say that they take.
var advertised = []struct {
	name   string
	fields []string
	gzip   bool
}{
	{"nothing advertised", nil, false},
	{"identity advertised", []string{"grpc-accept-encoding", "identity"}, false},
	{"gzip advertised", []string{"grpc-accept-encoding", "gzip"}, true},
	// Python's list.
	{"gzip in a list", []string{"grpc-accept-encoding", "identity, deflate, gzip"}, true},
}

func TestGzip(t *testing.T) {
	r := newRig(t)
	packed := gzipped([]byte(compressible))
	requests := []struct {
		name   string
		fields []string
		body   []byte
	}{
		{"plain request", nil, faultwire.Prefixed([]byte(compressible))},
		{"gzip request", []string{"grpc-encoding", "gzip"}, faultwire.PrefixedAs(1, uint32(len(packed)), packed)},
		// JavaScript's client does this with small messages.
		{"plain message in a gzip request", []string{"grpc-encoding", "gzip"}, faultwire.Prefixed([]byte(compressible))},
	}
	forEachPath(t, func(t *testing.T, path string) {
		for _, ask := range requests {
			for _, get := range advertised {
				t.Run(ask.name+", "+get.name, func(t *testing.T) {
					extra := append(append([]string{}, ask.fields...), get.fields...)
					_, through := r.compare(t, call{path: path, extra: extra, body: ask.body, answerTo: likeQdrant})
					for _, m := range through.Response.Messages {
						if m.Flag == 1 && !get.gzip {
							t.Error("a compressed answer to a client that does not take it")
						}
					}
					encoding := through.Response.Header.Get("grpc-encoding")
					if encoding != "" && encoding != "identity" && !get.gzip {
						t.Errorf("grpc-encoding %q to a client that does not take it", encoding)
					}
					if !bytes.Equal(payloadOf(t, through.Response), []byte(compressible)) {
						t.Error("another message came back")
					}
				})
			}
		}
	})
}

// payloadOf is the only message of an answer, decoded.
func payloadOf(t *testing.T, answer faultwire.Response) []byte {
	t.Helper()
	if len(answer.Messages) != 1 {
		t.Fatalf("%d messages, want 1; trailer\n%s", len(answer.Messages), answer.Trailer)
	}
	m := answer.Messages[0]
	if m.Flag == 0 {
		return m.Payload
	}
	payload, err := gunzipped(m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// Compressed and plain messages may alternate on one stream.
func TestGzipMixedOnStream(t *testing.T) {
	r := newRig(t)
	var body []byte
	for i := range 6 {
		payload := []byte(compressible[i*10:])
		if i%2 == 0 {
			body = append(body, faultwire.Prefixed(payload)...)
		} else {
			packed := gzipped(payload)
			body = append(body, faultwire.PrefixedAs(1, uint32(len(packed)), packed)...)
		}
	}
	r.compare(t, call{
		path:  unknownMethod,
		extra: []string{"grpc-encoding", "gzip", "grpc-accept-encoding", "gzip"},
		body:  body,
		answerTo: func(s *faultwire.Stream, seen request) {
			s.SendHeaders(faultwire.GRPCHeader("grpc-encoding", "gzip"), false)
			for _, m := range seen.Messages {
				s.SendData(faultwire.PrefixedAs(m.Flag, uint32(len(m.Payload)), m.Payload), false)
			}
			s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
		},
	})
}
