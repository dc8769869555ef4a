package h2

import (
	"cmp"
	"time"
)

// Limits bound what a peer can make a connection cost. The zero value of a
// field means its default.
type Limits struct {
	// Streams is how many streams a peer may have open at once. Qdrant announces
	// no limit; the default, 4,096, is more than an SDK's connection ever has, and
	// bounds what a connection can hold. Of servers only.
	Streams uint32
	// HeaderListBytes bounds a header block, counted as RFC 9113 §6.5.2 does: 32
	// bytes beside name and value of each field. Default 16 KiB, as Qdrant's own.
	HeaderListBytes uint32
	// HeaderFields bounds how many fields a block has. Default 256.
	HeaderFields int
	// Preface is how long a client may take for the preface and the SETTINGS that
	// belong to it. Default 10 s. Of servers only.
	Preface time.Duration
	// FirstStream is how long a client may go on without opening its first stream
	// before it is told, in order, to go away. Default 1 min. Of servers only.
	FirstStream time.Duration
	// WriteStall is how long a socket may take nothing of what is written to it.
	// Default 30 s.
	WriteStall time.Duration
}

// WithDefaults returns the limits with zero fields replaced.
func (l Limits) WithDefaults() Limits {
	l.Streams = cmp.Or(l.Streams, 4096)
	l.HeaderListBytes = cmp.Or(l.HeaderListBytes, 16<<10)
	l.HeaderFields = cmp.Or(l.HeaderFields, 256)
	l.Preface = cmp.Or(l.Preface, 10*time.Second)
	l.FirstStream = cmp.Or(l.FirstStream, time.Minute)
	l.WriteStall = cmp.Or(l.WriteStall, 30*time.Second)
	return l
}

// Frames that cost us more than the peer are counted in a window of time; more
// of them than any honest peer sends end the connection.
const (
	rateWindow = 10 * time.Second
	// Calls that the client cancelled or that were refused: CVE-2023-44487 (rapid
	// reset). How many of them are under way is bounded by Limits.Streams; this
	// bounds the work of beginning them. An app whose calls all time out is honest.
	maxResets = 50_000
	// Streams that we had to reset for what the peer did wrong on them, which is
	// how CVE-2025-8671 gets around a count of the peer's resets. Also
	// CVE-2019-9514.
	maxFaults = 1000
	// SETTINGS, PRIORITY, GOAWAY, 1xx and unknown frames: CVE-2019-9513 and 9515.
	maxControls = 2000
	// DATA without bytes and without an end: CVE-2019-9518.
	maxEmpty = 2000
)

// PING and WINDOW_UPDATE are what an honest peer answers our DATA with – many
// measure the bandwidth with a PING for each burst – so each DATA frame that
// carries something pays for some of them. More than these without DATA in
// between end the connection: CVE-2019-9511 and 9512.
const (
	maxUpdates        = 20_000
	updatesPerData    = 4
	maxPings          = 2000
	pingsPerData      = 1
	worthwhileDataLen = 256
)

// rates counts costly frames of the current window of time.
type rates struct {
	since                           time.Time
	resets, faults, controls, empty int
}

// over counts one event and reports whether the peer overdoes it. Time is looked
// at only now and then: a flood is many frames.
func (r *rates) over(count *int, limit int) bool {
	*count++
	if *count <= limit {
		return false
	}
	now := time.Now()
	if now.Sub(r.since) > rateWindow {
		*r = rates{since: now}
		return false
	}
	return true
}

// toll counts what answers to DATA cost us. Guarded by conn.mu.
type toll struct {
	since          time.Time
	updates, pings int
}

// paid notes a DATA frame of ours.
func (t *toll) paid() {
	t.updates = max(0, t.updates-updatesPerData)
	t.pings = max(0, t.pings-pingsPerData)
}

// over counts one event and reports whether the peer overdoes it. Keepalives of
// a connection without any DATA must not add up for ever, so time pays, too.
func (t *toll) over(count *int, limit int) bool {
	*count++
	if *count <= limit {
		return false
	}
	now := time.Now()
	if now.Sub(t.since) > rateWindow {
		*t = toll{since: now}
		return false
	}
	return true
}
