package h2

import (
	"runtime"
	"time"

	"golang.org/x/net/http2"
)

// How much waits for a socket that does not take it.
const (
	// outLimit is how many bytes may be queued before senders of DATA wait.
	outLimit = 256 << 10
	// outFatal is how many bytes of frames that cannot wait (acknowledgements,
	// resets, windows, header blocks) may pile up on top before the peer is
	// taken for hostile.
	outFatal = 4 << 20
	// outIdle is how long a connection keeps its buffers and its goroutine without
	// writing, and up to twice as long: most connections are idle most of the time.
	outIdle = time.Second
)

// wakeLocked has the queued bytes written soon.
func (c *conn) wakeLocked() {
	if !c.flushing && c.err == nil {
		c.flushing = true
		c.tasks.Go(c.flushLoop)
	}
	signal(c.wake)
}

// flushLoop writes what others have queued until the connection is over, or idle.
// It is the only one that writes to the socket.
func (c *conn) flushLoop() {
	idle := time.NewTimer(outIdle)
	defer idle.Stop()
	wrote := true
	for {
		select {
		case <-c.wake:
		case <-c.closed:
			return
		case <-idle.C:
			if !wrote && c.rest() {
				return
			}
			idle.Reset(outIdle)
			wrote = false
			continue
		}
		wrote = true
		// Whoever else is runnable may add to the same write: with one thread
		// that is most of the calls that are under way.
		runtime.Gosched()
		last, err := c.flush()
		switch {
		case err != nil:
			c.fail(err)
			return
		case last != nil:
			c.end(last)
			c.halfClose()
			return
		}
	}
}

// rest lets go of everything that is only for writing, and reports whether it
// did: the next bytes that are queued start flushLoop again.
func (c *conn) rest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.n > 0 || c.last != nil {
		return false
	}
	c.out.spare, c.spareStreams = batch{}, nil
	c.flushing = false
	return true
}

// flush writes everything that is queued. last is why the connection ends with
// that; nil while it goes on.
func (c *conn) flush() (last, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out.n > 0 {
		batch := c.out.take()
		// Until it is known how much the socket took, it may have taken all.
		c.taken += int64(batch.n)
		c.mu.Unlock()
		left, err := c.writer.write(batch)
		c.limits.Traffic.wrote(batch.n - left)
		c.mu.Lock()
		c.taken -= int64(left)
		c.out.free(batch)
		if err != nil {
			return nil, err
		}
		c.wakeSenderLocked()
	}
	return c.last, nil
}

// checkOutLocked ends connections whose peer makes us answer and never reads.
func (c *conn) checkOutLocked() error {
	if c.out.n > outFatal {
		return &connError{http2.ErrCodeEnhanceYourCalm, "the peer causes answers and does not read them"}
	}
	return nil
}
