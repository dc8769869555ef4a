package h2

import (
	"fmt"

	"golang.org/x/net/http2"
)

// ResetError says that a stream was ended by RST_STREAM.
type ResetError struct {
	Code http2.ErrCode
	// ByUs is true when the peer broke the protocol on this stream, and false
	// when it was the peer who reset it.
	ByUs bool
}

// Error names the code.
func (e *ResetError) Error() string {
	if e.ByUs {
		return fmt.Sprintf("the peer broke the protocol on the stream: %v", e.Code)
	}
	return fmt.Sprintf("the peer reset the stream: %v", e.Code)
}

// NeverSent reports whether the peer says that it did nothing with the stream
// (RFC 9113 §8.7).
func (e *ResetError) NeverSent() bool { return !e.ByUs && e.Code == http2.ErrCodeRefusedStream }

// LostError says that a stream ended with its connection, or never began.
type LostError struct {
	// Sent is false only when it is certain that the peer did nothing with the
	// stream: not a byte of it was handed to the socket, or the peer's GOAWAY
	// says so.
	Sent bool
	Err  error
}

// Error says what happened to the connection.
func (e *LostError) Error() string { return e.Err.Error() }

// Unwrap returns what happened to the connection.
func (e *LostError) Unwrap() error { return e.Err }

// GoAwayError says that the peer ended the connection in order.
type GoAwayError struct {
	Code  http2.ErrCode
	Debug string
}

// Error names the code and what the peer said about it.
func (e *GoAwayError) Error() string {
	if e.Debug == "" {
		return fmt.Sprintf("the peer is going away: %v", e.Code)
	}
	return fmt.Sprintf("the peer is going away: %v %q", e.Code, e.Debug)
}
