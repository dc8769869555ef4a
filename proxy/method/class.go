package method

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"qdrant-sidecar/proxy/protoscan"
	"qdrant-sidecar/resilience"
)

// ClassOf returns the class of one call, from its body as it is on the wire.
// Where the class depends on the request, a call is an IdempotentWrite only if
// every field that decides is known and none speaks against: a request that is
// compressed, cut off, malformed or newer than the table is an UnsafeWrite. The
// request is read where it lies; nothing is allocated, and what lists of ids,
// vectors and payload hold is passed over.
func (m *Method) ClassOf(body mem.BufferSlice) resilience.Class {
	if m.repeatable == nil {
		return m.Class
	}
	start, missing, ok := protoscan.Open(body)
	if !ok || missing != 0 {
		return m.Class
	}
	for _, of := range m.repeatable {
		if s := start; fits(&s, of) {
			return resilience.IdempotentWrite
		}
	}
	return m.Class
}

// shape says which fields a message may have, by number, in a write that can be
// repeated. A field that is nil, or beyond the end, speaks against.
//
// Decoders merge what occurs more than once, by rules that differ between them
// for a oneof. A shape needs none of the rules: one occurrence anywhere of what
// speaks against is enough.
type shape []*shape

// harmless is a field that makes no difference, whatever it holds.
var harmless = &shape{}

// The numbers are those of Qdrant 1.19's schema. What would be rejected, such as
// a delete without a selector, fits: it changes nothing however often it is sent.
var (
	// byIDs is a PointsSelector, whose field 2 would be a filter.
	byIDs = &shape{1: harmless}

	// deletePoints is also ClearPayloadPoints.
	deletePoints  = []*shape{{1: harmless, 2: harmless, 3: byIDs, 4: harmless, 5: harmless, 6: harmless}}
	deleteVectors = []*shape{{1: harmless, 2: harmless, 3: byIDs, 4: harmless, 5: harmless, 6: harmless, 7: harmless}}
	// Field 4 of these two was a list of ids once and is reserved now.
	setPayload    = []*shape{{1: harmless, 2: harmless, 3: harmless, 5: byIDs, 6: harmless, 7: harmless, 8: harmless, 9: harmless}}
	deletePayload = []*shape{{1: harmless, 2: harmless, 3: harmless, 5: byIDs, 6: harmless, 7: harmless, 8: harmless}}

	updateBatch = []*shape{batchOf(noDelete), batchOf(noChange)}
)

// batchOf is an UpdateBatchPoints of such operations.
func batchOf(operation *shape) *shape {
	return &shape{1: harmless, 2: harmless, 3: operation, 4: harmless, 5: harmless}
}

// Operations that are repeatable each are not always so together, because a
// batch runs them one by one, stops at the first that fails, and is repeated from
// its start:
//
//   - An update_filter or update_mode may meet what another operation has done. Of
//     "update only 1 to A; insert only 1 as B", sent for a point that does not
//     exist, the first pass leaves B and the second A.
//   - A change of a point that is not there fails. Of "set 2 to A; set 1 to A;
//     delete 1; set 2 to B" the first pass leaves B, and the second stops at point
//     1, which is gone, and leaves A.
//
// So there are two shapes of a PointsUpdateOperation, neither with a condition.
var (
	// unconditional is an upsert, or an update of vectors.
	unconditional = &shape{1: harmless, 2: harmless}
	// noDelete changes points in any way but to delete them.
	noDelete = &shape{
		1:  unconditional,
		3:  {1: harmless, 2: byIDs, 3: harmless, 4: harmless}, // set payload
		4:  {1: harmless, 2: byIDs, 3: harmless, 4: harmless}, // overwrite payload
		5:  {1: harmless, 2: byIDs, 3: harmless},              // delete payload
		6:  byIDs,                                             // clear payload, deprecated
		7:  unconditional,
		8:  {1: byIDs, 2: harmless, 3: harmless}, // delete vectors
		10: {1: byIDs, 2: harmless},              // clear payload
	}
	// noChange writes whole points and deletes them, which needs none to be there.
	noChange = &shape{
		1: unconditional,
		2: byIDs,                   // delete, deprecated
		9: {1: byIDs, 2: harmless}, // delete
	}
)

// fits reports whether all that is left of the message is well-formed, as far as
// the shape goes into it, and of that shape. The message must be there whole.
func fits(s *protoscan.Scanner, of *shape) bool {
	for !s.AtEnd() {
		field, kind := s.Tag()
		// No field of Qdrant's is a group. To skip one would need memory.
		if s.Malformed() || int(field) >= len(*of) || kind == protowire.StartGroupType {
			return false
		}
		switch inner := (*of)[field]; {
		case inner == nil:
			return false
		case inner == harmless:
			s.Skip(field, kind)
		case kind != protowire.BytesType || !fitsNested(s, inner):
			return false
		}
	}
	return !s.Malformed()
}

// fitsNested is fits for a message in a field.
func fitsNested(s *protoscan.Scanner, of *shape) bool {
	after, whole := s.Enter()
	if !whole || !fits(s, of) {
		return false
	}
	s.Leave(after)
	return true
}
