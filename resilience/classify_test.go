package resilience_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/resilience"
)

// The texts of a three-node Qdrant 1.18.3 whose nodes fail, as recorded.
const (
	connectRefused = `Tonic status error: code: 'The service is currently unavailable', message: "tcp connect error", ` +
		`source: tonic::transport::Error(Transport, ConnectError(ConnectError("tcp connect error", 127.0.0.1:7335, Os { code: 111, kind: ConnectionRefused, message: "Connection refused" })))`
	connectFailed = `Tonic status error: code: 'The service is currently unavailable', message: "Failed to connect to http://127.0.0.1:7335/, error: transport error"`
	connectReset  = `Tonic status error: code: 'Unknown error', message: "transport error", ` +
		`source: tonic::transport::Error(Transport, hyper::Error(Io, Kind(ConnectionReset)))`
	service  = "Service internal error: "
	oneOfOne = service + "1 of 1 read operations failed:\n  " + service
)

func answer(code codes.Code, message string) resilience.Outcome {
	return resilience.Outcome{Cause: resilience.Answered, Code: code, Message: message, Elapsed: time.Millisecond}
}

func TestClassify(t *testing.T) {
	limited := answer(codes.ResourceExhausted, "Rate limiting exceeded: Read rate limit exceeded")
	limited.RetryAfter = "3"
	pushed := answer(codes.ResourceExhausted, "")
	pushed.Pushback = "150"
	full := answer(codes.ResourceExhausted, "")
	full.RetryAfter, full.StorageFull = "3", true
	patient := func(o resilience.Outcome) resilience.Outcome { o.Elapsed = time.Second; return o }
	ownTry := patient(answer(codes.Canceled, "Timeout expired"))
	ownTry.Try = 1050 * time.Millisecond
	early := ownTry
	early.Try = 5 * time.Second

	for _, test := range []struct {
		name        string
		outcome     resilience.Outcome
		cause       resilience.Cause
		fault       resilience.Fault
		notExecuted bool
	}{
		{"nothing known", resilience.Outcome{}, resilience.Lost, resilience.Upstream, false},
		{"never sent", resilience.Outcome{Cause: resilience.NeverSent}, resilience.NeverSent, resilience.Unproven, true},
		{"dial failed", resilience.Outcome{Cause: resilience.Unreachable}, resilience.Unreachable, resilience.Upstream, true},
		{"own try timeout", resilience.Outcome{Cause: resilience.TryTimeout}, resilience.TryTimeout, resilience.Unproven, false},
		{"caller's short deadline", resilience.Outcome{Cause: resilience.DeadlinePassed, Elapsed: 999 * time.Millisecond}, resilience.DeadlinePassed, resilience.Unproven, false},
		{"caller's patient deadline", resilience.Outcome{Cause: resilience.DeadlinePassed, Elapsed: time.Second}, resilience.DeadlinePassed, resilience.Upstream, false},
		{"caller gone", resilience.Outcome{Cause: resilience.CallerGone, Elapsed: time.Minute}, resilience.CallerGone, resilience.Unproven, false},
		{"own refusal", resilience.Outcome{Cause: resilience.Refused}, resilience.Refused, resilience.Unproven, true},
		{"ok", answer(codes.OK, ""), resilience.OK, resilience.NoFault, false},

		{"no message", answer(codes.Internal, "Missing request message."), resilience.MissingMessage, resilience.Caller, true},
		{"no leader", answer(codes.Internal, service+"Failed to propose operation: leader is not established within 10s"), resilience.NoLeader, resilience.Upstream, true},
		{"not committed", answer(codes.Internal, service+"Waiting for consensus operation commit failed. Timeout set at: 3 seconds"), resilience.NotCommitted, resilience.Upstream, false},
		{"read: other node refused", answer(codes.Internal, oneOfOne+connectRefused), resilience.NodeBehind, resilience.Aside, false},
		{"read: other node unreachable", answer(codes.Internal, oneOfOne+connectFailed), resilience.NodeBehind, resilience.Aside, false},
		{"read: other node reset", answer(codes.Internal, oneOfOne+connectReset), resilience.NodeBehind, resilience.Aside, false},
		{"write: other node refused", answer(codes.Internal, service+connectRefused), resilience.NodeBehind, resilience.Aside, false},
		{"write: other node unreachable", answer(codes.Internal, service+connectFailed), resilience.NodeBehind, resilience.Aside, false},
		{"read: two other nodes", answer(codes.Internal, service+"2 of 3 read operations failed:\n  "+service+connectRefused+"\n  "+service+connectFailed), resilience.NodeBehind, resilience.Aside, false},
		{"read: another node and this one", answer(codes.Internal, service+"2 of 2 read operations failed:\n  "+service+connectRefused+"\n  "+service+"disk on fire"), resilience.Internal, resilience.Upstream, false},
		{"read: this one", answer(codes.Internal, service+"1 of 1 read operations failed:\n  "+service+"disk on fire"), resilience.Internal, resilience.Upstream, false},
		{"read: nobody to ask", answer(codes.Internal, service+"0 of 0 read operations failed"), resilience.Internal, resilience.Upstream, false},
		{"read: counted by somebody else", answer(codes.Internal, service+"his read operations failed:\n  "+service+connectRefused), resilience.Internal, resilience.Upstream, false},
		{"undecodable", answer(codes.Internal, "failed to decode Protobuf message: invalid varint"), resilience.Malformed, resilience.Caller, false},
		{"truncated", answer(codes.Internal, "Unexpected EOF decoding stream."), resilience.Malformed, resilience.Caller, false},
		{"compressed without a word", answer(codes.Internal, "protocol error: received message with compressed-flag but no grpc-encoding was specified"), resilience.Malformed, resilience.Caller, false},
		{"not gzip", answer(codes.Internal, "Error decompressing: invalid gzip header, while sending request"), resilience.Malformed, resilience.Caller, false},
		{"internal", answer(codes.Internal, service+"task 12 panicked"), resilience.Internal, resilience.Upstream, false},
		{"internal, saying nothing", answer(codes.Internal, ""), resilience.Internal, resilience.Upstream, false},
		{"a text where users write", answer(codes.Internal, service+"Collection `Missing request message.` is broken"), resilience.Internal, resilience.Upstream, false},
		{"a text under another code", answer(codes.NotFound, "Missing request message."), resilience.Rejected, resilience.Caller, false},

		{"unavailable", answer(codes.Unavailable, ""), resilience.Unavailable, resilience.Upstream, false},
		{"rate limit", limited, resilience.RateLimited, resilience.Aside, false},
		{"rate limit by pushback", pushed, resilience.RateLimited, resilience.Aside, false},
		{"no space", full, resilience.Exhausted, resilience.Aside, false},
		{"too large, or more than the bucket", answer(codes.ResourceExhausted, ""), resilience.Exhausted, resilience.Aside, false},
		{"grpc-timeout, short", answer(codes.Canceled, "Timeout expired"), resilience.ServerTimeout, resilience.Aside, false},
		{"grpc-timeout, patient", patient(answer(codes.Canceled, "Timeout expired")), resilience.ServerTimeout, resilience.Upstream, false},
		{"grpc-timeout, ours of this try", ownTry, resilience.TryTimeout, resilience.Unproven, false},
		{"grpc-timeout, before ours", early, resilience.ServerTimeout, resilience.Upstream, false},
		{"body timeout, short", answer(codes.DeadlineExceeded, ""), resilience.ServerTimeout, resilience.Aside, false},
		{"body timeout, patient", patient(answer(codes.DeadlineExceeded, "")), resilience.ServerTimeout, resilience.Upstream, false},
		{"data loss", answer(codes.DataLoss, ""), resilience.Corrupt, resilience.Upstream, false},
		{"cancelled by the server", answer(codes.Canceled, "whatever"), resilience.Unclear, resilience.Aside, false},
		{"unknown", answer(codes.Unknown, ""), resilience.Unclear, resilience.Aside, false},
		{"aborted", answer(codes.Aborted, ""), resilience.Unclear, resilience.Aside, false},
		{"undefined code", answer(99, ""), resilience.Unclear, resilience.Aside, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := resilience.Classify(test.outcome)
			if v.Cause != test.cause || v.Fault != test.fault || v.NotExecuted != test.notExecuted {
				t.Errorf("got %v, fault %v, not executed %t; want %v, %v, %t",
					v.Cause, v.Fault, v.NotExecuted, test.cause, test.fault, test.notExecuted)
			}
		})
	}
}

