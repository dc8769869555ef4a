package resilience

import (
	"time"

	"google.golang.org/grpc/codes"
)

// patience is the least time after which an attempt without an answer speaks
// against the upstream. Below it the caller's own deadline was short.
const patience = time.Second

// Outcome is what is known when an attempt has ended.
type Outcome struct {
	// Cause is what the transport knows, from [Lost] to [Answered].
	Cause Cause
	// Together is set when the attempt ended with its connection, and every other one
	// on it; Counted when one of the others has been classified already.
	Together, Counted bool
	// Code and Message are the status of an answer.
	Code    codes.Code
	Message string
	// RetryAfter and Pushback are the answer's retry-after and
	// grpc-retry-pushback-ms as they were received, "" for none. Of several values
	// pass all, in any way joined: that is unreadable, which is what A6 takes it for.
	RetryAfter, Pushback string
	// StorageFull is set when the answer has the field qdrant-insufficient-storage.
	StorageFull bool
	// Elapsed is how long the attempt took.
	Elapsed time.Duration
	// Try is the time that this attempt was given, where that was less than the
	// call's; 0 for none.
	Try time.Duration
}

// Verdict is what an [Outcome] means.
type Verdict struct {
	Cause Cause
	// NotExecuted says that the upstream certainly did nothing with the call.
	NotExecuted bool
	Fault       Fault
	// Together is set when the attempt ended with its connection, and every other one
	// on it. They are one failure.
	Together bool
	// Pushback is what the upstream asks of those who would come again.
	Pushback Pushback
}

// Classify returns what an attempt's outcome proves and whose fault it was.
func Classify(o Outcome) Verdict {
	v := Verdict{Cause: o.Cause, Together: o.Together}
	if o.Cause == Answered {
		if o.Code == codes.OK {
			return Verdict{Cause: OK, Fault: NoFault}
		}
		v.Pushback = readPushback(o.Pushback, o.RetryAfter)
		v.Cause = answeredCause(&o, v.Pushback)
	}
	v.NotExecuted = outcomes[v.Cause].notExecuted
	v.Fault = outcomes[v.Cause].fault
	if o.Together && o.Counted {
		v.Fault = Unproven
	}
	if o.Elapsed < patience {
		if v.Cause == DeadlinePassed {
			v.Fault = Unproven
		}
		if v.Cause == ServerTimeout {
			v.Fault = Aside
		}
	}
	return v
}

// answeredCause tells answers that are not OK apart, by their code first.
func answeredCause(o *Outcome, pushback Pushback) Cause {
	switch o.Code {
	case codes.Internal:
		return internalCause(o.Message)
	case codes.Unavailable:
		return Unavailable
	case codes.ResourceExhausted:
		if o.StorageFull || !pushback.given() {
			return Exhausted
		}
		return RateLimited
	case codes.Canceled:
		if o.Message == textTimeout {
			return o.timeout()
		}
		return Unclear
	case codes.DeadlineExceeded:
		return o.timeout()
	case codes.DataLoss:
		return Corrupt
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.Unauthenticated, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return Rejected
	default:
		return Unclear
	}
}

// timeout tells the end of our attempt's time from the end of the caller's. The
// upstream was told the same time as our own timer and may be the first to
// notice, by what it rounds grpc-timeout.
func (o *Outcome) timeout() Cause {
	if o.Try > 0 && o.Elapsed >= o.Try-o.Try/20 {
		return TryTimeout
	}
	return ServerTimeout
}
