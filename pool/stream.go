package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/h2"
)

// maxStoredAnswer is how much of a unary answer is stored before any of it is
// passed on. What is larger is passed on as it comes.
const maxStoredAnswer = 4 << 20

// Stream is a call under way, byte by byte. Sending and receiving may go on at the
// same time, each from one goroutine.
type Stream struct {
	s         *h2.Stream
	transport *transport
	ctx       context.Context
	header    h2.Fields // nil until it came
	only      bool
}

// Send sends bytes of the request. It does not take ownership of them and
// returns once flow control has let them through. An error means that the call
// has ended, or ctx has: [Stream.Header] and [Stream.Recv] say how. It is no
// outcome by itself, because a server may answer without reading the rest of a
// request (RFC 9113 §8.1).
func (s *Stream) Send(data mem.BufferSlice, end bool) error { return s.s.Write(s.ctx, data, end) }

// SendTrailer ends the request with a header block, which gRPC clients do not do.
func (s *Stream) SendTrailer(fields h2.Fields) error { return s.s.WriteHeader(nil, fields, true) }

// Header waits for the upstream's first header block. trailersOnly says that it
// was also the last one. The error is as of [Lease.Unary].
func (s *Stream) Header() (header h2.Fields, trailersOnly bool, err error) {
	s.header, s.only, err = s.s.Header(s.ctx)
	if err != nil {
		return nil, false, s.lost(err)
	}
	return s.header, s.only, nil
}

// Arrived returns when the header had, once [Stream.Header] has returned it.
func (s *Stream) Arrived() time.Time { return s.s.Arrived() }

// Recv waits for bytes of the answer, which the caller frees. io.EOF says that
// the answer has ended; any other error is as of [Lease.Unary].
func (s *Stream) Recv() (mem.BufferSlice, error) {
	data, err := s.s.Read(s.ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, s.lost(err)
	}
	return data, err
}

// Trailer returns the last header block, after Recv has returned io.EOF; nil when
// there was none.
func (s *Stream) Trailer() h2.Fields { return s.s.Trailer() }

// Err returns the status of the answer as an error, after Recv has returned io.EOF.
func (s *Stream) Err() error { return statusOf(s.header, s.s.Trailer(), s.only) }

// Close ends the call: whatever the upstream still does or sends for it is of no
// use. It must be called, and may be called at any time.
func (s *Stream) Close() { s.s.Close() }

// LostError says that an attempt ended without an answer from the upstream:
// the connection or the stream was lost.
type LostError struct {
	// Address is the upstream's.
	Address string
	// Sent is false when it is certain that the upstream did nothing with the
	// call; true when it may have.
	Sent bool
	// Code is the one that a direct caller would have seen.
	Code codes.Code
	// Together says that the call ended with its connection, as every other call on
	// it did. First is set for one of those that were sent: together they are one
	// failure.
	Together, First bool
	// Err is what happened.
	Err error
}

// Error says which upstream was lost and why.
func (e *LostError) Error() string {
	if !e.Sent {
		return fmt.Sprintf("the call could not be sent to Qdrant at %s: %v", e.Address, e.Err)
	}
	return fmt.Sprintf("Qdrant at %s ended the call without an answer: %v", e.Address, e.Err)
}

// Unwrap returns what happened.
func (e *LostError) Unwrap() error { return e.Err }

// lost explains a stream that ended without the upstream's status. Whatever the
// connection says: an upstream that had begun to answer was reached.
func (s *Stream) lost(err error) error { return lost(s.ctx, s.transport, err, s.header != nil) }

// lost explains an attempt that ended without the upstream's status. reached says
// that the upstream is known to have dealt with it.
func lost(ctx context.Context, t *transport, err error, reached bool) error {
	if ctx.Err() != nil {
		return h2.Cause(ctx)
	}
	l := &LostError{Address: t.address, Sent: true, Code: codes.Unavailable, Err: err}
	if reset, ok := errors.AsType[*h2.ResetError](err); ok {
		if at, timed := ctx.Deadline(); timed && reset.Code == http2.ErrCodeCancel && !time.Now().Before(at) {
			// It knows the deadline, too, and was the first to notice. What it says is what
			// our own clock is about to.
			return context.DeadlineExceeded
		}
		l.Sent = !reset.NeverSent()
		l.Code = codeOf(reset.Code)
	}
	gone, ok := errors.AsType[*h2.LostError](err)
	if ok {
		l.Sent = gone.Sent
	}
	l.Sent = l.Sent || reached
	if gone != nil {
		l.Together = true
		l.First = l.Sent && !t.mourned.Swap(true)
	}
	return l
}

// codeOf is gRPC's table from HTTP/2 error code to status code ("Errors" in gRPC
// over HTTP/2).
func codeOf(code http2.ErrCode) codes.Code {
	switch code {
	case http2.ErrCodeRefusedStream:
		return codes.Unavailable
	case http2.ErrCodeCancel:
		return codes.Canceled
	case http2.ErrCodeEnhanceYourCalm:
		return codes.ResourceExhausted
	case http2.ErrCodeInadequateSecurity:
		return codes.PermissionDenied
	default:
		return codes.Internal
	}
}
