package transparency_test

import (
	"bytes"
	"fmt"
	"testing"

	"qdrant-sidecar/internal/faultwire"
)

// sizes are around what is special: nothing, one frame, the 4 MiB that gRPC
// libraries limit messages to unless told otherwise, and far more than any
// window. Qdrant itself has no limit.
var sizes = []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 4<<20 + 1, 64 << 20}

// blob is n bytes that show a piece lost, doubled or moved: its period is a
// prime, so it is aligned with nothing.
func blob(n int) []byte {
	const period = 65537
	piece := make([]byte, period)
	for i := range piece {
		piece[i] = byte(i>>8 ^ i)
	}
	return bytes.Repeat(piece, n/period+1)[:n]
}

func TestMessageSizes(t *testing.T) {
	r := newRig(t)
	echo := func(s *faultwire.Stream, seen request) {
		if len(seen.Messages) != 1 {
			s.Fail("13", fmt.Sprintf("%d messages", len(seen.Messages)))
			return
		}
		s.Answer(seen.Messages[0].Payload)
	}
	forEachPath(t, func(t *testing.T, path string) {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%d bytes both ways", size), func(t *testing.T) {
				payload := blob(size)
				_, x := r.compare(t, call{path: path, body: faultwire.Prefixed(payload), answerTo: echo})
				if len(x.Request.Messages) != 1 || !bytes.Equal(x.Request.Messages[0].Payload, payload) {
					t.Error("the upstream received something else")
				}
				if len(x.Response.Messages) != 1 || !bytes.Equal(x.Response.Messages[0].Payload, payload) {
					t.Error("the client received something else")
				}
			})
		}
	})
}

// A truncated message is not made whole, and not taken for the end.
func TestTruncatedAnswer(t *testing.T) {
	r := newRig(t)
	forEachPath(t, func(t *testing.T, path string) {
		x := r.play(t, r.through(), call{path: path, answer: func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendData(faultwire.PrefixedAs(0, 100, []byte("only this")), false)
			s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
		}})
		whole := len(x.Response.Messages) > 0
		if status := x.Response.Trailer.Get("grpc-status"); whole || (status == "0" && len(x.Response.Rest) == 0) {
			t.Errorf("half a message became %d messages and grpc-status %q", len(x.Response.Messages), status)
		}
	})
}
