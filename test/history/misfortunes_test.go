package history_test

import (
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

func maxStreams(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: n}
}

// Texts of Qdrant by which it says that it did nothing with a call.
const (
	noRequest = "Missing request message."
	noLeader  = "Service internal error: Failed to propose operation: leader is not established within 10s"
)

// proving says that the fault answers with one of them.
func proving(fault string) bool { return fault == noRequest || fault == noLeader }

// weights is what the weights of all misfortunes, and of none, add up to.
const weights = 2000

// misfortunes are what happens to attempts. The loss of a connection costs every
// call on it, so those are rare. Together they stay well below the fifth of
// failures at which a breaker opens: a run in which the sidecar sends nothing
// proves nothing.
func misfortunes() []faultwire.Weighted {
	const (
		arrived   = faultwire.Arrived
		received  = faultwire.Received
		applied   = faultwire.Applied
		headed    = faultwire.Headed
		halved    = faultwire.Halved
		delivered = faultwire.Delivered
		answered  = faultwire.Answered
	)
	const moment = 20 * time.Millisecond
	internal := faultwire.ResetWith(http2.ErrCodeInternal)
	var list []faultwire.Weighted
	add := func(weight int, name string, at faultwire.Stage, do faultwire.Act) {
		list = append(list, faultwire.Weighted{Weight: weight, Fault: faultwire.Fault{Name: name, At: at, Do: do}})
	}

	// One call is hit.
	add(16, "refused", arrived, faultwire.RefuseStream)
	add(8, "refused late", received, faultwire.Then(faultwire.Pause(moment), faultwire.RefuseStream))
	add(8, "reset before it was applied", received, internal)
	add(12, "applied, then reset", applied, internal)
	add(8, "reset behind the header", headed, faultwire.ResetWith(http2.ErrCodeCancel))
	add(8, "reset in the message", halved, internal)
	add(8, "reset before the trailer", delivered, internal)
	add(12, "UNAVAILABLE", received, faultwire.Status("14", "Service unavailable"))
	add(10, "applied, then UNAVAILABLE", applied, faultwire.Status("14", "Service unavailable"))
	add(4, "INTERNAL", received, faultwire.Status("13", "Service internal error: task panicked"))
	add(4, "applied, then INTERNAL", applied, faultwire.Status("13", "Service internal error: 1 out of 2 shards failed"))
	add(4, "applied, then INTERNAL in the trailer", delivered, faultwire.Trailers("13", "Service internal error: io"))
	add(4, "applied, then a consensus timeout", applied,
		faultwire.Status("13", "Service internal error: Waiting for consensus operation commit failed. Timeout set at: 10 seconds"))
	add(4, "Timeout expired", applied, faultwire.Status("1", "Timeout expired"))
	add(4, "RESOURCE_EXHAUSTED", received, faultwire.Status("8", "Rate limiting exceeded: retry later", "retry-after", "1"))
	add(6, noRequest, received, faultwire.Status("13", noRequest))
	add(2, noLeader, received, faultwire.Status("13", noLeader))
	add(4, "never answered", received, faultwire.Silence)
	add(4, "applied, never answered", applied, faultwire.Silence)
	add(8, "reset, applied later", received, faultwire.Then(faultwire.Keep(internal), faultwire.Pause(3*moment)))
	add(20, "slow", applied, faultwire.Pause(moment))

	// The connection is hit, and every call on it.
	add(1, "aborted on arrival", arrived, faultwire.Abort)
	add(1, "aborted before it was applied", received, faultwire.Abort)
	add(1, "applied, then aborted", applied, faultwire.Abort)
	add(1, "aborted in the message", halved, faultwire.Abort)
	add(1, "applied, then closed", applied, faultwire.Close)
	add(1, "half-closed", received, faultwire.HalfClose)
	add(1, "GOAWAY before", received, faultwire.LeaveConn(http2.ErrCodeNo, ""))
	add(1, "GOAWAY after", applied, faultwire.LeaveConn(http2.ErrCodeNo, ""))
	add(1, "answered, then GOAWAY and aborted", answered,
		faultwire.Then(faultwire.LeaveConn(http2.ErrCodeEnhanceYourCalm, "too_many_resets"), faultwire.Abort))
	add(3, "aborted, applied later", received, faultwire.Then(faultwire.Keep(faultwire.Abort), faultwire.Pause(3*moment)))
	add(1, "connection stalls", arrived, faultwire.StallConn(5*moment))

	hit := 0
	for _, f := range list {
		hit += f.Weight
	}
	return append(list, faultwire.Weighted{Weight: weights - hit, Fault: faultwire.Fault{Name: "none"}})
}
