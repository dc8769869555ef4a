package transparency_test

import (
	"slices"
	"strings"
	"testing"

	"qdrant-sidecar/internal/faultwire"
)

// protocolCases are what clients say of themselves and of the call.
var protocolCases = []struct {
	name, contentType string
	extra             []string
}{
	{"grpc-go", "", []string{"user-agent", "grpc-go/1.85.0", "grpc-accept-encoding", "gzip"}},
	{"grpcio", "", []string{"user-agent", "grpc-python/1.80 grpc-c/50 (linux; chttp2)", "grpc-accept-encoding", "identity, deflate, gzip", "accept-encoding", "identity, gzip"}},
	{"no user-agent", "", nil},
	{"two of them", "", []string{"user-agent", "a/1", "user-agent", "b/2"}},
	{"a subtype", "application/grpc+json", nil},
	{"a parameter", "application/grpc;charset=utf-8", nil},
	{"another type", "application/json", nil},
	{"message type", "", []string{"grpc-message-type", "qdrant.QueryPoints"}},
	{"unknown encoding", "", []string{"grpc-encoding", "zstd", "grpc-accept-encoding", "zstd,gzip"}},
	{"no encodings", "", []string{"grpc-accept-encoding", ""}},
	{"content-length", "", []string{"content-length", "5"}},
	{"cookies", "", []string{"cookie", "a=b", "cookie", "c=d"}},
}

// That passes as it is, also where no client that we know says it.
func TestFieldsOfTheProtocol(t *testing.T) {
	r := newRig(t)
	for _, test := range protocolCases {
		forEachPath(t, func(t *testing.T, path string) {
			t.Run(test.name, func(t *testing.T) {
				r.compare(t, call{path: path, contentType: test.contentType, extra: test.extra, answer: func(s *faultwire.Stream) { s.Answer(nil) }})
			})
		})
	}
}

// Messages of an encoding that nobody here knows are bytes.
func TestUnknownEncoding(t *testing.T) {
	r := newRig(t)
	odd := faultwire.PrefixedAs(1, 6, []byte("\x28\xb5\x2f\xfd\x00\x01"))
	forEachPath(t, func(t *testing.T, path string) {
		r.compare(t, call{
			path: path, body: odd, extra: []string{"grpc-encoding", "zstd", "grpc-accept-encoding", "zstd"},
			answer: func(s *faultwire.Stream) {
				s.SendHeaders(faultwire.GRPCHeader("grpc-encoding", "zstd"), false)
				s.SendData(odd, false)
				s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
			},
		})
		// A flag without the field is the other end's to refuse.
		r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendData(odd, false)
			s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
		}})
	})
}

var malformedTimeouts = []string{"5", "S", "5s", "-1S", "+1S", "1.5S", "123456789S", "5 S", "soon", ""}

// A timeout that is none is not understood by Qdrant either, and not ours to
// judge.
func TestMalformedTimeouts(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for _, value := range malformedTimeouts {
			t.Run(value, func(t *testing.T) {
				_, through := r.compare(t, call{path: path, extra: []string{"grpc-timeout", value}, answer: func(s *faultwire.Stream) { s.Answer(nil) }})
				if got := through.Request.Fields.All("grpc-timeout"); !slices.Equal(got, []string{value}) {
					t.Errorf("the upstream received %q", got)
				}
			})
		}
	})
}

// largestHeaders are as much as a Qdrant takes. The size of a list counts 32 bytes
// beside name and value of each field (RFC 9113 §6.5.2).
var largestHeaders = map[string][]string{
	"one field":   {"x-long", strings.Repeat("ab~", 15<<10/3)}, // the rest is for the other fields
	"many fields": slices.Repeat([]string{"x-many", "0123456789"}, 240),
}

// They pass both ways.
func TestLargestHeaders(t *testing.T) {
	r := newRig(t)
	for name, fields := range largestHeaders {
		forEachPath(t, func(t *testing.T, path string) {
			t.Run(name+" of a request", func(t *testing.T) {
				r.compare(t, call{path: path, extra: fields, answer: func(s *faultwire.Stream) { s.Answer(nil) }})
			})
			t.Run(name+" of an answer", func(t *testing.T) {
				r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					s.SendHeaders(faultwire.GRPCHeader(fields...), false)
					s.SendMessage(nil)
					s.SendHeaders(faultwire.Pairs("grpc-status", "0").With(fields...), true)
				}})
			})
		})
	}
}
