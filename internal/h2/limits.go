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
	// HeaderBlockBytes is what a header block may take of the wire, in HEADERS and
	// CONTINUATION. What is stored of it is bounded by the two above; this bounds
	// the work (CVE-2023-45288 was CONTINUATION without end, most of it for streams
	// that nobody wanted any more). The default, 128 KiB, is well above
	// HeaderListBytes, so that a call with too large a header gets an answer and
	// does not take the other calls of its connection with it.
	HeaderBlockBytes int

	// Frames that cost us more than the peer are counted in windows of 10 s: more
	// of a kind than this end the connection. A window begins when it happens to,
	// so up to twice as many may pass when they fall into two; a peer that never
	// sends more than this within 10 s is safe.

	// Resets are calls that the client cancelled or that were refused:
	// CVE-2023-44487 (rapid reset). How many of them are under way is bounded by
	// Streams; this bounds the work of beginning them. Default 50,000: an app whose
	// calls all time out is honest. Of servers only.
	Resets int
	// StreamErrors are streams that we had to reset for what the peer did wrong on
	// them, which is how CVE-2025-8671 gets around a count of the peer's resets.
	// Also CVE-2019-9514. Default 1,000.
	StreamErrors int
	// Controls are SETTINGS, PRIORITY, GOAWAY, 1xx and unknown frames:
	// CVE-2019-9513 and 9515. Default 2,000.
	Controls int
	// EmptyData are DATA frames without bytes and without an end: CVE-2019-9518.
	// Default 2,000.
	EmptyData int
	// Pings and WindowUpdates are what an honest peer answers our DATA with – many
	// measure the bandwidth with a PING for each burst – so each DATA frame that
	// carries something pays for some of them, and only the others count:
	// CVE-2019-9511 and 9512. Defaults 2,000 and 20,000.
	Pings         int
	WindowUpdates int

	// Preface is how long a client may take for the preface and the SETTINGS that
	// belong to it. Default 10 s. Of servers only.
	Preface time.Duration
	// FirstStream is how long a client may go on without opening its first stream
	// before it is told, in order, to go away. Default 1 min. Of servers only.
	FirstStream time.Duration
	// Store bounds the messages that are stored whole. When it is full, messages are
	// passed on as they come, as those are that are too large. By default there is
	// no bound.
	Store *Store
	// Traffic counts what the connection carries. By default nothing does.
	Traffic *Traffic
	// WriteStall is how long a socket may take nothing of what is written to it.
	// Default 30 s.
	WriteStall time.Duration
	// Idle is how long a client may have no stream before it is told, in order, to
	// go away, which may be an eighth later. By default there is no end to it:
	// SDKs keep a connection for as long as their app runs. Of servers only.
	Idle time.Duration
}

// WithDefaults returns the limits with zero fields replaced.
func (l Limits) WithDefaults() Limits {
	l.Streams = cmp.Or(l.Streams, 4096)
	l.HeaderListBytes = cmp.Or(l.HeaderListBytes, 16<<10)
	l.HeaderFields = cmp.Or(l.HeaderFields, 256)
	l.HeaderBlockBytes = cmp.Or(l.HeaderBlockBytes, 128<<10)
	l.Resets = cmp.Or(l.Resets, 50_000)
	l.StreamErrors = cmp.Or(l.StreamErrors, 1000)
	l.Controls = cmp.Or(l.Controls, 2000)
	l.EmptyData = cmp.Or(l.EmptyData, 2000)
	l.Pings = cmp.Or(l.Pings, 2000)
	l.WindowUpdates = cmp.Or(l.WindowUpdates, 20_000)
	l.Preface = cmp.Or(l.Preface, 10*time.Second)
	l.FirstStream = cmp.Or(l.FirstStream, time.Minute)
	l.WriteStall = cmp.Or(l.WriteStall, 30*time.Second)
	return l
}

// rateWindow is the window of time in which costly frames are counted.
const rateWindow = 10 * time.Second

// What DATA that carries something pays for.
const (
	updatesPerData    = 4
	pingsPerData      = 1
	worthwhileDataLen = 256
)

// fragmentCost is what a frame of a header block counts for at least, so that
// many small ones are bounded as few large ones are.
const fragmentCost = 128

// blockTooLarge reports whether a header block takes too much of the wire.
func (l *Limits) blockTooLarge(frames, size int) bool {
	return max(size, frames*fragmentCost) > l.HeaderBlockBytes
}

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
		*count = 1
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
		*count = 1
		return false
	}
	return true
}
