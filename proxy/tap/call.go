// Package tap shows calls that have ended to whoever watches: those that failed
// last, always, and all others while somebody asks for them. It costs a call that
// nobody watches one look at a pointer, and no call ever waits for a watcher.
package tap

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Call is what is told of a call that has ended. Nothing in it but Message, Request
// and Answer comes from a payload.
type Call struct {
	// Started is when the call arrived.
	Started time.Time
	// Method is "Points/Query", or what the caller named, shortened.
	Method string
	// Collection is "" when the call names none.
	Collection string
	Code       codes.Code
	// Reason says why the sidecar failed the call; "" when it did not.
	Reason string
	// Outcome is what the last attempt came to; "" when there was none.
	Outcome string
	// Message is the text of the error. Own says that it is the sidecar's; what Qdrant
	// says may quote the call, so it goes only where bodies go.
	Message string
	Own     bool
	// Node and Connection are those of the last attempt; Node is "" when there was none.
	Node       string
	Connection int
	Attempts   int
	// NotRetried says why there was no further attempt; "" when that was no question.
	NotRetried string
	// Deadline is how long the caller would have waited, if Timed.
	Deadline time.Duration
	Timed    bool
	// Duration is from the call's arrival to its end, and the others where that went.
	Duration                                   time.Duration
	Receive, Queue, Backoff, Upstream, Sidecar time.Duration
	Peer, UserAgent                            string
	// RequestBytes and AnswerBytes are sizes on the wire.
	RequestBytes, AnswerBytes int64
	// Request and Answer are on the wire like this. Only for watchers who ask for
	// bodies.
	Request, Answer []byte
}

// Failed reports whether the caller saw the call fail.
func (c *Call) Failed() bool { return c.Code != codes.OK }

// Filter says which calls to show. Zero fields let every call pass.
type Filter struct {
	// Methods are parts of names, in lower case.
	Methods     []string
	Collections []string
	Codes       []codes.Code
	SlowerThan  time.Duration
	Failed      bool
	// Bodies asks for requests and answers, and for the words of Qdrant's errors.
	Bodies bool
}

// shows reports whether a call passes.
func (f *Filter) shows(c *Call) bool {
	switch {
	case f.Failed && !c.Failed():
	case c.Duration < f.SlowerThan:
	case len(f.Codes) > 0 && !slices.Contains(f.Codes, c.Code):
	case len(f.Collections) > 0 && !slices.Contains(f.Collections, c.Collection):
	case len(f.Methods) > 0 && !containsAny(strings.ToLower(c.Method), f.Methods):
	default:
		return true
	}
	return false
}

func containsAny(name string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
}
