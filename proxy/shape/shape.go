// Package shape tells from the bytes of a call what it asks for, without what it
// asks about: how many points, how deep a filter, and never an id, a vector, a
// payload or the value of a condition. It is for log lines.
//
// It looks only at calls that are told of, at no more of them than a bound, and
// believes nothing: a request is whatever its sender made it.
package shape

import (
	"encoding/binary"
	"log/slog"
	"slices"

	"google.golang.org/grpc/mem"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/protoscan"
)

// Shape is what is told of a request. The zero value tells nothing.
type Shape struct {
	group group
	sizes [sizeCount]uint64
	flags uint64 // a bit for each [flag]
	names [setCount]uint64
	// partly says why some of the request was not read; "" when all was.
	partly partly
}

// partly says why what is told of a request is not all of it. It is a log field.
type partly string

// Why some of a request is not read.
const (
	whole      partly = ""
	cutOff     partly = "cut"        // only its start was there
	tooLong    partly = "long"       // it has more parts than are looked at
	tooDeep    partly = "deep"       // it is nested deeper than is looked at
	malformed  partly = "malformed"  // it is no message
	compressed partly = "compressed" // by a method that is not known
)

// Bounds of the work for one message, far beyond what SDKs send: about a
// millisecond.
const (
	maxFields = 1 << 17
	maxDepth  = 64
)

// Of reads the shape of a request of method m from its body as it is on the wire, or
// the start of it. encoding is the caller's grpc-encoding. Numbers of what was not
// read whole are of what was.
func Of(m *method.Method, body mem.BufferSlice, encoding string) Shape {
	known, ok := requests[m.FullName()]
	if !ok {
		return Shape{}
	}
	r := reader{shape: Shape{group: known.group}, left: maxFields}
	if r.Scanner, r.short, ok = open(body, encoding); !ok {
		r.shape.partly = compressed
		return r.shape
	}
	short := r.short
	r.message(known.request)
	if short { // maybe between two fields
		r.stop(cutOff)
	}
	return r.shape
}

// Announced returns how many bytes a message says that it has, of whose body the start is
// given.
func Announced(body mem.BufferSlice) int {
	var prefix [5]byte
	body.CopyTo(prefix[:])
	return int(binary.BigEndian.Uint32(prefix[1:]))
}

// open returns a scanner of a message, compressed or not. missing says that some of
// the message is not there.
func open(body mem.BufferSlice, encoding string) (s protoscan.Scanner, missing, ok bool) {
	s, absent, ok := protoscan.Open(body)
	if ok {
		return s, absent > 0, true
	}
	message, more, ok := inflate(body, encoding)
	return protoscan.New(message), more || absent > 0, ok
}

// reader reads one message.
type reader struct {
	protoscan.Scanner
	shape Shape
	// left is how many more fields are looked at, and depth how many messages are
	// around them; filters and prefetches are those of such messages.
	left                       int
	depth, filters, prefetches int
	// short says that the end of the current message is not there.
	short bool
}

// stop ends the reading.
func (r *reader) stop(why partly) {
	if r.shape.partly == whole {
		r.shape.partly = why
	}
}

// reading reports whether there is more of the current message to read.
func (r *reader) reading() bool {
	switch {
	case !r.Malformed():
	case r.short && r.AtEnd():
		r.stop(cutOff)
	default:
		r.stop(malformed)
	}
	return r.shape.partly == whole && !r.AtEnd()
}

// spend counts one more thing that is looked at.
func (r *reader) spend() {
	if r.left--; r.left < 0 {
		r.stop(tooLong)
	}
}

func (r *reader) raise(s size, to uint64) { r.shape.sizes[s] = max(r.shape.sizes[s], to) }

// Attr returns the shape as a group of a log line; it is empty when there is nothing
// to tell.
func (s Shape) Attr() slog.Attr {
	var found []any
	for i := range fields {
		f := &fields[i]
		if f.group&s.group == 0 {
			continue
		}
		if v, ok := f.value(&s); ok {
			found = append(found, slog.Attr{Key: f.Name, Value: v})
		}
	}
	if len(found) == 0 {
		return slog.Attr{}
	}
	return slog.Group(s.group.String(), found...)
}

// Field is one field of a group, for the manual.
type Field struct {
	// Name is the key, Unit what its number counts; "" for text and truth.
	Name, Unit string
	// Meaning says what it tells, in half a sentence.
	Meaning string

	group group
	value func(*Shape) (v slog.Value, ok bool)
}

// Group returns the names of the groups that have the field.
func (f Field) Group() []string {
	var names []string
	for _, g := range []group{query, write} {
		if f.group&g != 0 {
			names = append(names, g.String())
		}
	}
	return names
}

// Fields are all fields of the groups, in their order.
func Fields() []Field { return slices.Clone(fields) }

// group is what a request is about: reading or writing.
type group uint8

const (
	query group = 1 << iota
	write
)

func (g group) String() string {
	switch g {
	case query:
		return "query"
	case write:
		return "write"
	}
	return ""
}
