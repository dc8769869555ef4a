package transparency_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

// Whatever a request's header holds, Qdrant answers the same: what it takes, what
// it refuses, and what it never heard of.
func TestRequestHeadersOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	forEachQuestion(t, func(t *testing.T, q question) {
		ask := func(name, contentType string, extra []string) {
			t.Run(name, func(t *testing.T) {
				r.compare(t, call{path: q.path, body: faultwire.Prefixed(q.body(t)), contentType: contentType, extra: extra})
			})
		}
		t.Run("nothing special", func(t *testing.T) {
			answer := r.compare(t, call{path: q.path, body: faultwire.Prefixed(q.body(t))})
			expect(t, answer, q.status)
			if answer.TrailersOnly != (q.status != "0") {
				t.Errorf("Qdrant itself: Trailers-Only is %v", answer.TrailersOnly)
			}
		})
		for _, test := range requestCases {
			ask(test.name, "", test.fields)
		}
		for _, test := range protocolCases {
			ask(test.name, test.contentType, test.extra)
		}
		for name, fields := range largestHeaders {
			ask(name, "", fields)
		}
		for _, contentType := range []string{"application/grpc+proto", "application/grpc-web", "text/plain"} {
			ask(contentType, contentType, nil)
		}
		for _, timeout := range append(malformedTimeouts, timeouts...) {
			ask("grpc-timeout "+timeout, "", []string{"grpc-timeout", timeout})
		}
	})
}

// The list of header fields must be smaller than what Qdrant says in its SETTINGS.
// Above that the sidecar answers itself, in a way that gRPC clients understand:
// Qdrant's own answer has no grpc-status.
func TestHeaderListLimitOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	room := headerBudget - sizeOf(faultwire.GRPCRequest(questions[0].path, r.key()...)) - len("x-long") - 32
	fill := func(size int) call {
		return call{path: questions[0].path, body: faultwire.Prefixed(nil), extra: []string{"x-long", strings.Repeat("~", size)}}
	}
	for size := room - 3; size < room; size++ {
		answer := r.compare(t, fill(size))
		expect(t, answer, "0")
	}
	if answer := r.compare(t, fill(room)); answer.Trailer.Get(":status") != "431" {
		t.Errorf("Qdrant itself answers a list of that size with %v", answer.Trailer)
	}
	above := fill(room + 1)
	above.extra = append(above.extra, r.key()...)
	if answer, err := above.ask(bounded(t), r.direct); err != nil || answer.Trailer.Get(":status") != "431" {
		t.Errorf("Qdrant itself answers a byte more with %v, %v", answer.Trailer, err)
	}
	if answer, err := above.ask(bounded(t), r.through); err != nil || answer.Trailer.Get("grpc-status") != "8" {
		t.Errorf("the sidecar answers a byte more with %v, %v", answer.Trailer, err)
	}
}

// What has no such name is Qdrant's to say.
func TestUnimplementedOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	for _, path := range otherMethods {
		for name, body := range map[string][]byte{"no message": {}, "a message": faultwire.Prefixed([]byte("x")), "half of one": {0, 0, 0}} {
			t.Run(path+", "+name, func(t *testing.T) {
				answer := r.compare(t, call{path: path, body: body})
				expect(t, answer, "12")
			})
		}
	}
}

