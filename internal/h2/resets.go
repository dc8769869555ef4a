package h2

import "golang.org/x/net/http2"

// A server that was told of many resets at once takes its client for an
// attacker: Qdrant 1.18 says GOAWAY ENHANCE_YOUR_CALM "too_many_resets" when 21
// are pending that it has not come round to. So a client has no more than
// maxUnconfirmed resets under way that the server may not have dealt with, and
// asks when half of them are. A stream that is given up beyond that waits for its
// turn: its answer is thrown away meanwhile, and its window stays shut, so that
// is bounded.
//
// It asks with an empty SETTINGS, which must be acknowledged in order as a PING
// must: gRPC's own servers count PINGs, and say GOAWAY "too_many_pings".
const (
	maxUnconfirmed = 10
	askAt          = maxUnconfirmed / 2
)

// resets are those of a client's connection. Guarded by conn.mu.
type resets struct {
	unconfirmed int
	mark        uint32 // streams from this one on were opened after all of them
	covered     int    // how many of them the SETTINGS that is under way confirms
	acks        int    // how many SETTINGS of ours are not acknowledged
	turn        []*Stream
}

// giveUpLocked ends the stream, now or as soon as its reset may be sent.
func (c *ClientConn) giveUpLocked(s *Stream) {
	if s.finished || s.end != nil {
		return
	}
	if c.resets.unconfirmed < maxUnconfirmed {
		c.sendResetLocked(s)
		return
	}
	s.endKeepLocked(errReset)
	s.queued = true
	c.resets.turn = append(c.resets.turn, s)
}

func (c *ClientConn) sendResetLocked(s *Stream) {
	code := http2.ErrCodeCancel
	if s.gotEnd {
		code = http2.ErrCodeNo // it is the request that is not needed any more
	}
	c.resetLocked(s.id, code)
	s.endLocked(errReset)
	r := &c.resets
	r.unconfirmed++
	r.mark = c.nextID
	c.wakeLocked()
	c.askLocked()
}

// askLocked asks whether the server has dealt with the resets, if it is time.
func (c *ClientConn) askLocked() {
	r := &c.resets
	if r.unconfirmed < askAt || r.acks > 0 {
		return
	}
	r.covered = r.unconfirmed
	r.acks++
	c.settingsLocked()
	c.wakeLocked()
}

// resetsConfirmedLocked notes that the server has dealt with the first n of the
// unconfirmed resets, and sends those whose turn has come.
func (c *ClientConn) resetsConfirmedLocked(n int) {
	r := &c.resets
	r.unconfirmed -= n
	r.covered = max(0, r.covered-n)
	for len(r.turn) > 0 && r.unconfirmed < maxUnconfirmed {
		s := r.turn[0]
		r.turn[0] = nil
		r.turn = r.turn[1:]
		if !s.finished { // its answer has ended by itself
			c.sendResetLocked(s)
		}
	}
}

// settledLocked notes that the server has acknowledged our SETTINGS.
func (c *ClientConn) settledLocked() {
	r := &c.resets
	if r.acks == 0 {
		return // nobody asked
	}
	r.acks--
	c.resetsConfirmedLocked(r.covered)
	c.askLocked()
}

// answeredLocked notes an answer: the server has dealt with everything that was
// sent before its request.
func (c *ClientConn) answeredLocked(id uint32) {
	if c.resets.unconfirmed > 0 && id >= c.resets.mark {
		c.resetsConfirmedLocked(c.resets.unconfirmed)
	}
}
