package h2_test

import (
	"sync/atomic"
	"testing"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// A thousand callers of a proxy do not read their answers of 1 MiB, while others
// are served: what is held is a window for each, which here is the answer, and the
// little that is queued on each connection. All of it goes when they read.
func TestThousandSlowReaders(t *testing.T) {
	const (
		size = 1 << 20
		// most is what an answer that waits may take: itself, and the unused end of
		// its last buffer.
		most = size + 16<<10
		// queued is what may wait on the connections, see outLimit.
		queued = 4 << 20
	)
	readers := 1000
	if testing.Short() || underRace {
		readers = 200
	}
	answer := message(size)
	var answering atomic.Int64
	_, upstream := serve(t, h2.ServerConfig{Handle: func(s *h2.Stream) {
		header, _, _ := s.Header(t.Context())
		_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, false)
		if header.Has("small") {
			_ = s.Write(t.Context(), message(10), true)
			return
		}
		_ = s.Write(t.Context(), answer, true)
		answering.Add(1)
	}})
	next := &hop{addr: upstream}
	t.Cleanup(next.close)
	_, proxy := serve(t, h2.ServerConfig{Handle: forward(next)})
	before := bytesOut()

	slow := raw(t, proxy)
	slow.Stall()
	var calls []*faultwire.Stream
	for range readers {
		s, err := slow.Open(faultwire.GRPCRequest("/a/B"), true)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, s)
	}
	eventually(t, "the upstream has answered", func() bool { return answering.Load() == int64(readers) })
	quick := dial(t, proxy)
	for range 100 {
		s, err := quick.Open(front, h2.Fields{h2.Field("small", "")}, true)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := collect(bounded(t), s); err != nil || len(body) != 10 {
			t.Fatalf("a call beside them: %d bytes, %v", len(body), err)
		}
		s.Close()
	}
	held := bytesOut() - before
	t.Logf("%d answers of %d KiB hold %d KiB each", readers, size>>10, held>>10/int64(readers))
	if held > int64(readers)*most+queued {
		t.Errorf("%d MiB are held for %d answers of 1 MiB", held>>20, readers)
	}

	slow.Resume()
	for i, s := range calls {
		r, err := s.Response(bounded(t))
		if got := len(bytesOf(r)); err != nil || got != size {
			t.Fatalf("answer %d: %d bytes, %v", i, got, err)
		}
	}
	eventually(t, "buffers come back", func() bool { return bytesOut() <= before })
}