// Encodings are between the caller and Qdrant: taken, refused or lied about.
func TestEncodingsOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	forEachQuestion(t, func(t *testing.T, q question) {
		body := q.body(t)
		packed := gzipped(body)
		for _, ask := range []struct {
			name     string
			encoding []string
			flag     byte
			payload  []byte
		}{
			{"plain", nil, 0, body},
			{"gzip", []string{"grpc-encoding", "gzip"}, 1, packed},
			{"a plain message under gzip", []string{"grpc-encoding", "gzip"}, 0, body},
			{"identity", []string{"grpc-encoding", "identity"}, 0, body},
			{"flag 1 without an encoding", nil, 1, packed},
			{"flag 1 under identity", []string{"grpc-encoding", "identity"}, 1, body},
			{"no gzip under gzip", []string{"grpc-encoding", "gzip"}, 1, body},
			{"half of gzip", []string{"grpc-encoding", "gzip"}, 1, packed[:len(packed)/2]},
			{"an encoding that Qdrant has not", []string{"grpc-encoding", "zstd"}, 1, body},
			{"such an encoding, plain message", []string{"grpc-encoding", "zstd"}, 0, body},
			{"an empty encoding", []string{"grpc-encoding", ""}, 0, body},
			{"two encodings", []string{"grpc-encoding", "gzip", "grpc-encoding", "identity"}, 1, packed},
			{"a flag that there is not", nil, 2, body},
		} {
			for _, get := range advertised {
				t.Run(ask.name+", "+get.name, func(t *testing.T) {
					message := faultwire.PrefixedAs(ask.flag, uint32(len(ask.payload)), ask.payload)
					answer := r.compare(t, call{path: q.path, body: message, extra: append(get.fields, ask.encoding...)})
					if len(answer.Messages) == 1 && (answer.Messages[0].Flag == 1) != get.gzip {
						t.Errorf("Qdrant itself: flag %d", answer.Messages[0].Flag)
					}
				})
			}
		}
	})
}

// Wherever a request's frames are cut, it is the same request.
func TestDataCutAtEveryByteOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	forEachQuestion(t, func(t *testing.T, q question) {
		body := faultwire.Prefixed(q.body(t))
		for cut := range len(body) + 1 {
			padding := []int{0, 1, 255}[cut%3]
			t.Run(fmt.Sprintf("at %d, padded by %d", cut, padding), func(t *testing.T) {
				r.compare(t, call{path: q.path, send: cutting(t, body, cut, padding, true)})
			})
		}
	})
}

// Requests that are not one message are Qdrant's to refuse, or to make the best of.
func TestRequestsThatAreNotOneMessageOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	forEachQuestion(t, func(t *testing.T, q question) {
		one := faultwire.Prefixed(q.body(t))
		cases := append(slices.Clip(bodies), []struct {
			name string
			body []byte
		}{
			{"the question twice", bytes.Repeat(one, 2)},
			{"the question, and half of it", append(slices.Clip(one), one[:max(5, len(one)/2)]...)},
			{"half the question", one[:max(4, len(one)/2)]},
			{"a message of another type", faultwire.Prefixed([]byte("\x08\x01\x12"))},
		}...)
		for _, test := range cases {
			t.Run(test.name, func(t *testing.T) {
				r.compare(t, call{path: q.path, body: test.body})
			})
			t.Run(test.name+", END_STREAM alone", func(t *testing.T) {
				r.compare(t, call{path: q.path, send: func(s *faultwire.Stream) error {
					// Who knows the answer already may have said that it wants no more.
					_ = s.SendData(test.body, false)
					_ = s.HalfClose()
					return nil
				}})
			})
		}
		t.Run("no DATA at all", func(t *testing.T) {
			r.compare(t, call{path: q.path, bare: true})
		})
	})
}

// A connection on which calls were left in the middle is as good as new, and so is
// the sidecar's.
func TestCancelOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	body := faultwire.Prefixed(questions[2].body(t))
	for _, to := range []side{r.direct, r.through} {
		t.Run(to.name, func(t *testing.T) {
			conn := to.dial(t)
			for stage, send := range map[string]func(*faultwire.Stream) error{
				"after the header":   func(*faultwire.Stream) error { return nil },
				"inside the message": func(s *faultwire.Stream) error { return s.SendData(body[:7], false) },
				"before END_STREAM":  func(s *faultwire.Stream) error { return s.SendData(body, false) },
				"waiting":            func(s *faultwire.Stream) error { return s.SendData(body, true) },
			} {
				for _, path := range []string{questions[2].path, "/acme.Thing/Do"} {
					s := open(t, conn, path, r.key()...)
					if err := send(s); err != nil {
						t.Fatalf("%s: %v", stage, err)
					}
					if err := s.SendReset(http2.ErrCodeCancel); err != nil {
						t.Fatalf("%s: %v", stage, err)
					}
				}
				answer, err := conn.Call(bounded(t), faultwire.GRPCRequest(questions[2].path, r.key()...), body)
				if err != nil {
					t.Fatalf("a call after one left %s: %v", stage, err)
				}
				expect(t, answer, "0")
			}
		})
	}
}
