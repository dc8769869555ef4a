package shape

import (
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"qdrant-sidecar/proxy/method"
)

// timeFields are the fields of answers that hold the server's time, by path of the
// method; by that of the service for most of its methods.
var timeFields = map[string]protowire.Number{
	"qdrant.Points":                                    2,
	"/qdrant.Points/Scroll":                            3,
	"qdrant.Collections":                               2,
	"/qdrant.Collections/CollectionClusterInfo":        0,
	"/qdrant.Collections/UpdateCollectionClusterSetup": 0,
	"/qdrant.Collections/CreateShardKey":               0,
	"/qdrant.Collections/DeleteShardKey":               0,
	"qdrant.Snapshots":                                 2,
	"/qdrant.Snapshots/Delete":                         1,
	"/qdrant.Snapshots/DeleteFull":                     1,
}

// ServerTime reads from the whole answer of a method, as it is on the wire, how long
// Qdrant says that it took. Not all answers say so.
func ServerTime(m *method.Method, body mem.BufferSlice, encoding string) (time.Duration, bool) {
	number, ok := timeFields[m.FullName()]
	if !ok {
		number = timeFields[m.Service]
	}
	if number == 0 {
		return 0, false
	}
	s, _, ok := open(body, encoding)
	if !ok {
		return 0, false
	}
	var took time.Duration
	found := false
	for range maxFields {
		if s.AtEnd() {
			break
		}
		field, kind := s.Tag()
		switch {
		case s.Malformed() || kind == protowire.StartGroupType:
			return 0, false
		case field == number && kind == protowire.Fixed64Type:
			if bits := s.Fixed64(); !s.Malformed() {
				took, found = seconds(bits)
			}
		default:
			s.Skip(field, kind)
		}
	}
	return took, found && !s.Malformed()
}
