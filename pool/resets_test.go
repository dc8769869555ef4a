package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/pool"
)

// strict is a server that answers nothing, and has Qdrant's rule: it ends a connection on
// which 21 resets are pending. It has dealt with those that came before a SETTINGS when
// it acknowledges that.
type strict struct {
	lis                    net.Listener
	running                sync.WaitGroup
	opened, reset, goAways atomic.Int64
	worst                  atomic.Int64 // that were pending
}

const rule = 21

func newStrict(t *testing.T) *strict {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &strict{lis: lis}
	s.running.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return // it was closed
			}
			s.running.Go(func() {
				defer conn.Close()
				s.serve(conn) // until it is closed
			})
		}
	})
	t.Cleanup(func() {
		lis.Close()
		s.running.Wait()
	})
	return s
}

func (s *strict) serve(conn net.Conn) error {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, conn)
	err := framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1000})
	for pending := int64(0); err == nil; {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			s.opened.Add(1)
		case *http2.RSTStreamFrame:
			s.reset.Add(1)
			pending++
			for worst := s.worst.Load(); pending > worst && !s.worst.CompareAndSwap(worst, pending); {
				worst = s.worst.Load()
			}
			if pending >= rule {
				s.goAways.Add(1)
				err = framer.WriteGoAway(f.StreamID, http2.ErrCodeEnhanceYourCalm, []byte("too_many_resets"))
			}
		case *http2.SettingsFrame:
			if !f.IsAck() {
				pending = 0
				err = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = framer.WritePing(true, f.Data)
			}
		}
	}
	return err
}

// sees waits until a count is as wanted.
func sees(t *testing.T, what string, count *atomic.Int64, want int64) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for count.Load() != want {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d %s, want %d", count.Load(), what, want)
		}
	}
}

// TestCancelledAtOnce has 1,000 callers cancel at the same moment, which must not cost any
// connection.
func TestCancelledAtOnce(t *testing.T) {
	const callers = 1000
	s := newStrict(t)
	p := newPool(t, pool.Endpoint{Address: s.lis.Addr().String()}, 5)
	for round := range int64(3) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range callers {
			calls.Go(func() {
				if _, err := call(ctx, p, "x"); !errors.Is(err, context.Canceled) {
					t.Errorf("a call has ended with %v", err)
				}
			})
		}
		sees(t, "calls", &s.opened, (round+1)*callers)
		cancel()
		calls.Wait()
		sees(t, "resets", &s.reset, (round+1)*callers)
	}
	if n := s.goAways.Load(); n > 0 {
		t.Errorf("%d connections were ended", n)
	}
	if n := s.worst.Load(); n > 10 {
		t.Errorf("%d resets were pending", n)
	}
	if e := p.State().Endpoints[0]; e.TooManyResets != 0 || e.Ended[pool.ConnLeft] != 0 {
		t.Errorf("%+v", e)
	}
}
