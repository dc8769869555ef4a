package faultwire

import (
	"time"

	"golang.org/x/net/http2"
)

// StreamEvent is what arrived on a stream: [Headers], [Data] or [Reset].
type StreamEvent interface{ streamEvent() }

// Headers is one header block: a request's or answer's headers, or trailers.
type Headers struct {
	At        time.Time
	Fields    Fields
	EndStream bool
}

// Data is one DATA frame without its padding.
type Data struct {
	At        time.Time
	Payload   []byte
	EndStream bool
}

// Reset is one RST_STREAM.
type Reset struct {
	At   time.Time
	Code http2.ErrCode
}

func (Headers) streamEvent() {}
func (Data) streamEvent()    {}
func (Reset) streamEvent()   {}

// ConnEvent is what arrived on a connection apart from its streams:
// [Settings], [SettingsAck], [Ping], [PingAck], [GoAway] or, last, [Closed].
type ConnEvent interface{ connEvent() }

// Settings is one SETTINGS frame of the peer, in the frame's order.
type Settings struct {
	At     time.Time
	Values []http2.Setting
}

// SettingsAck says that the peer applied our SETTINGS.
type SettingsAck struct{ At time.Time }

// Ping is a PING of the peer; it has been answered.
type Ping struct {
	At   time.Time
	Data [8]byte
}

// PingAck answers one of our own pings.
type PingAck struct {
	At   time.Time
	Data [8]byte
}

// GoAway is one GOAWAY of the peer.
type GoAway struct {
	At           time.Time
	LastStreamID uint32
	Code         http2.ErrCode
	Debug        string
}

// Closed ends the events of a connection. Err is io.EOF when the peer closed
// it in order (FIN), and net.ErrClosed when this end did.
type Closed struct {
	At  time.Time
	Err error
}

func (Settings) connEvent()    {}
func (SettingsAck) connEvent() {}
func (Ping) connEvent()        {}
func (PingAck) connEvent()     {}
func (GoAway) connEvent()      {}
func (Closed) connEvent()      {}
