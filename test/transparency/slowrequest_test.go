package transparency_test

import (
	"testing"

	"qdrant-sidecar/internal/faultwire"
)

// A caller whose deadline passes while its request is still arriving is told so,
// although the call has not been passed on.
func TestDeadlineOfAnUnfinishedRequest(t *testing.T) {
	r := newRig(t)
	s := open(t, r.through().dial(t), knownMethod, "grpc-timeout", "1500m")
	if err := s.SendData(faultwire.Prefixed(make([]byte, 100))[:50], false); err != nil {
		t.Fatal(err)
	}
	answer, err := s.Response(bounded(t))
	if err != nil || answer.Trailer.Get("grpc-status") != "4" || !answer.TrailersOnly {
		t.Errorf("the client received %v, %v; want grpc-status 4", answer, err)
	}
}
