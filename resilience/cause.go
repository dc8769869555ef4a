package resilience

// Cause is why an attempt ended as it did: the rows of both tables of this
// package. Its names are metric labels; the set is closed.
type Cause uint8

// What the transport or the sidecar itself knows, and sets in an [Outcome].
const (
	// Lost is a connection or stream that ended after something may have been
	// sent. It is the zero value because it is the one that proves nothing.
	Lost Cause = iota
	// NeverSent is an attempt of which the transport knows that the upstream did
	// nothing with it: REFUSED_STREAM, an id above GOAWAY's last, never written,
	// never out of the pool's own queue. Never a guess from a code or a text.
	NeverSent
	// Unreachable is NeverSent for want of a connection: dial, TLS or preface failed.
	Unreachable
	// TryTimeout is the end of the time that the sidecar gave this one attempt.
	TryTimeout
	// DeadlinePassed is the end of the call's time.
	DeadlinePassed
	// CallerGone is a caller that cancelled or went away.
	CallerGone
	// Refused is an attempt that the sidecar did not let through: an open breaker,
	// admission, a shutdown.
	Refused
	// Answered is any answer with a status. [Classify] replaces it by one of those
	// below.
	Answered
)

// What is read from an answer.
const (
	// OK is success. Answers are not looked into: a write that timed out waiting
	// for its effect is OK, too.
	OK Cause = iota + Answered + 1
	// MissingMessage is INTERNAL about a call whose request never came.
	MissingMessage
	// NoLeader is INTERNAL about a change of the cluster that was not proposed.
	NoLeader
	// NotCommitted is INTERNAL about such a change that was, and may still happen.
	NotCommitted
	// NodeBehind is INTERNAL about a node behind the one that answered.
	NodeBehind
	// Malformed is INTERNAL about a request that cannot be read.
	Malformed
	// Internal is any other INTERNAL.
	Internal
	// Unavailable is UNAVAILABLE in an answer.
	Unavailable
	// RateLimited is RESOURCE_EXHAUSTED that says when to come again.
	RateLimited
	// Exhausted is any other RESOURCE_EXHAUSTED: storage, or a message's size.
	Exhausted
	// ServerTimeout is an upstream that ran out of time: of its own, of the request's
	// timeout field, or of grpc-timeout.
	ServerTimeout
	// Corrupt is DATA_LOSS.
	Corrupt
	// Rejected is a code that finds fault with the request.
	Rejected
	// Unclear is a code that says too little: UNKNOWN, ABORTED, CANCELLED, and what
	// gRPC does not define.
	Unclear

	causes = iota + Answered + 1
)

// String returns the cause as metrics and logs show it.
func (c Cause) String() string { return outcomes[c].name }

// Fault says whose fault an outcome was, as far as it concerns the endpoint that
// was asked. [Permit.Done] takes it.
type Fault uint8

// The faults.
const (
	// Unproven means that nothing was learned about the endpoint. It is the zero
	// value, so that what is forgotten trips nothing.
	Unproven Fault = iota
	// NoFault is a success.
	NoFault
	// Caller is an answer that finds fault with the request: the endpoint is well.
	Caller
	// Aside is an answer about something else: a node behind the endpoint, a limit
	// that somebody set. It neither clears nor blames the endpoint, but shows that it
	// answers.
	Aside
	// Upstream is a failure of the endpoint.
	Upstream
)

// Well says that the endpoint answered as it should.
func (f Fault) Well() bool { return f == NoFault || f == Caller }

// String returns the fault as metrics and logs show it.
func (f Fault) String() string {
	return [...]string{"unproven", "none", "caller", "aside", "upstream"}[f]
}

// outcomes is what each cause means: the table "what it proves, whose fault".
var outcomes = [causes]struct {
	name string
	// notExecuted: the upstream certainly did nothing with the call.
	notExecuted bool
	fault       Fault
}{
	Lost: {"lost", false, Upstream},
	// A server that ends connections in good order refuses what it had not begun
	// with; ten calls of one GOAWAY are no sick server.
	NeverSent:   {"never_sent", true, Unproven},
	Unreachable: {"unreachable", true, Upstream},
	// A query may take longer than an attempt has. The next attempt has all the time
	// that is left, and its end counts.
	TryTimeout:     {"try_timeout", false, Unproven},
	DeadlinePassed: {"deadline", false, Upstream}, // if patient
	CallerGone:     {"caller_gone", false, Unproven},
	Refused:        {"refused", true, Unproven},
	Answered:       {"answered", false, Unproven},
	OK:             {"ok", false, NoFault},
	MissingMessage: {"missing_message", true, Caller},
	NoLeader:       {"no_leader", true, Upstream},
	NotCommitted:   {"not_committed", false, Upstream},
	NodeBehind:     {"node_behind", false, Aside},
	Malformed:      {"malformed", false, Caller},
	Internal:       {"internal", false, Upstream},
	Unavailable:    {"unavailable", false, Upstream},
	RateLimited:    {"rate_limited", false, Aside},
	Exhausted:      {"exhausted", false, Aside},
	ServerTimeout:  {"server_timeout", false, Upstream}, // if patient
	Corrupt:        {"data_loss", false, Upstream},
	Rejected:       {"rejected", false, Caller},
	Unclear:        {"unclear", false, Aside},
}
