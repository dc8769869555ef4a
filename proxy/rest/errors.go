package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// Reason says why the sidecar, and not Qdrant, failed a request. It is in a header
// field of the answer, in logs and metrics.
type Reason string

// The reasons. Their set is closed, and means the same as over gRPC.
const (
	NoHealthyUpstream Reason = "NO_HEALTHY_UPSTREAM" // nothing to send it to; not sent
	UpstreamLost      Reason = "UPSTREAM_LOST"       // sent, and the connection was lost
	CircuitOpen       Reason = "CIRCUIT_OPEN"        // the route failed too often; not sent
	Overloaded        Reason = "OVERLOADED"          // more requests than there are places; not sent
	DeadlineExceeded  Reason = "DEADLINE_EXCEEDED"   // a read did not begin to answer in time
	Cancelled         Reason = "CANCELLED"           // the caller went away
	ShuttingDown      Reason = "SHUTTING_DOWN"       // the sidecar is ending
	Unsupported       Reason = "UNSUPPORTED"         // nothing that a REST API has
	Panic             Reason = "PANIC"               // a bug in the sidecar
	Unexpected        Reason = "UNEXPECTED"          // a cause that this table does not know
)

// reasonField is the field that names the reason.
const reasonField = "Qdrant-Sidecar-Reason"

// verdict is what the caller of a failed request is told.
type verdict struct {
	code    int
	reason  Reason
	message string
	// retryAfter is when to come again; 0 says nothing of it.
	retryAfter time.Duration
}

// soon is when to come again if nobody knows: the least that the field can say.
const soon = time.Second

// judge is the one table from cause to answer.
func judge(cause error) verdict {
	if connect, ok := errors.AsType[*ConnectError](cause); ok {
		return verdict{http.StatusServiceUnavailable, NoHealthyUpstream, connect.Error(), soon}
	}
	if connect, ok := errors.AsType[*pool.ConnectError](cause); ok {
		return verdict{http.StatusServiceUnavailable, NoHealthyUpstream, connect.Error(), soon}
	}
	if lost, ok := errors.AsType[*LostError](cause); ok {
		if !lost.Sent {
			return verdict{http.StatusServiceUnavailable, NoHealthyUpstream, lost.Error(), soon}
		}
		// Not to be sent again without thought, so nothing is said of when.
		return verdict{code: http.StatusServiceUnavailable, reason: UpstreamLost, message: lost.Error()}
	}
	if open, ok := errors.AsType[*resilience.OpenError](cause); ok {
		return verdict{http.StatusServiceUnavailable, CircuitOpen, open.Error(), open.Remaining}
	}
	if overload, ok := errors.AsType[*resilience.OverloadError](cause); ok {
		return verdict{http.StatusTooManyRequests, Overloaded, overload.Error() + hint(overload), soon}
	}
	if broken, ok := errors.AsType[*requestError](cause); ok {
		return verdict{code: http.StatusBadRequest, reason: Cancelled, message: broken.Error()}
	}
	switch {
	case errors.Is(cause, resilience.ErrEnding):
		return verdict{http.StatusServiceUnavailable, ShuttingDown, "the sidecar is shutting down while calls are paused", soon}
	case errors.Is(cause, context.DeadlineExceeded):
		return verdict{code: http.StatusGatewayTimeout, reason: DeadlineExceeded, message: cause.Error()}
	case errors.Is(cause, context.Canceled):
		// Nobody reads it. The status is nginx's.
		return verdict{code: 499, reason: Cancelled, message: "the caller went away"}
	case errors.Is(cause, pool.ErrClosed):
		return verdict{http.StatusServiceUnavailable, ShuttingDown, "the sidecar is shutting down", soon}
	case errors.Is(cause, errConnect):
		return verdict{code: http.StatusMethodNotAllowed, reason: Unsupported, message: cause.Error()}
	default:
		return verdict{code: http.StatusBadGateway, reason: Unexpected, message: fmt.Sprintf("unexpected: %v", cause)}
	}
}

// hint says what to do about too many requests.
func hint(o *resilience.OverloadError) string {
	if o.Paused {
		return " (qdrant-sidecar resume ends the pause)"
	}
	return " (send fewer at once, or see --rest-max-requests and --queue-timeout)"
}

var errConnect = errors.New("the sidecar is no proxy for anything but Qdrant: CONNECT is not served")

// lateError says that a read did not begin to answer in time. It is a
// [context.DeadlineExceeded].
type lateError struct{ span time.Duration }

func (e *lateError) Error() string {
	return fmt.Sprintf("no answer from Qdrant within %v, the time of reads (--timeout; the parameter timeout of a request adds to it)", e.span)
}

func (*lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// requestError says that a request did not arrive whole.
type requestError struct{ err error }

func (e *requestError) Error() string {
	return fmt.Sprintf("the request did not arrive whole: %v", e.err)
}

func (e *requestError) Unwrap() error { return e.err }

// fail answers a request in the sidecar's own words, and in the shape of Qdrant's
// errors, which SDKs read. ReverseProxy calls it.
func (x *exchange) fail(w http.ResponseWriter, _ *http.Request, cause error) {
	v := judge(cause)
	x.failure = &v
	if v.reason == Unexpected {
		x.server.log.Error("a REST request failed for a reason that has no status", "route", x.route.name, "error", cause)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	header.Set(reasonField, string(v.reason))
	if v.retryAfter > 0 {
		seconds := (v.retryAfter + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	text := v.body()
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(v.code)
	_, _ = w.Write(text)
}

// body is the answer's: {"status":{"error":"qdrant-sidecar: …"},"time":0.0}.
func (v *verdict) body() []byte {
	var answer struct {
		Status struct {
			Error string `json:"error"`
		} `json:"status"`
		Time json.Number `json:"time"`
	}
	answer.Status.Error = "qdrant-sidecar: " + v.message
	answer.Time = "0.0"
	text, err := json.Marshal(answer)
	if err != nil { // not of strings and numbers
		return nil
	}
	return text
}
