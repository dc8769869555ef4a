package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"qdrant-sidecar/internal/h2"
)

// Ending is why a connection takes no more calls. Its names are metric labels; the set
// is closed.
type Ending uint8

// The reasons.
const (
	ConnLost    Ending = iota // closed, by whomever
	NodeRemoved               // its node was removed, or the pool closes
	ConnIdle                  // it carried no call for long, and is not the last one
	ConnOld                   // it was old
	ConnLeft                  // the server said GOAWAY
	ConnDead                  // a PING was not answered
	ConnRetired               // an operator, or new certificates, had it replaced

	endings = iota
)

// String returns the reason as metrics and logs show it.
func (e Ending) String() string {
	return [...]string{"lost", "removed", "idle", "age", "goaway", "dead", "reconnect"}[e]
}

// why is what a connection was lost for, which nobody has looked at so far.
func (e Ending) why(cause error) Ending {
	if e != ConnLost {
		return e
	}
	if _, left := errors.AsType[*h2.GoAwayError](cause); left {
		return ConnLeft
	}
	if errors.Is(cause, errNoPong) {
		return ConnDead
	}
	return ConnLost
}

// lookAgain is how soon a connection that is too old looks whether it can go.
const lookAgain = time.Second

// serve returns when the connection takes no more calls. Calls in flight may still
// be under way.
func (c *connection) serve(wanted context.Context, t *transport, retired <-chan struct{}) Ending {
	l := lifetime{conn: c}
	l.start()
	timer := time.NewTimer(l.next())
	defer timer.Stop()
	for {
		select {
		case <-t.conn.Down():
			return ConnLost
		case <-wanted.Done():
			return NodeRemoved
		case <-retired:
			return ConnRetired
		case <-timer.C:
			if end, over := l.look(); over {
				return end
			}
			timer.Reset(l.next())
		}
	}
}

// lifetime is how long a connection stays although nothing is wrong with it. It
// looks now and again instead of being told by every call.
type lifetime struct {
	conn *connection
	// old is when the connection is; zero for never.
	old time.Time
	// lookIdle is when to see whether there were calls since the last look.
	lookIdle time.Time
	calls    uint64
	quiet    int // looks in a row that found none
}

func (l *lifetime) start() {
	now, cfg := time.Now(), l.conn.node.pool.cfg
	if cfg.MaxAge > 0 {
		// Connections that were opened together are not to end together.
		l.old = now.Add(jittered(cfg.MaxAge))
	}
	if cfg.IdleTimeout > 0 {
		l.lookIdle = now.Add(cfg.IdleTimeout / 2)
	}
}

// next is the time until the next look.
func (l *lifetime) next() time.Duration {
	next := time.Duration(1<<63 - 1)
	for _, at := range []time.Time{l.old, l.lookIdle} {
		if !at.IsZero() {
			next = min(next, time.Until(at))
		}
	}
	return next
}

// look says whether the connection is to go, and then it takes no more calls.
func (l *lifetime) look() (end Ending, over bool) {
	c, n := l.conn, l.conn.node
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !l.lookIdle.IsZero() && !now.Before(l.lookIdle) {
		l.lookIdle = now.Add(n.pool.cfg.IdleTimeout / 2)
		if c.inFlight > 0 || c.calls != l.calls {
			l.quiet = 0
		} else {
			l.quiet++
		}
		l.calls = c.calls
		if l.quiet >= 2 && n.readyLocked() > 1 {
			c.state = Draining
			return ConnIdle, true
		}
	}
	if !l.old.IsZero() && !now.Before(l.old) {
		l.old = now.Add(lookAgain)
		if c.replaceableLocked() {
			c.state = Draining
			return ConnOld, true
		}
	}
	return 0, false
}

// replaceableLocked says whether the connection can go without a call having to
// wait for it. A successor is opened first where there is a place for it; where
// there is none, there has to be a moment without calls. A connection that never
// has one stays: its age is a matter of hygiene, and a call is not.
func (c *connection) replaceableLocked() bool {
	n := c.node
	if n.readyLocked() > 1 {
		return true
	}
	if n.growLocked() {
		return false
	}
	return c.inFlight == 0
}

// dispensable reports whether another connection took the place of this one.
func (c *connection) dispensable() bool {
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	return c.node.readyLocked() > 0
}

// jittered is d, give or take a tenth.
func jittered(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}
