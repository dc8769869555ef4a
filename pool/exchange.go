package pool

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
)

// Request is one unary call as it goes to the upstream.
type Request struct {
	// Method is the full method name, "/qdrant.Points/Query".
	Method string
	// Header is the caller's metadata. Fields that belong to a single hop
	// (pseudo-headers, content-type, te, timeouts, encodings) are ignored here.
	Header h2.Fields
	// Message is the uncompressed request. It is borrowed: an attempt takes
	// references of its own, so the same bytes can be sent again.
	Message mem.BufferSlice
}

// Response is what the upstream answered, OK or not. That there is one proves
// that the upstream ended the call itself.
type Response struct {
	// Header holds the metadata of the first header block; empty when
	// TrailersOnly.
	Header h2.Fields
	// Trailer holds the metadata that came with the status.
	Trailer h2.Fields
	// TrailersOnly says that status and metadata came in one header block, with
	// nothing before. Retrying callers rely on that shape, so it is kept.
	TrailersOnly bool
	// Message is the uncompressed answer; empty unless Status is OK. The
	// receiver of the Response owns it and frees it once.
	Message mem.BufferSlice
	// Status is never nil.
	Status *status.Status
}

// LostError says that an attempt ended without an answer from the upstream:
// the connection or the stream was lost.
type LostError struct {
	// Address is the upstream's.
	Address string
	// Sent is false when it is certain that nothing of the call left this
	// process; true when something may have.
	Sent bool
	// Cause is what the transport said; its code is the one a direct caller
	// would have seen.
	Cause *status.Status
}

// Error says which upstream was lost and why.
func (e *LostError) Error() string {
	if !e.Sent {
		return fmt.Sprintf("the call could not be sent to Qdrant at %s: %s", e.Address, e.Cause.Message())
	}
	return fmt.Sprintf("Qdrant at %s ended the call without an answer: %s", e.Address, e.Cause.Message())
}
