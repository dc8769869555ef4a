package resilience

import "strings"

// Qdrant says INTERNAL to many things that call for different treatment, so that
// for this one code the message has to be read. These are all of its texts that
// anything here depends on; the source is behind each. "Recorded" means from a
// live Qdrant 1.18.3. They are compared from their first byte, never searched for:
// what users name and store appears in messages too, but never at their start.
const (
	// A call that ended after its HEADERS: nobody saw a request. Recorded; tonic,
	// server/grpc.rs.
	textMissingMessage = "Missing request message."

	// A request that cannot be read. The first three are recorded (raw frames sent to
	// a live server; prost, error.rs; tonic, codec/decode.rs); the last is in the same
	// tonic file and was not provoked.
	textUndecodable    = "failed to decode Protobuf message: "
	textTruncated      = "Unexpected EOF decoding stream."
	textBadFrame       = "protocol error: received message with "
	textUndecompressed = "Error decompressing: "

	// A change of the cluster that was not proposed, and one that was and may still
	// happen. Recorded with two of three nodes dead.
	textNoLeader     = textService + "Failed to propose operation: leader is not established"
	textNotCommitted = textService + "Waiting for consensus operation commit failed"

	// What another node said, or did not, to the one that answers: a write's text,
	// and with a heading a read's. Recorded with a node terminated, killed and dead.
	textRemote        = textService + "Tonic status error: "
	textReadsFailed   = " read operations failed:\n"
	textReadsFailedOn = "  " + textRemote

	textService = "Service internal error: "
)

// Qdrant's server, tonic, ends a call whose grpc-timeout has passed with CANCELLED
// and this, where gRPC says DEADLINE_EXCEEDED. tonic, status.rs.
const textTimeout = "Timeout expired"

// internalCause tells the kinds of INTERNAL apart.
func internalCause(message string) Cause {
	if message == textMissingMessage {
		return MissingMessage
	}
	for _, unreadable := range [...]string{textUndecodable, textTruncated, textBadFrame, textUndecompressed} {
		if strings.HasPrefix(message, unreadable) {
			return Malformed
		}
	}
	switch {
	case strings.HasPrefix(message, textNoLeader):
		return NoLeader
	case strings.HasPrefix(message, textNotCommitted):
		return NotCommitted
	case strings.HasPrefix(message, textRemote), onlyRemoteReadsFailed(message):
		return NodeBehind
	default:
		return Internal
	}
}

// onlyRemoteReadsFailed recognises "1 of 2 read operations failed:" followed by a
// line for each. One that failed on the answering node itself makes it that
// node's trouble.
func onlyRemoteReadsFailed(message string) bool {
	counts, ok := strings.CutPrefix(message, textService)
	if !ok {
		return false
	}
	counts, failures, ok := strings.Cut(counts, textReadsFailed)
	if !ok || strings.Trim(counts, "0123456789") != " of " {
		return false
	}
	for failure := range strings.SplitSeq(failures, "\n") {
		if !strings.HasPrefix(failure, textReadsFailedOn) {
			return false
		}
	}
	return true
}
