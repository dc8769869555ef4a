package transparency_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

// wire makes the bytes of frames, for what SendData does not do.
func wire(t *testing.T, write func(*http2.Framer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	framer := http2.NewFramer(&b, nil)
	if err := write(framer); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// cutting sends body in two frames, each with padding, and an empty one between.
func cutting(t *testing.T, body []byte, cut, padding int, end bool) func(*faultwire.Stream) error {
	return func(s *faultwire.Stream) error {
		return s.Conn().SendRaw(wire(t, func(f *http2.Framer) error {
			pad := make([]byte, padding)
			return errors.Join(
				f.WriteDataPadded(s.ID, false, body[:cut], pad),
				f.WriteData(s.ID, false, nil),
				f.WriteDataPadded(s.ID, end, body[cut:], pad),
			)
		}))
	}
}

// Wherever the frames of a request or of an answer are cut, and whatever padding
// they have, the bytes are the same.
func TestDataCutAtEveryByte(t *testing.T) {
	r := newRig(t)
	body := faultwire.Prefixed([]byte("a message of some bytes"))
	forEachPath(t, func(t *testing.T, path string) {
		for cut := range len(body) + 1 {
			padding := []int{0, 1, 255}[cut%3]
			t.Run(fmt.Sprintf("at %d, padded by %d", cut, padding), func(t *testing.T) {
				_, through := r.compare(t, call{
					path: path,
					send: cutting(t, body, cut, padding, true),
					answer: func(s *faultwire.Stream) {
						s.SendHeaders(faultwire.GRPCHeader(), false)
						cutting(t, body, cut, padding, false)(s)
						s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
					},
				})
				for _, messages := range [][]faultwire.Message{through.Request.Messages, through.Response.Messages} {
					if len(messages) != 1 || !bytes.Equal(messages[0].Payload, body[5:]) {
						t.Errorf("messages %v", messages)
					}
				}
			})
		}
	})
}

// bodies are requests that are not what the method is, or no messages at all. What
// is wrong with them is the upstream's to say, so it must see the same.
var bodies = []struct {
	name string
	body []byte
}{
	{"nothing", []byte{}},
	{"two messages", bytes.Repeat(faultwire.Prefixed([]byte("one")), 2)},
	{"twenty messages in a frame", bytes.Repeat(faultwire.Prefixed([]byte("one")), 20)},
	{"a message and the start of another", append(faultwire.Prefixed([]byte("one")), 0, 0, 0)},
	{"half a prefix", []byte{0, 0, 0}},
	{"a prefix", []byte{0, 0, 0, 0, 9}},
	{"half a message", faultwire.PrefixedAs(0, 100, []byte("half"))},
	{"flag 1 without an encoding", faultwire.PrefixedAs(1, 4, []byte("zip!"))},
	{"an unknown flag", faultwire.PrefixedAs(7, 3, []byte("one"))},
	{"a message of 4 GiB, it says", faultwire.PrefixedAs(0, 1<<32-1, []byte("one"))},
}

// asQdrant answers what is one message, and says of all else what is wrong.
func asQdrant(s *faultwire.Stream, seen request) {
	switch {
	case seen.Err != nil:
		s.Fail("13", "Unexpected%20EOF")
	case len(seen.Messages) != 1:
		s.Fail("13", fmt.Sprintf("%d%%20messages", len(seen.Messages)))
	case seen.Messages[0].Flag != 0:
		s.Fail("13", "flag")
	default:
		s.Answer(seen.Messages[0].Payload)
	}
}

func TestRequestsThatAreNotOneMessage(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for _, test := range bodies {
			t.Run(test.name, func(t *testing.T) {
				r.compare(t, call{path: path, body: test.body, answerTo: asQdrant})
			})
			t.Run(test.name+", END_STREAM alone", func(t *testing.T) {
				r.compare(t, call{path: path, answerTo: asQdrant, send: func(s *faultwire.Stream) error {
					if err := s.SendData(test.body, false); err != nil {
						return err
					}
					return s.HalfClose()
				}})
			})
		}
	})
}

// The same from the upstream: an answer that is no message is passed on as it is,
// for the client to judge.
func TestAnswersThatAreNotOneMessage(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		for _, test := range bodies {
			t.Run(test.name, func(t *testing.T) {
				r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					s.SendHeaders(faultwire.GRPCHeader(), false)
					s.SendData(test.body, false)
					s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
				}})
			})
			t.Run(test.name+", without trailers", func(t *testing.T) {
				r.compare(t, call{path: path, answer: func(s *faultwire.Stream) {
					s.SendHeaders(faultwire.GRPCHeader(), false)
					s.SendData(test.body, true)
				}})
			})
		}
	})
}
