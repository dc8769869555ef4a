package h2

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/net/http2"
)

// ResetError says that a stream was ended by RST_STREAM.
type ResetError struct {
	Code http2.ErrCode
	// ByUs is true when the peer broke the protocol on this stream, and false
	// when it was the peer who reset it.
	ByUs bool
	// begun is true when the peer's answer had begun.
	begun bool
}

// Error names the code.
func (e *ResetError) Error() string {
	if e.ByUs {
		return fmt.Sprintf("the peer broke the protocol on the stream: %v", e.Code)
	}
	return fmt.Sprintf("the peer reset the stream: %v", e.Code)
}

// NeverSent reports whether the peer says that it did nothing with the stream
// (RFC 9113 §8.7). After the beginning of an answer it is not believed.
func (e *ResetError) NeverSent() bool {
	return !e.ByUs && !e.begun && e.Code == http2.ErrCodeRefusedStream
}

// LostError says that a stream ended with its connection, or never began.
type LostError struct {
	// Sent is false only when it is certain that the peer did nothing with the
	// stream: its header was not handed to the socket completely, or the peer's
	// GOAWAY says so.
	Sent bool
	Err  error
}

// Error says what happened to the connection.
func (e *LostError) Error() string { return e.Err.Error() }

// Unwrap returns what happened to the connection.
func (e *LostError) Unwrap() error { return e.Err }

// GoAwayError says that the peer said GOAWAY.
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

// PrefaceError says that a connection ended before the server's preface had come.
type PrefaceError struct {
	// Got are the first bytes that the server sent; empty when there were none.
	Got []byte
	Err error
}

// Error says how the connection ended.
func (e *PrefaceError) Error() string { return e.Err.Error() }

// Unwrap returns how the connection ended.
func (e *PrefaceError) Unwrap() error { return e.Err }

// Cause returns why ctx has ended, as [context.Cause] does; nil when it has not. A
// context of another make than the standard library's may have a method for it,
// Cause() error.
func Cause(ctx context.Context) error {
	if own, ok := ctx.(interface{ Cause() error }); ok {
		return own.Cause()
	}
	return context.Cause(ctx)
}

// connError is a violation by the peer that ends the connection.
type connError struct {
	code   http2.ErrCode
	reason string
}

func (e *connError) Error() string { return fmt.Sprintf("%v: %s", e.code, e.reason) }

var (
	errClosed = errors.New("the connection was closed")
	errHungUp = errors.New("the peer closed the connection")
	// errReset says that we ended the stream ourselves.
	errReset = errors.New("the stream was reset by us")
	errIDs   = errors.New("the connection has no stream identifiers left")
)
