package h2_test

import (
	"testing"

	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/h2"
)

// Messages are stored whole as long as all of them have room; then they are passed
// on as they come. What ends makes room again.
func TestStoreIsShared(t *testing.T) {
	const limit, size = 100_000, 60_000
	store := h2.NewStore(limit)
	type seen struct {
		whole bool
		n     int
		err   error
	}
	arrived, finish := make(chan seen), make(chan struct{})
	_, addr := serve(t, h2.ServerConfig{
		Limits: h2.Limits{Store: store},
		Whole:  func(h2.Fields) int { return 1 << 20 },
		Handle: func(s *h2.Stream) {
			data, whole, err := s.ReadWhole(bounded(t), 1<<20)
			n := data.Len()
			data.Free()
			arrived <- seen{whole, n, err}
			for !whole && err == nil {
				data, err = s.Read(bounded(t))
				n += data.Len()
				data.Free()
			}
			<-finish
			_ = s.WriteHeader(nil, h2.Fields{h2.Field(":status", "200")}, true)
			arrived <- seen{whole, n, nil}
		},
	})
	conn := dial(t, addr)
	call := func(end bool) *h2.Stream {
		s := open(t, conn, false)
		if err := s.Write(bounded(t), mem.BufferSlice{mem.SliceBuffer(make([]byte, size))}, end); err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := call(true)
	if got := <-arrived; !got.whole || got.n != size || got.err != nil {
		t.Errorf("the first message: %+v", got)
	}
	if used := store.Used(); used != size {
		t.Errorf("%d bytes are stored, want %d", used, size)
	}
	second := call(false)
	if got := <-arrived; got.whole || got.err != nil {
		t.Errorf("the second message, without room: %+v", got)
	}
	if err := second.Write(bounded(t), nil, true); err != nil {
		t.Fatal(err)
	}
	close(finish)
	for range 2 {
		if got := <-arrived; got.n != size {
			t.Errorf("a message of %d bytes arrived as %d", size, got.n)
		}
	}
	first.Close()
	second.Close()
	eventually(t, "nothing is stored", func() bool { return store.Used() == 0 })
}
