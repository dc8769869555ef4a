package h2_test

import (
	"testing"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// What a connection carries is counted at both of its ends, resets by their code.
// One that HTTP/2 does not define has no place of its own.
func TestTraffic(t *testing.T) {
	var traffic h2.Traffic
	handled := make(chan struct{})
	_, addr := serve(t, h2.ServerConfig{
		Limits: h2.Limits{Traffic: &traffic},
		Handle: func(s *h2.Stream) {
			cut := make(chan struct{})
			s.OnEnd(func(error) { close(cut) })
			<-cut
			handled <- struct{}{}
		},
	})
	conn := raw(t, addr)
	for _, code := range []http2.ErrCode{http2.ErrCodeCancel, http2.ErrCodeCancel, 1 << 31} {
		s, err := conn.Open(faultwire.GRPCRequest("/a/B"), false)
		if err != nil {
			t.Fatal(err)
		}
		s.SendReset(code)
		<-handled
	}
	n := traffic.Count()
	other := len(n.ResetsReceived) - 1
	if n.ResetsReceived[http2.ErrCodeCancel] != 2 || n.ResetsReceived[other] != 1 {
		t.Errorf("resets received: %v", n.ResetsReceived)
	}
	if n.Received < 3*9 || n.Sent < 9 {
		t.Errorf("bytes: %d received, %d sent", n.Received, n.Sent)
	}
	if (*h2.Traffic)(nil).Count() != (h2.TrafficCount{}) {
		t.Error("nothing has counted something")
	}
}
