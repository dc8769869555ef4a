package transparency_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/qdrant/go-client/qdrant"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// Large requests and answers pass through: besides what is stored of a call, so
// that it can be repeated, they take what the windows are and no more.
func TestLargeMessagesTakeLittleMemory(t *testing.T) {
	const (
		size   = 64 << 20
		stored = 4 << 20 // of a request and of an answer
		most   = 20 << 20
	)
	for name, test := range map[string]struct {
		path     string
		ask, say int
	}{
		"upsert":         {"/qdrant.Points/Upsert", size, 0},
		"unknown method": {unknownMethod, size, 0},
		"answer":         {knownMethod, 0, size},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := &faultwire.Server{Handler: func(s *faultwire.Stream) {
				if s.Request.Fields.Get(":path") == "/qdrant.Qdrant/HealthCheck" {
					reply, _ := proto.Marshal(&qdrant.HealthCheckReply{Title: "scripted", Version: "1.18.3"})
					s.Answer(reply)
					return
				}
				if seen := readRequest(s); seen.Err == nil && len(seen.Messages) == 1 && len(seen.Messages[0].Payload) > 100 {
					s.Answer(nil)
					return
				}
				s.Answer(blob(test.say))
			}}
			if err := upstream.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := upstream.Close(); err != nil {
					t.Error(err)
				}
			})
			s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + upstream.Addr(), Plain: true, Args: []string{"--timeout=3m", "--pool-ping-interval=1h"}})
			conn := side{"through", s.GRPC}.dial(t)
			ask := func(n int) {
				t.Helper()
				answer, err := conn.Call(bounded(t), faultwire.GRPCRequest(test.path), faultwire.Prefixed(blob(n)))
				if err != nil || answer.Trailer.Get("grpc-status") != "0" {
					t.Fatalf("%d bytes: %v, %v", n, answer.Trailer, err)
				}
			}
			for range 20 {
				ask(50 << 10) // what every process has after its first calls
			}
			before := s.PeakMemory()
			for range 3 {
				ask(test.ask)
			}
			grown := s.PeakMemory() - before
			t.Logf("the peak grew from %d MiB by %.1f MiB", before>>20, float64(grown)/(1<<20))
			if grown > most+stored {
				t.Errorf("%d MiB of memory for messages of %d MiB", grown>>20, size>>20)
			}
		})
	}
}
