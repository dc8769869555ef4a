package resilience_test

import (
	"fmt"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/internal/faultwire"
)

// want is what becomes of a call whose attempts fail: how many there are, and why there
// is no other, a label of the metric; "" for a call that succeeds in the end.
type want struct {
	attempts int
	why      string
}

func works(attempts int) want             { return want{attempts, ""} }
func gaveUp(attempts int) want            { return want{attempts, "attempts"} }
func stays(why string) want               { return want{1, why} }
func is(w want) [4]want                   { return [4]want{w, w, w, w} }
func columns(r, i, u, other want) [4]want { return [4]want{r, i, u, other} }

// row is one way for attempts to fail.
type row struct {
	name string
	script
	// outcome is the name that the failed attempts have in the metric; "" is none.
	outcome string
	// code is what the caller gets when the call fails; reason is the sidecar's own,
	// "" when it is Qdrant's answer that he gets, with this text.
	code   codes.Code
	text   string
	reason string
	// asks is what Qdrant's answer says of coming again.
	asks string
	// want is by class: Read, IdempotentWrite, UnsafeWrite, Unknown. What is unknown
	// passes as it comes, so it is sent once, also where an UnsafeWrite is repeated;
	// and nobody reads what its answer says about coming again.
	want [4]want
}

// answered is a row in which Qdrant says something, always.
func answered(name, outcome string, code codes.Code, text string, want [4]want, fields ...string) row {
	r := row{name: name, script: script{fault: says(code, text, fields...)}, outcome: outcome, code: code, text: text, want: want}
	r.asks = faultwire.Pairs(fields...).Get("grpc-retry-pushback-ms")
	return r
}

// lost is a row in which the first attempt of a call meets what leaves it open
// whether it was carried out: what follows is the same for all of them.
func lost(name string, at faultwire.Stage, do faultwire.Act, code codes.Code) row {
	return row{
		name: name, script: script{fault: faultwire.Fault{At: at, Do: do}, first: 1}, outcome: "lost",
		code: code, reason: "UPSTREAM_LOST",
		want: columns(works(2), works(2), stays("not_idempotent"), stays("not_idempotent")),
	}
}

const (
	permanent     = "permanent"
	notIdempotent = "not_idempotent"
	tooLarge      = "too_large"
)

// rows is the table "what may be repeated" of docs/guarantees.md, made complete.
func rows() []row {
	repeatedReads := columns(gaveUp(2), stays(notIdempotent), stays(notIdempotent), stays(notIdempotent))
	repeatedWrites := columns(gaveUp(4), gaveUp(4), stays(notIdempotent), stays(notIdempotent))
	void := columns(gaveUp(4), gaveUp(4), gaveUp(4), stays(tooLarge))
	limited := columns(gaveUp(4), stays(notIdempotent), stays(notIdempotent), stays(permanent))
	list := []row{
		answered("OK", "", codes.OK, "", is(works(1))),
		answered("no request", "missing_message", codes.Internal, missingMessage, void),
		answered("no leader", "no_leader", codes.Internal, noLeader, columns(stays(permanent), gaveUp(2), gaveUp(2), stays(tooLarge))),
		answered("UNAVAILABLE", "unavailable", codes.Unavailable, "Service unavailable: shard 0 — \"busy\"", repeatedWrites),
		answered("INTERNAL", "internal", codes.Internal, service+"task 7 panicked", repeatedReads),
		answered("a read of its own failed", "internal", codes.Internal, ownRead, repeatedReads),
		answered("rate limit", "rate_limited", codes.ResourceExhausted, "Rate limiting exceeded: retry later", limited, "retry-after", "0"),
		answered("rate limit beyond the deadline", "rate_limited", codes.ResourceExhausted, "Rate limiting exceeded: retry later",
			columns(stays("deadline"), stays(notIdempotent), stays(notIdempotent), stays(permanent)), "retry-after", "600"),
		answered("storage is full", "exhausted", codes.ResourceExhausted, "No space left on device", is(stays(permanent)),
			"retry-after", "1", "qdrant-insufficient-storage", "1"),
		answered("message too large", "exhausted", codes.ResourceExhausted, "message length too large", is(stays(permanent))),
		answered("timeout", "server_timeout", codes.Canceled, timeoutExpired, is(stays(permanent))),
		answered("DEADLINE_EXCEEDED", "server_timeout", codes.DeadlineExceeded, "too slow", is(stays(permanent))),
		answered("not committed", "not_committed", codes.Internal, notCommitted, is(stays(permanent))),
		// Pushback, which is above the rule.
		answered("UNAVAILABLE, come again", "unavailable", codes.Unavailable, "soon", repeatedWrites, "grpc-retry-pushback-ms", "5"),
		answered("UNAVAILABLE, stay away", "unavailable", codes.Unavailable, "no",
			columns(stays("pushback"), stays("pushback"), stays(notIdempotent), stays(notIdempotent)), "grpc-retry-pushback-ms", "-1"),
		answered("UNAVAILABLE, come too late", "unavailable", codes.Unavailable, "later",
			columns(stays("deadline"), stays("deadline"), stays(notIdempotent), stays(notIdempotent)), "grpc-retry-pushback-ms", "400000"),
	}
	for name, text := range map[string]string{
		"write": remoteWrite, "write, no route": remoteWrite2,
		"read": remoteRead, "read, no route": remoteRead2, "read, reset": remoteRead3,
	} {
		list = append(list, answered("node behind: "+name, "node_behind", codes.Internal, text, repeatedReads))
	}
	for _, text := range []string{undecodable, truncated, badFrame} {
		list = append(list, answered(text, "malformed", codes.Internal, text, is(stays(permanent))))
	}
	// Everything else.
	for code, outcome := range map[codes.Code]string{
		codes.InvalidArgument: "rejected", codes.NotFound: "rejected", codes.AlreadyExists: "rejected",
		codes.PermissionDenied: "rejected", codes.Unauthenticated: "rejected", codes.FailedPrecondition: "rejected",
		codes.OutOfRange: "rejected", codes.Unimplemented: "rejected",
		codes.Unknown: "unclear", codes.Aborted: "unclear", codes.Canceled: "unclear", codes.Code(99): "unclear",
		codes.DataLoss: "data_loss",
	} {
		list = append(list, answered(fmt.Sprint(code), outcome, code, "100% «wrong»", is(stays(permanent))))
	}
	return append(list, wireRows()...)
}

