package e2e_test

import (
	"testing"

	"qdrant-sidecar/test/golden"
	"qdrant-sidecar/test/sidecar"
)

// TestRecordedCalls replays calls recorded from a real Qdrant through the
// sidecar over its own embedded one.
func TestRecordedCalls(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://"})
	golden.Replay(t, newConn(t, s.GRPC))
}