// Calls that were lost with their connection blame the upstream once.
func TestLostTogether(t *testing.T) {
	first := resilience.Classify(resilience.Outcome{Cause: resilience.Lost, Together: true})
	if first.Fault != resilience.Upstream || !first.Together || first.NotExecuted {
		t.Errorf("the first: %+v", first)
	}
	next := resilience.Classify(resilience.Outcome{Cause: resilience.Lost, Together: true, Counted: true})
	if next.Fault != resilience.Unproven || !next.Together || next.NotExecuted {
		t.Errorf("the others: %+v", next)
	}
}

func TestCodesThatBlameTheRequest(t *testing.T) {
	for _, code := range []codes.Code{
		codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.Unauthenticated, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented,
	} {
		o := answer(code, "")
		o.Elapsed = time.Minute
		if v := resilience.Classify(o); v.Cause != resilience.Rejected || v.Fault != resilience.Caller {
			t.Errorf("%v: got %v, fault %v", code, v.Cause, v.Fault)
		}
	}
}

func TestPushback(t *testing.T) {
	for _, test := range []struct {
		pushback, retryAfter string
		want                 resilience.Pushback
	}{
		{"", "", resilience.Pushback{}},
		{"0", "", resilience.Pushback{Asked: true}},
		{"1500", "", resilience.Pushback{Asked: true, Wait: 1500 * time.Millisecond}},
		{"", "0", resilience.Pushback{Asked: true}},
		{"", "2", resilience.Pushback{Asked: true, Wait: 2 * time.Second}},
		{"100", "2", resilience.Pushback{Asked: true, Wait: 100 * time.Millisecond}},
		{"-1", "", resilience.Pushback{Stop: true}},
		{"-1", "2", resilience.Pushback{Stop: true}},
		{"soon", "", resilience.Pushback{Stop: true}},
		{"10, 20", "", resilience.Pushback{Stop: true}},
		{"", "1.5", resilience.Pushback{Stop: true}},
		{"", "Wed, 21 Oct 2026 07:28:00 GMT", resilience.Pushback{Stop: true}},
		{"", "3600", resilience.Pushback{Asked: true, Wait: time.Hour}},
		{"", "3601", resilience.Pushback{Stop: true}},
		{"99999999999999999999", "", resilience.Pushback{Stop: true}},
	} {
		t.Run(fmt.Sprintf("%q %q", test.pushback, test.retryAfter), func(t *testing.T) {
			o := answer(codes.Unavailable, "")
			o.Pushback, o.RetryAfter = test.pushback, test.retryAfter
			if got := resilience.Classify(o).Pushback; got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// FuzzClassify gives it answers from anywhere. An answer is never taken for one of
// the things that only the transport can know, and proof of not having been
// executed comes only from the two texts that give it.
func FuzzClassify(f *testing.F) {
	for _, message := range []string{"", "Missing request message.", "Timeout expired", oneOfOne + connectRefused, service + connectFailed,
		service + "Failed to propose operation: leader is not established within 10s"} {
		f.Add(uint32(codes.Internal), message, "", "", false, int64(0), int64(0))
	}
	f.Add(uint32(codes.Canceled), "Timeout expired", "3", "-1", true, int64(time.Second), int64(time.Second))
	f.Fuzz(func(t *testing.T, code uint32, message, retryAfter, pushback string, full bool, elapsed, try int64) {
		v := resilience.Classify(resilience.Outcome{
			Cause: resilience.Answered, Code: codes.Code(code), Message: message, RetryAfter: retryAfter, Pushback: pushback,
			StorageFull: full, Elapsed: time.Duration(elapsed), Try: time.Duration(try),
		})
		if v.Cause < resilience.OK && v.Cause != resilience.TryTimeout {
			t.Errorf("an answer classified as %v", v.Cause)
		}
		if (v.Cause == resilience.OK) != (code == 0) {
			t.Errorf("code %d classified as %v", code, v.Cause)
		}
		proof := message == "Missing request message." || strings.HasPrefix(message, service+"Failed to propose operation: leader is not established")
		if v.NotExecuted != (proof && codes.Code(code) == codes.Internal) {
			t.Errorf("not executed: %t after %d %q", v.NotExecuted, code, message)
		}
		if v.Pushback.Wait < 0 || v.Pushback.Wait > time.Hour || v.Pushback.Asked && v.Pushback.Stop {
			t.Errorf("pushback %+v", v.Pushback)
		}
	})
}
