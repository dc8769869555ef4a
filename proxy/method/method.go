// Package method is the table of Qdrant's RPCs: which methods are known to be
// unary, what repeating a call of each does and why, and what can be read from
// their requests.
//
// The table never limits what passes: a method that is not in it goes through
// as a stream.
package method

import (
	"iter"
	"slices"
	"strings"

	"qdrant-sidecar/resilience"
)

// Method is one RPC. The values are made once, never change, and are compared by
// pointer.
type Method struct {
	// Service and Name are the two parts of the path: "qdrant.Points", "Query".
	Service, Name string
	// Index numbers the methods densely from 0, Other included, so that state
	// per method can live in a slice.
	Index int
	// Collection says that field 1 of the request is the collection's name.
	Collection bool
	// Class says what repeating a call of this method does, whatever its request:
	// the worst of what it can do. [Method.ClassOf] looks into the request.
	Class resilience.Class
	// Reason says why it is of that class, in half a sentence.
	Reason string
	// Deadline is what a call gets that brings no deadline of its own.
	Deadline Deadline
	// NodeLocal says that nodes of one cluster answer differently or act on their
	// own disk only: a retry must not move the call to another endpoint.
	NodeLocal bool
	// Health says that the call asks whether Qdrant is there, not for data: SDKs
	// wait for it when they start. It never queues and no breaker stops it.
	Health bool

	// repeatable are the shapes of request that make the call an IdempotentWrite;
	// nil when the class does not depend on the request.
	repeatable []*shape
}

// FullName returns the path of the method, "/qdrant.Points/Query".
func (m *Method) FullName() string { return "/" + m.Service + "/" + m.Name }

// Deadline is a kind of default deadline; how long each is, is configured.
type Deadline uint8

// The kinds of deadlines.
const (
	// NoDeadline is for methods of which nobody knows how long they take.
	NoDeadline Deadline = iota
	// ReadDeadline is for what answers from memory or an index.
	ReadDeadline
	// WriteDeadline is for changes of points. A bulk upsert takes its time.
	WriteDeadline
	// LongDeadline is for what waits for a consensus of the cluster, builds
	// something for every point, or moves whole files.
	LongDeadline
)

// String returns the kind's name as the documentation shows it.
func (d Deadline) String() string {
	return [...]string{"none", "read", "write", "long"}[d]
}

// Other stands for all methods that the table does not know. Its class is
// Unknown and it has no default deadline.
var Other = &Method{Service: "other", Name: "other", Reason: "nobody has looked at it"}

var methods, byName = build()

func build() ([]*Method, map[string]*Method) {
	all, index := []*Method{Other}, map[string]*Method{}
	for _, service := range table {
		for _, row := range service.rows {
			for name := range strings.FieldsSeq(row.names) {
				m := row.Method
				m.Service, m.Name, m.Index = service.name, name, len(all)
				all = append(all, &m)
				index[m.FullName()] = &m
			}
		}
	}
	return all, index
}

// Lookup returns the method of a path, or Other.
func Lookup(fullName string) *Method {
	if m, ok := byName[fullName]; ok {
		return m
	}
	return Other
}

// All yields every method once by Index, Other first.
func All() iter.Seq[*Method] { return slices.Values(methods) }
