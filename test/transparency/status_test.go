package transparency_test

import (
	"encoding/base64"
	"strconv"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"qdrant-sidecar/internal/faultwire"
)

// Trailers-Only is one HEADERS frame with END_STREAM, and Qdrant's way to fail.
// Clients tell it from headers and trailers apart: an answer whose headers were
// seen is not retried.
func TestStatusCodesStayTrailersOnly(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for code := range 17 {
			if code == 0 && path == knownMethod {
				continue // a unary OK has a message, see TestStatusAfterHeaders
			}
			t.Run(strconv.Itoa(code), func(t *testing.T) {
				_, through := r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					extra := []string{"grpc-status", strconv.Itoa(code), "date", "Mon, 23 Nov 2026 12:00:00 GMT"}
					if code != 0 {
						extra = append(extra, "grpc-message", "Collection", "retry-after", "3")
					}
					s.SendHeaders(faultwire.GRPCHeader(extra...), true)
				}})
				if !through.Response.TrailersOnly {
					t.Error("not Trailers-Only")
				}
			})
		}
	})
}

// statusCases are forms of the fields that say how a call ended.
var statusCases = []struct {
	name   string
	fields []string
}{
	{"no message", []string{"grpc-status", "5"}},
	{"empty message", []string{"grpc-status", "5", "grpc-message", ""}},
	{"plain message", []string{"grpc-status", "5", "grpc-message", "gone"}},
	{"spaces as they are", []string{"grpc-status", "5", "grpc-message", "not found: x"}},
	{"spaces encoded", []string{"grpc-status", "5", "grpc-message", "Not%20found%3A%20Collection%20%60x%60%20doesn't%20exist!"}},
	{"UTF-8", []string{"grpc-status", "3", "grpc-message", "%C3%A4%E2%82%AC%F0%9F%A6%80"}},
	{"line break", []string{"grpc-status", "13", "grpc-message", "1 of 1 read operations failed:%0A  broken"}},
	{"percent sign", []string{"grpc-status", "13", "grpc-message", "100%25 full"}},
	{"details", []string{"grpc-status", "8", "grpc-message", "slow down", "grpc-status-details-bin", details(8, "slow down")}},
	{"details, other message inside", []string{"grpc-status", "8", "grpc-message", "outside", "grpc-status-details-bin", details(8, "inside")}},
	{"details, other code inside", []string{"grpc-status", "8", "grpc-message", "slow down", "grpc-status-details-bin", details(3, "slow down")}},
	{"details that are no Status", []string{"grpc-status", "8", "grpc-message", "slow down", "grpc-status-details-bin", "/////w"}},
	{"details without details", []string{"grpc-status", "8", "grpc-message", "slow down", "grpc-status-details-bin", "CAgSCXNsb3cgZG93bg"}},
}

// details is a google.rpc.Status with one detail, as the trailer has it.
func details(code int32, message string) string {
	detail, err := anypb.New(&errdetails.ErrorInfo{Reason: "BUSY", Domain: "scripted"})
	if err != nil {
		panic(err)
	}
	wire, err := proto.Marshal(&spb.Status{Code: code, Message: message, Details: []*anypb.Any{detail}})
	if err != nil {
		panic(err)
	}
	return base64.RawStdEncoding.EncodeToString(wire)
}

func TestStatusForms(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for _, test := range statusCases {
			t.Run(test.name, func(t *testing.T) {
				r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					s.SendHeaders(faultwire.GRPCHeader(test.fields...), true)
				}})
			})
			t.Run(test.name+" after headers", func(t *testing.T) {
				r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					s.SendHeaders(faultwire.GRPCHeader("x-early", "1"), false)
					s.SendHeaders(faultwire.Pairs(test.fields...), true)
				}})
			})
		}
	})
}

func TestStatusAfterMessage(t *testing.T) {
	r := newRig(t)
	t.Run("OK", func(t *testing.T) {
		forEachPath(t, func(t *testing.T, path string) {
			r.compare(t, call{path: path, answer: func(s *faultwire.Stream) { s.Answer([]byte("fine")) }})
		})
	})
	// A unary answer is a message or an error, so only streams can do both.
	t.Run("failure", func(t *testing.T) {
		r.compare(t, call{path: unknownMethod, answer: func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendMessage([]byte("so far"))
			s.SendHeaders(faultwire.Pairs("grpc-status", "13", "grpc-message", "no further"), true)
		}})
	})
}

// Whether a method exists is the upstream's to say: a newer Qdrant has more of
// them than the sidecar knows.
func TestUnimplementedComesFromUpstream(t *testing.T) {
	r := newRig(t)
	for _, path := range otherMethods {
		t.Run(path, func(t *testing.T) {
			_, through := r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
				// As Qdrant does for an unknown service: no message, a length.
				s.SendHeaders(faultwire.GRPCHeader("content-length", "0", "grpc-status", "12", "x-from", "upstream"), true)
			}})
			if got := through.Response.Trailer.Get("grpc-message"); got != "" {
				t.Errorf("grpc-message %q, the upstream sent none", got)
			}
		})
	}
}
