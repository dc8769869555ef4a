package proxy

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
)

// Reason says why the sidecar, and not Qdrant, failed a call. It is the reason
// of the ErrorInfo detail (google.rpc.ErrorInfo), a metric label and a log field.
type Reason string

// The reasons. Their set is closed.
const (
	NoHealthyUpstream Reason = "NO_HEALTHY_UPSTREAM" // nothing to send the call to; not sent
	UpstreamLost      Reason = "UPSTREAM_LOST"       // sent, and the connection or stream was lost
	DeadlineExceeded  Reason = "DEADLINE_EXCEEDED"   // the caller's deadline passed
	Cancelled         Reason = "CANCELLED"           // the caller went away
	ShuttingDown      Reason = "SHUTTING_DOWN"       // the sidecar is ending
	HeaderTooLarge    Reason = "HEADER_TOO_LARGE"    // more metadata than the limits allow; not sent
	Panic             Reason = "PANIC"               // a bug in the sidecar
	Unexpected        Reason = "UNEXPECTED"          // a cause that this table does not know
)

// domain is the ErrorInfo domain of every error that the sidecar makes.
const domain = "qdrant-sidecar"

// verdict is what the caller of a failed call is told.
type verdict struct {
	code    codes.Code
	reason  Reason
	message string
}

// judge is the one table from cause to status. A cause that is not in it is a
// bug worth a log line, but the caller still gets an answer.
func judge(cause error) verdict {
	if connect, ok := errors.AsType[*pool.ConnectError](cause); ok {
		return verdict{codes.Unavailable, NoHealthyUpstream, connect.Error()}
	}
	if lost, ok := errors.AsType[*pool.LostError](cause); ok {
		if !lost.Sent {
			return verdict{codes.Unavailable, NoHealthyUpstream, lost.Error()}
		}
		// The code is the one a direct caller would have seen.
		return verdict{lost.Code, UpstreamLost, lost.Error()}
	}
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		return verdict{codes.DeadlineExceeded, DeadlineExceeded, "the call's deadline passed before Qdrant answered"}
	case errors.Is(cause, context.Canceled):
		return verdict{codes.Canceled, Cancelled, "the caller cancelled the call"}
	case errors.Is(cause, pool.ErrClosed):
		return verdict{codes.Unavailable, ShuttingDown, "the sidecar is shutting down"}
	case errors.Is(cause, errHeaderTooLarge):
		// Qdrant answers HTTP status 431, for which gRPC has no code. This is the
		// one that its servers use for what is over a limit.
		return verdict{codes.ResourceExhausted, HeaderTooLarge, cause.Error()}
	case errors.Is(cause, errPanic):
		return verdict{codes.Internal, Panic, "the sidecar failed on this call; its log has the details"}
	default:
		return verdict{codes.Internal, Unexpected, fmt.Sprintf("unexpected: %v", cause)}
	}
}

var errHeaderTooLarge = errors.New("the call's metadata is too large")

// headerTooLarge says what would not have been.
func headerTooLarge(l h2.Limits) error {
	return fmt.Errorf("%w: the sidecar takes %d bytes (--client-max-header-list-size) in %d fields (--client-max-header-fields)",
		errHeaderTooLarge, l.HeaderListBytes, l.HeaderFields)
}

// err makes the status error of the verdict. It says twice who made it: to
// people in the message, to programs in the ErrorInfo detail.
func (v verdict) err() error {
	st := status.New(v.code, "qdrant-sidecar: "+v.message)
	detailed, err := st.WithDetails(&errdetails.ErrorInfo{Domain: domain, Reason: string(v.reason)})
	if err != nil { // only for code OK, which the table does not have
		return st.Err()
	}
	return detailed.Err()
}
