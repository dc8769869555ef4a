package transparency_test

import (
	"errors"
	"strconv"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/internal/faultwire"
)

// outcome is the status that a gRPC client makes of an answer: grpc-status, or
// what the specification says about the code of an RST_STREAM. A proxy may
// hand a reset on as either; the caller sees the same.
func outcome(answer faultwire.Response) (codes.Code, error) {
	if answer.Trailer != nil {
		code, err := strconv.Atoi(answer.Trailer.Get("grpc-status"))
		return codes.Code(code), err
	}
	if answer.Reset == nil {
		return 0, errors.New("the answer has no end")
	}
	switch answer.Reset.Code {
	case http2.ErrCodeRefusedStream:
		return codes.Unavailable, nil
	case http2.ErrCodeCancel:
		return codes.Canceled, nil
	case http2.ErrCodeEnhanceYourCalm:
		return codes.ResourceExhausted, nil
	case http2.ErrCodeInadequateSecurity:
		return codes.PermissionDenied, nil
	default:
		return codes.Internal, nil
	}
}

func TestUpstreamResetReachesClient(t *testing.T) {
	r := newRig(t)
	stages := []struct {
		name string
		send func(*faultwire.Stream)
	}{
		{"before headers", func(*faultwire.Stream) {}},
		{"after headers", func(s *faultwire.Stream) { s.SendHeaders(faultwire.GRPCHeader(), false) }},
		{"after a message", func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendMessage([]byte("so far"))
		}},
		{"inside a message", func(s *faultwire.Stream) {
			s.SendHeaders(faultwire.GRPCHeader(), false)
			s.SendData(faultwire.PrefixedAs(0, 100, []byte("part")), false)
		}},
	}
	forEachPath(t, func(t *testing.T, path string) {
		for _, stage := range stages {
			for _, code := range []http2.ErrCode{
				http2.ErrCodeNo, http2.ErrCodeProtocol, http2.ErrCodeInternal, http2.ErrCodeRefusedStream,
				http2.ErrCodeCancel, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeInadequateSecurity,
			} {
				t.Run(stage.name+" "+code.String(), func(t *testing.T) {
					c := call{path: path, answer: func(s *faultwire.Stream) {
						stage.send(s)
						s.SendReset(code)
					}}
					want, err := outcome(r.play(t, r.direct(), c).Response)
					if err != nil {
						t.Fatalf("directly: %v", err)
					}
					through := r.play(t, r.through(), c)
					if got, err := outcome(through.Response); err != nil || got != want {
						t.Errorf("the caller sees %v (%v), directly %v; trailer\n%s", got, err, want, through.Response.Trailer)
					}
				})
			}
		}
	})
}

// What was sent before a reset arrives before it.
func TestResetAfterDeliveredMessage(t *testing.T) {
	r := newRig(t)
	delivered := make(chan struct{}, 1)
	r.forEachSide(t, func(s *faultwire.Stream) {
		s.SendHeaders(faultwire.GRPCHeader("x-early", "1"), false)
		s.SendMessage([]byte("so far"))
		select {
		case <-delivered:
			s.SendReset(http2.ErrCodeInternal)
		case <-s.Context().Done():
		}
	}, func(t *testing.T, conn *faultwire.Conn) {
		s := open(t, conn, unknownMethod)
		if got := nextHeaders(t, s).Fields.Get("x-early"); got != "1" {
			t.Errorf("x-early is %q", got)
		}
		if got := nextMessage(t, s); got != "so far" {
			t.Errorf("message %q", got)
		}
		delivered <- struct{}{}
		answer, err := s.Response(bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := outcome(answer); err != nil || got != codes.Internal {
			t.Errorf("ended with %v, %v", got, err)
		}
	})
}
