package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/test/sidecar"
)

// TestMemory sends a gigabyte, a megabyte at a time and in turn by each of the
// two ways that calls take, and holds that the process does not keep it.
func TestMemory(t *testing.T) {
	t.Parallel()
	const (
		calls = 1000
		size  = 1 << 20
		// What a leak of one message in ten would take in the second half. Most
		// of what there really is belongs to the race detector.
		mostGrowth = 50 << 20
	)
	s := sidecar.Start(t, sidecar.Options{Upstream: newUpstream(t, nil).url()})
	conn := newConn(t, s.GRPC, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawgrpc.Codec{})))
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	methods := []string{"/qdrant.Points/Query", "/acme.Thing/Do"}
	request := rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer(bytes.Repeat([]byte("qdrant.."), size/8))}}
	warm := 0
	for i := range calls {
		var answer rawgrpc.Message
		if err := conn.Invoke(ctx, methods[i%len(methods)], &request, &answer); err != nil {
			t.Fatal(err)
		}
		if got := answer.Data.Len(); got != size {
			t.Fatalf("%d bytes came back", got)
		}
		answer.Free()
		if i == calls/2 {
			warm = resident(t, s.PID())
		}
	}
	end := resident(t, s.PID())
	t.Logf("resident memory: %d MiB after half of the calls, %d MiB after all", warm>>20, end>>20)
	if end > warm+mostGrowth {
		t.Errorf("resident memory grew from %d MiB to %d MiB", warm>>20, end>>20)
	}
}

// resident returns the resident memory of a process in bytes.
func resident(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("no VmRSS in /proc/PID/status")
	return 0
}