// wireRows are the failures of which nobody says anything.
func wireRows() []row {
	refused := columns(gaveUp(6), gaveUp(6), gaveUp(6), stays(tooLarge))
	reset := faultwire.ResetWith(http2.ErrCodeInternal)
	list := []row{
		// Never sent: twice at once, and then three times like anything else.
		{name: "refused", script: script{fault: faultwire.Refusal()}, outcome: "never_sent", code: codes.Unavailable, reason: "NO_HEALTHY_UPSTREAM", want: refused},
		{
			name: "refused when it was whole", script: script{fault: faultwire.Fault{At: faultwire.Received, Do: faultwire.RefuseStream}},
			outcome: "never_sent", code: codes.Unavailable, reason: "NO_HEALTHY_UPSTREAM", want: refused,
		},
		{
			name: "GOAWAY below it", script: script{fault: faultwire.Fault{Do: faultwire.Then(
				faultwire.SayGoAway(faultwire.Below, http2.ErrCodeNo, ""), faultwire.Silence)}, first: 1},
			outcome: "never_sent", code: codes.Unavailable, reason: "NO_HEALTHY_UPSTREAM",
			want: columns(works(2), works(2), works(2), stays(tooLarge)),
		},
		// GOAWAY that names the call is a promise to answer it.
		{
			name: "GOAWAY above it", script: script{fault: faultwire.Fault{Do: faultwire.SayGoAway(faultwire.Own, http2.ErrCodeNo, "")}, first: 1},
			outcome: "", want: is(works(1)),
		},
		// The same way to be lost, each time.
		{
			name: "always reset", script: script{fault: faultwire.LostAfter(reset)}, outcome: "lost",
			code: codes.Internal, reason: "UPSTREAM_LOST",
			want: columns(gaveUp(4), gaveUp(4), stays(notIdempotent), stays(notIdempotent)),
		},
		lost("reset before it was applied", faultwire.Received, reset, codes.Internal),
		lost("reset when it was applied", faultwire.Applied, reset, codes.Internal),
		lost("reset, NO_ERROR", faultwire.Applied, faultwire.ResetWith(http2.ErrCodeNo), codes.Internal),
		lost("reset, CANCEL", faultwire.Applied, faultwire.ResetWith(http2.ErrCodeCancel), codes.Canceled),
		lost("reset, ENHANCE_YOUR_CALM", faultwire.Applied, faultwire.ResetWith(http2.ErrCodeEnhanceYourCalm), codes.ResourceExhausted),
		lost("reset behind the header", faultwire.Headed, reset, codes.Internal),
		lost("reset in the message", faultwire.Halved, reset, codes.Internal),
		lost("reset before the trailer", faultwire.Delivered, reset, codes.Internal),
		lost("aborted before it was applied", faultwire.Received, faultwire.Abort, codes.Unavailable),
		lost("aborted when it was applied", faultwire.Applied, faultwire.Abort, codes.Unavailable),
		lost("aborted in the message", faultwire.Halved, faultwire.Abort, codes.Unavailable),
		lost("closed", faultwire.Applied, faultwire.Close, codes.Unavailable),
		lost("half-closed", faultwire.Received, faultwire.HalfClose, codes.Unavailable),
		lost("GOAWAY above it, aborted", faultwire.Applied, faultwire.Then(
			faultwire.SayGoAway(faultwire.Own, http2.ErrCodeNo, ""), faultwire.Abort), codes.Unavailable),
	}
	// A status behind a message is a status. What is unknown has reached the caller
	// by then.
	unavailable := row{
		name: "UNAVAILABLE behind the message", outcome: "unavailable", code: codes.Unavailable, text: "late",
		script: script{fault: faultwire.Fault{At: faultwire.Delivered, Do: faultwire.Trailers("14", "late", extras()...)}},
		want:   columns(gaveUp(4), gaveUp(4), stays(notIdempotent), stays(notIdempotent)),
	}
	once := unavailable
	once.name, once.first = "UNAVAILABLE behind the message, once", 1
	once.want = columns(works(2), works(2), stays(notIdempotent), stays(notIdempotent))
	return append(list, unavailable, once)
}
