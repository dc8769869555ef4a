package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// Reason says why the sidecar, and not Qdrant, failed a call. It is the reason
// of the ErrorInfo detail (google.rpc.ErrorInfo), a metric label and a log field.
type Reason string

// The reasons. Their set is closed.
const (
	NoHealthyUpstream Reason = "NO_HEALTHY_UPSTREAM" // nothing to send the call to; not sent
	UpstreamLost      Reason = "UPSTREAM_LOST"       // sent, and the connection or stream was lost
	UpstreamTimeout   Reason = "UPSTREAM_TIMEOUT"    // sent, and no answer in the time of one attempt
	CircuitOpen       Reason = "CIRCUIT_OPEN"        // the method failed too often; not sent
	Overloaded        Reason = "OVERLOADED"          // more calls than there are places; not sent
	DeadlineExceeded  Reason = "DEADLINE_EXCEEDED"   // the call's deadline passed
	Cancelled         Reason = "CANCELLED"           // the caller went away
	ShuttingDown      Reason = "SHUTTING_DOWN"       // the sidecar is ending
	Exhausted         Reason = "ATTEMPTS_EXHAUSTED"  // the same call has just failed as often as it may; not sent
	HeaderTooLarge    Reason = "HEADER_TOO_LARGE"    // more metadata than the limits allow; not sent, or refused by Qdrant
	Panic             Reason = "PANIC"               // a bug in the sidecar
	Unexpected        Reason = "UNEXPECTED"          // a cause that this table does not know
)

// everyReason returns all of them.
func everyReason() []Reason {
	return []Reason{
		NoHealthyUpstream, UpstreamLost, UpstreamTimeout, CircuitOpen, Overloaded, DeadlineExceeded, Cancelled, ShuttingDown, Exhausted,
		HeaderTooLarge, Panic, Unexpected,
	}
}

// domain is the ErrorInfo domain of every error that the sidecar makes.
const domain = "qdrant-sidecar"

// verdict is what the caller of a failed call is told.
type verdict struct {
	code    codes.Code
	reason  Reason
	message string
	// advice are fields that say when to come again; nil for none.
	advice h2.Fields
}

// judge is the one table from cause to status. A cause that is not in it is a
// bug worth a log line, but the caller still gets an answer.
func judge(cause error) verdict {
	if connect, ok := errors.AsType[*pool.ConnectError](cause); ok {
		return verdict{code: codes.Unavailable, reason: NoHealthyUpstream, message: connect.Error()}
	}
	if lost, ok := errors.AsType[*pool.LostError](cause); ok {
		if !lost.Sent {
			return verdict{code: codes.Unavailable, reason: NoHealthyUpstream, message: lost.Error()}
		}
		// The code is the one a direct caller would have seen.
		return verdict{code: lost.Code, reason: UpstreamLost, message: lost.Error()}
	}
	if open, ok := errors.AsType[*resilience.OpenError](cause); ok {
		return verdict{codes.Unavailable, CircuitOpen, open.Error(), againAfter(open.Remaining)}
	}
	if overload, ok := errors.AsType[*resilience.OverloadError](cause); ok {
		// Not UNAVAILABLE, on which SDKs dial anew and repeat at once.
		return verdict{codes.ResourceExhausted, Overloaded, overload.Error() + hint(overload), overloadAdvice()}
	}
	if exhausted, ok := errors.AsType[*resilience.ExhaustedError](cause); ok {
		return verdict{exhausted.Code, Exhausted, exhausted.Error(), notAgain()}
	}
	switch {
	case errors.Is(cause, resilience.ErrExpired):
		return verdict{code: codes.DeadlineExceeded, reason: DeadlineExceeded, message: "the call's deadline had passed when it arrived; nothing was sent"}
	case errors.Is(cause, errTryTimeout):
		return verdict{code: codes.DeadlineExceeded, reason: UpstreamTimeout, message: "Qdrant did not answer in the time of one attempt (--try-timeout), and there was no other"}
	case errors.Is(cause, resilience.ErrPaused) && errors.Is(cause, context.DeadlineExceeded):
		return verdict{code: codes.DeadlineExceeded, reason: DeadlineExceeded, message: "the call's deadline passed while an operator had calls paused" + pauseHint}
	case errors.Is(cause, context.DeadlineExceeded):
		return verdict{code: codes.DeadlineExceeded, reason: DeadlineExceeded, message: lateMessage(cause)}
	case errors.Is(cause, context.Canceled):
		return verdict{code: codes.Canceled, reason: Cancelled, message: "the caller cancelled the call"}
	case errors.Is(cause, resilience.ErrEnding):
		return verdict{code: codes.Unavailable, reason: ShuttingDown, message: "the sidecar is shutting down while calls are paused"}
	case errors.Is(cause, pool.ErrClosed):
		return verdict{code: codes.Unavailable, reason: ShuttingDown, message: "the sidecar is shutting down"}
	case errors.Is(cause, errHeaderTooLarge):
		// Qdrant answers HTTP status 431, for which gRPC has no code. This is the
		// one that its servers use for what is over a limit.
		return verdict{code: codes.ResourceExhausted, reason: HeaderTooLarge, message: cause.Error()}
	case errors.Is(cause, errPanic):
		return verdict{code: codes.Internal, reason: Panic, message: "the sidecar failed on this call; its log has the details"}
	default:
		return verdict{code: codes.Internal, reason: Unexpected, message: fmt.Sprintf("unexpected: %v", cause)}
	}
}

// ownWords is the message of an error of ours as others than the caller may read it: one
// of them quotes what Qdrant said, which can hold user data.
func ownWords(reason Reason, err error) string {
	if reason == Exhausted {
		return "qdrant-sidecar: not sent again: the same call has just failed as often as it may"
	}
	return status.Convert(explained(err)).Message()
}

// explained is the status of a call that ended in err: a panic passes layers by that
// would have turned it into one.
func explained(err error) error {
	if errors.Is(err, errPanic) {
		return judge(err).err()
	}
	return err
}

// hint says what to do about too many calls.
func hint(o *resilience.OverloadError) string {
	if o.Paused {
		return pauseHint
	}
	return " (send fewer at once, or see --max-concurrent-calls, --max-queued-calls and --queue-timeout)"
}

// pauseHint says what ends a pause.
const pauseHint = " (qdrant-sidecar resume ends the pause)"

// overloadAdvice has SDKs come again after a second, the least that retry-after can
// say.
func overloadAdvice() h2.Fields {
	return append(againAfter(time.Second), h2.Field(retryAfterField, "1"))
}

// lateMessage says whose deadline it was that passed.
func lateMessage(cause error) string {
	if own, ok := errors.AsType[*deadlineError](cause); ok {
		return own.Error()
	}
	return "the call's deadline passed before Qdrant answered"
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
