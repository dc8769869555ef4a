package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
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

// TestWaitingCallsHaveSmallStacks holds 2,000 calls in flight: a stack of 4 KiB each,
// and not the next size, is most of what they take.
func TestWaitingCallsHaveSmallStacks(t *testing.T) {
	t.Parallel()
	const calls = 2000
	arrived, release := make(chan struct{}, calls), make(chan struct{})
	up := newUpstream(t, func(call) ([]byte, error) {
		arrived <- struct{}{}
		<-release
		return nil, nil
	})
	s := sidecar.Start(t, sidecar.Options{Upstream: up.url(), Plain: true, Args: []string{"--pool-size=20"}})
	var done sync.WaitGroup
	defer done.Wait()
	defer close(release)
	for range calls / 100 {
		conn := newConn(t, s.GRPC, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawgrpc.Codec{})))
		for range 100 {
			done.Go(func() {
				request := rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer("hello")}}
				var answer rawgrpc.Message
				if err := conn.Invoke(t.Context(), "/qdrant.Points/Query", &request, &answer); err != nil {
					t.Error(err)
				}
				answer.Free()
			})
		}
	}
	ctx := bounded(t)
	for range calls {
		select {
		case <-arrived:
		case <-ctx.Done():
			t.Fatal("the calls do not arrive")
		}
	}
	page, err := s.Scrape()
	if err != nil {
		t.Fatal(err)
	}
	stacks, goroutines := sample(t, page, "go_memstats_stack_inuse_bytes"), sample(t, page, "go_goroutines")
	t.Logf("%v goroutines have %v MB of stack", goroutines, stacks/1e6)
	if goroutines < calls {
		t.Errorf("%v goroutines for %v calls: this test does not see what it is to measure", goroutines, calls)
	}
	if each := stacks / goroutines; each > 6<<10 {
		t.Errorf("a goroutine has a stack of %.0f bytes", each)
	}
}

// sample reads a metric that has no labels.
func sample(t *testing.T, page, name string) float64 {
	t.Helper()
	for line := range strings.Lines(page) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
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
