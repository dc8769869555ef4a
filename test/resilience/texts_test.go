package resilience_test

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/internal/faultwire"
)

// Texts of a Qdrant 1.18.3 and of a cluster of three that loses nodes, recorded.
const (
	missingMessage = "Missing request message."
	undecodable    = "failed to decode Protobuf message: invalid varint"
	truncated      = "Unexpected EOF decoding stream."
	badFrame       = "protocol error: received message with compressed-flag but no grpc-encoding was specified"
	timeoutExpired = "Timeout expired"

	service      = "Service internal error: "
	noLeader     = service + "Failed to propose operation: leader is not established within 10s"
	notCommitted = service + "Waiting for consensus operation commit failed. Timeout set at: 3 seconds"
	remoteWrite  = service + `Tonic status error: code: 'The service is currently unavailable', message: "tcp connect error", source: tonic::transport::Error(…)`
	remoteWrite2 = service + `Tonic status error: code: 'The service is currently unavailable', message: "Failed to connect to http://10.0.0.2:6335/, error: transport error"`
	remoteRead   = service + "1 of 1 read operations failed:\n  " + remoteWrite
	remoteRead2  = service + "1 of 1 read operations failed:\n  " + remoteWrite2
	remoteRead3  = service + "1 of 1 read operations failed:\n  " + service +
		`Tonic status error: code: 'Unknown error', message: "transport error", source: tonic::transport::Error(Transport, hyper::Error(Io, Kind(ConnectionReset)))`
	ownRead = service + "1 of 1 read operations failed:\n  " + service + "task panicked"
)

// encoded is text as a grpc-message has it.
func encoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// extras go with every scripted answer, and must reach the caller as they are: fields
// that come twice and are empty, and details that are not gRPC's.
func extras() []string {
	return []string{"x-note", "a", "x-note", "", "x-note", "a", "grpc-status-details-bin", "AAEC"}
}

// says answers with a status.
func says(code codes.Code, text string, fields ...string) faultwire.Fault {
	return faultwire.Fault{
		At: faultwire.Received,
		Do: faultwire.Status(fmt.Sprint(uint32(code)), encoded(text), append(fields, extras()...)...),
	}
}
