package transparency_test

import (
	"slices"
	"strings"
	"testing"

	"qdrant-sidecar/internal/faultwire"
)

// metadataCases are fields that must pass in every place that takes metadata.
var metadataCases = []struct {
	name   string
	fields []string
}{
	{"none", nil},
	{"duplicates in order", []string{"x-a", "1", "x-b", "0", "x-a", "3", "x-a", "2", "x-a", "1"}},
	{"empty value", []string{"x-empty", ""}},
	{"empty among duplicates", []string{"x-a", "", "x-a", "1", "x-a", ""}},
	{"commas are not split", []string{"x-list", "a, b,c"}},
	{"printable ASCII", []string{"x-text", `!"#$%&'()*+,-./09:;<=>?@AZ[\]^_az{|}~ x`}},
	{"binary", []string{"x-trace-bin", "AAEC/w"}},
	{"binary, empty", []string{"x-trace-bin", ""}},
	{"binary, duplicates", []string{"x-trace-bin", "AAEC", "x-trace-bin", "/w", "x-trace-bin", "AAEC"}},
	{"binary, padded", []string{"x-trace-bin", "/w=="}},
	{"names with digits, dots and dashes", []string{"x-1.2_3-", "v"}},
	{"tracing", []string{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate", "a=1", "x-request-id", "7"}},
	{"reserved for gRPC", []string{"grpc-trace-bin", "AAEC", "grpc-tags-bin", "AAEC"}},
	{"12 KiB", []string{"x-long", strings.Repeat("0123456789abcdef", 12<<10/16)}},
}

// requestCases are those that requests may have.
var requestCases = append(slices.Clip(metadataCases), []struct {
	name   string
	fields []string
}{
	{"keys", []string{"api-key", "k1", "openai-api-key", "k2", "cohere-api-key", "k3", "authorization", "Bearer k4"}},
	{"retries before", []string{"grpc-previous-rpc-attempts", "2"}},
	{"forwarded", []string{"forwarded", "for=192.0.2.1", "x-forwarded-for", "192.0.2.1", "x-forwarded-for", "192.0.2.2"}},
}...)

func TestRequestMetadata(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for _, test := range requestCases {
			t.Run(test.name, func(t *testing.T) {
				r.compare(t, call{path: path, extra: test.fields, answer: func(s *faultwire.Stream) { s.Answer(nil) }})
			})
		}
	})
}

func TestResponseMetadata(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for _, test := range metadataCases {
			t.Run(test.name+" in headers", func(t *testing.T) {
				r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					s.SendHeaders(faultwire.GRPCHeader(test.fields...), false)
					s.SendMessage(nil)
					s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
				}})
			})
			t.Run(test.name+" in trailers", func(t *testing.T) {
				r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					s.SendHeaders(faultwire.GRPCHeader(), false)
					s.SendMessage(nil)
					s.SendHeaders(faultwire.Pairs("grpc-status", "0").With(test.fields...), true)
				}})
			})
			t.Run(test.name+" in Trailers-Only", func(t *testing.T) {
				r.compare(t, call{path: path, answer: func(s *faultwire.Stream) { s.Fail("5", "gone", test.fields...) }})
			})
		}
	})
}

// A name may be in both blocks with different values; neither may wander.
func TestHeadersAndTrailersStayApart(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for name, trailer := range map[string][]string{
			"success": {"grpc-status", "0", "x-both", "late", "x-late", "1"},
			"failure": {"grpc-status", "8", "grpc-message", "slow", "x-both", "late", "x-late", "1"},
		} {
			t.Run(name, func(t *testing.T) {
				_, through := r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					s.SendHeaders(faultwire.GRPCHeader("x-both", "early", "x-early", "1"), false)
					if name == "success" {
						s.SendMessage(nil)
					}
					s.SendHeaders(faultwire.Pairs(trailer...), true)
				}})
				if got := through.Response.Header.Get("x-both"); got != "early" {
					t.Errorf("x-both in the headers is %q", got)
				}
				if got := through.Response.Trailer.Get("x-both"); got != "late" {
					t.Errorf("x-both in the trailers is %q", got)
				}
			})
		}
	})
}

// JavaScript's client says application/grpc+proto.
func TestContentTypes(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for _, contentType := range []string{"application/grpc", "application/grpc+proto"} {
			t.Run(contentType, func(t *testing.T) {
				r.compare(t, call{path: path, contentType: contentType, answer: func(s *faultwire.Stream) { s.Answer(nil) }})
			})
		}
	})
}
