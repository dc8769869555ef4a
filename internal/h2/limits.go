package h2

import "time"

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
	// Preface is how long a client may take for the preface. Default 10 s.
	Preface time.Duration
	// WriteStall is how long a socket may take nothing of what is written to it.
	// Default 30 s.
	WriteStall time.Duration
}

// WithDefaults returns the limits with zero fields replaced.
func (l Limits) WithDefaults() Limits {
	if l.Streams == 0 {
		l.Streams = 4096
	}
	if l.HeaderListBytes == 0 {
		l.HeaderListBytes = 16 << 10
	}
	if l.HeaderFields == 0 {
		l.HeaderFields = 256
	}
	if l.Preface == 0 {
		l.Preface = 10 * time.Second
	}
	if l.WriteStall == 0 {
		l.WriteStall = 30 * time.Second
	}
	return l
}

// Frames that cost us more than the peer are counted in a window of time; more
// of them than any honest peer sends end the connection.
const (
	rateWindow = 10 * time.Second
	// CVE-2023-44487 (rapid reset), CVE-2019-9512 (ping flood), 9514 (reset
	// flood), 9515 (settings flood), 9518 (empty frames) and their like.
	maxResets   = 10_000 // a client that cancels all it can have, twice, is honest
	maxControls = 2000   // PING, SETTINGS, PRIORITY, unknown frames
	maxEmpty    = 2000   // DATA without bytes and without an end
	maxUpdates  = 200_000
)

// rates counts costly frames of the current window.
type rates struct {
	since                            time.Time
	resets, controls, empty, updates int
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
