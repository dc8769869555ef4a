package h2

import "time"

// idleWatch finds out that a client has had no stream for a while. It looks now
// and then instead of being told of every stream: calls pay nothing for it.
// Guarded by conn.mu.
type idleWatch struct {
	next   *time.Timer // the next look; nil while Limits.Idle is off
	quiet  int         // looks in a row that found no stream open, and from the second on none that came since
	lastID uint32      // conn.lastID at the last look
}

// idleLooks is how many looks Limits.Idle is divided into. A connection is never
// ended too early, and at most one look too late.
const idleLooks = 8

// watchIdleLocked begins to watch, if that is asked for.
func (c *serverConn) watchIdleLocked() {
	if c.limits.Idle > 0 {
		c.idle.next = time.AfterFunc(c.limits.Idle/idleLooks, c.lookIdle)
	}
}

func (c *serverConn) lookIdle() {
	c.mu.Lock()
	switch {
	case len(c.streams) > 0:
		c.idle.quiet = 0
	case c.lastID != c.idle.lastID: // of those that came, the last went before now
		c.idle.quiet = 1
	default:
		c.idle.quiet++
	}
	c.idle.lastID = c.lastID
	over := c.idle.quiet > idleLooks
	if !over && c.err == nil {
		c.idle.next.Reset(c.limits.Idle / idleLooks)
	}
	c.mu.Unlock()
	if over {
		c.goAway()
	}
}
