package resilience_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// weather is how connections break under reads.
type weather struct {
	name string
	// The reads are made by callers whose calls take so many connections of so many
	// calls each.
	conns, perConn int
	// every so many calls one of share connections is reset.
	every int64
	share int
	reads int
	// spares are places in the pool beside those; one rests when its connection did not
	// live long.
	spares int
}

// TestBlip resets connections under reads, and no caller may notice. What is lost
// of a connection is lost at one moment, together with all its calls: where there
// are many connections that is a tenth of the calls under way, where there is one
// it is all of them.
func TestBlip(t *testing.T) {
	t.Parallel()
	for _, w := range []weather{
		{"a tenth of many connections, over and over", 20, 8, 200, 10, 20_000, 40},
		{"the only connection, now and then", 1, 100, 2000, 1, 10_000, 4},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			w.blow(t)
		})
	}
}

func (w weather) blow(t *testing.T) {
	callers := w.conns * w.perConn
	var arrived, done, resets, errs atomic.Int64
	up := &faultwire.Server{
		Settings: append(faultwire.QdrantSettings(), http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(w.perConn)}),
		Handler: func(s *faultwire.Stream) {
			if s.Request.Fields.Get(callField) != "" {
				arrived.Add(1)
			}
			pause := time.Duration(rand.Int64N(int64(10 * time.Millisecond)))
			faultwire.Fault{At: faultwire.Applied, Do: faultwire.Pause(pause)}.Play(s, func(request []byte) faultwire.Reply {
				return faultwire.Reply{Message: request}
			})
		},
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { up.Close() })
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + up.Addr(), Args: unhurried(fmt.Sprint("--pool-size=", w.conns+w.spares))})

	stop := make(chan struct{})
	var breaking sync.WaitGroup
	breaking.Go(func() {
		for next := w.every; ; next += w.every {
			if !within(2*patience, func() bool { return done.Load() >= next || isClosed(stop) }) || isClosed(stop) {
				return
			}
			resets.Add(int64(resetSome(up, w.share)))
		}
	})
	var calls sync.WaitGroup
	for i := range callers {
		calls.Go(func() {
			c := dial(t, s.GRPC)
			path := []string{readPath, "/qdrant.Points/Scroll", "/qdrant.Points/Get", "/qdrant.Points/Count"}[i%4]
			for range w.reads / callers {
				a := c.call(path, "read", []byte("hello"))
				if a.code != codes.OK || string(a.body) != "hello" {
					if errs.Add(1) <= 5 {
						t.Errorf("%v %s", a.code, a.message)
					}
				}
				done.Add(1)
			}
		})
	}
	calls.Wait()
	close(stop)
	breaking.Wait()
	amplification := float64(arrived.Load()) / float64(done.Load())
	t.Logf("%d reads over %d connections, %d of which were reset: %d errors, %.4f attempts a call; breakers %v, not retried %v",
		done.Load(), len(up.Conns()), resets.Load(), errs.Load(), amplification,
		scrape(t, s).counts(moved, "to"), scrape(t, s).counts(notRetried, "reason"))
	if done.Load() < int64(w.reads) || resets.Load() < int64(w.reads)/w.every/2 || errs.Load() > 0 || amplification > 1.2 {
		t.Error("want no errors, and at most 1.2 attempts a call")
	}
}

// resetSome resets one of share open connections, but one at least.
func resetSome(up *faultwire.Server, share int) (n int) {
	var alive []*faultwire.Conn
	for _, conn := range up.Conns() {
		if !isClosed(conn.Done()) {
			alive = append(alive, conn)
		}
	}
	rand.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
	for _, conn := range alive[:min(len(alive), max(1, len(alive)/share))] {
		conn.Abort()
		n++
	}
	return n
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
