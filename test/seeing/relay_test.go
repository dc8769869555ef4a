package seeing_test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// newRelay returns an address behind which another one is far away: every byte takes
// that long, each way, and no bandwidth is lost.
func newRelay(t *testing.T, to string, far time.Duration) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := lis.Accept()
			if err != nil {
				return
			}
			away, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			running.Go(func() { relay(near, away, far) })
			running.Go(func() { relay(away, near, far) })
		}
	})
	t.Cleanup(func() {
		lis.Close()
		running.Wait()
	})
	return lis.Addr().String()
}

type chunk struct {
	bytes []byte
	due   time.Time
}

// relay passes bytes on when they are due, and ends both ways when one has ended.
func relay(from, to net.Conn, far time.Duration) {
	chunks := make(chan chunk, 1024)
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer from.Close()
		defer to.Close()
		for c := range chunks {
			timer := time.NewTimer(time.Until(c.due))
			<-timer.C
			if _, err := to.Write(c.bytes); err != nil {
				break
			}
		}
		for range chunks { // what comes after the end
		}
	}()
	for {
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		if n > 0 {
			chunks <- chunk{b[:n], time.Now().Add(far)}
		}
		if err != nil {
			close(chunks)
			<-written
			return
		}
	}
}
