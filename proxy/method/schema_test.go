package method_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// beyondClient are the methods that a real Qdrant serves and the schema of
// go-client does not have yet.
var beyondClient = map[string]bool{
	"/qdrant.Points/CreateVectorName": true,
	"/qdrant.Points/DeleteVectorName": true,
	"/qdrant.StorageRead/ListFiles":   true,
	"/qdrant.StorageRead/FileExists":  true,
	"/qdrant.StorageRead/FileLength":  true,
	"/qdrant.StorageRead/ReadBytes":   true,
	"/qdrant.StorageRead/ReadWhole":   true,
	"/qdrant.StorageRead/ReadBatch":   true,
	"/grpc.health.v1.Health/Check":    true,
	method.Other.FullName():           true,
}

// TestTableAgreesWithSchema walks the schema and the table against each other,
// so that a new RPC of go-client fails the build until somebody has decided what
// repeating it does.
func TestTableAgreesWithSchema(t *testing.T) {
	inSchema := map[string]bool{}
	protoregistry.GlobalFiles.RangeFilesByPackage("qdrant", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				rpc := service.Methods().Get(j)
				name := "/" + string(service.FullName()) + "/" + string(rpc.Name())
				inSchema[name] = true
				checkRPC(t, name, rpc)
			}
		}
		return true
	})
	if len(inSchema) == 0 {
		t.Fatalf("no schema: %s is not linked in", qdrant.File_points_proto.Path())
	}
	for m := range method.All() {
		if name := m.FullName(); inSchema[name] == beyondClient[name] {
			t.Errorf("%s: in go-client's schema: %v, listed as beyond it: %v", name, inSchema[name], beyondClient[name])
		}
	}
}

func checkRPC(t *testing.T, name string, rpc protoreflect.MethodDescriptor) {
	t.Helper()
	m := method.Lookup(name)
	if rpc.IsStreamingClient() || rpc.IsStreamingServer() {
		if m != method.Other {
			t.Errorf("%s is a stream but in the table of unary methods", name)
		}
		return
	}
	if m == method.Other {
		t.Errorf("%s is not in the table", name)
		return
	}
	first := rpc.Input().Fields().ByNumber(1)
	if want := first != nil && first.Name() == "collection_name"; m.Collection != want {
		t.Errorf("%s: Collection = %v, but the schema says %v", name, m.Collection, want)
	}
}

// requests are the messages of the methods whose class depends on them.
var requests = map[string]proto.Message{
	"Delete":           &qdrant.DeletePoints{},
	"DeleteVectors":    &qdrant.DeletePointVectors{},
	"SetPayload":       &qdrant.SetPayloadPoints{},
	"OverwritePayload": &qdrant.SetPayloadPoints{},
	"DeletePayload":    &qdrant.DeletePayloadPoints{},
	"ClearPayload":     &qdrant.ClearPayloadPoints{},
	"UpdateBatch":      &qdrant.UpdateBatchPoints{},
}

func TestRequestsAreAll(t *testing.T) {
	for m := range method.All() {
		_, listed := requests[m.Name]
		listed = listed && m.Service == "qdrant.Points"
		// Nothing in an empty request speaks against repeating it.
		if depends := m.ClassOf(cut(nil, 8)) != m.Class; depends != listed {
			t.Errorf("%s: depends on the request: %v, listed here: %v", m.FullName(), depends, listed)
		}
	}
}

// decisive are the fields that make a write unsafe.
var decisive = []protoreflect.FullName{
	"qdrant.PointsSelector.filter",
	"qdrant.PointsUpdateOperation.PointStructList.update_filter",
	"qdrant.PointsUpdateOperation.PointStructList.update_mode",
	"qdrant.PointsUpdateOperation.UpdateVectors.update_filter",
}

// TestEveryFieldIsDecided sends every field of the schema on its own. A field
// that is new there is unsafe to the scan, and fails here until somebody has
// decided; a number that the schema does not have stays unsafe.
func TestEveryFieldIsDecided(t *testing.T) {
	for name, request := range requests {
		checkFields(t, points(name), request.ProtoReflect().Descriptor(), func(msg []byte) []byte { return msg })
	}
}

// checkFields checks the fields of a message, which wrap puts where it belongs.
func checkFields(t *testing.T, m *method.Method, message protoreflect.MessageDescriptor, wrap func([]byte) []byte) {
	t.Helper()
	fields := message.Fields()
	var last protowire.Number
	for i := range fields.Len() {
		field := fields.Get(i)
		last = max(last, field.Number())
		within := func(value []byte) []byte {
			return wrap(protowire.AppendBytes(protowire.AppendTag(nil, field.Number(), protowire.BytesType), value))
		}
		msg, want := within(nil), resilience.IdempotentWrite
		if field.Kind() != protoreflect.MessageKind && field.Kind() != protoreflect.StringKind {
			msg = wrap(protowire.AppendVarint(protowire.AppendTag(nil, field.Number(), protowire.VarintType), 1))
		}
		if slices.Contains(decisive, field.FullName()) {
			want = resilience.UnsafeWrite
		}
		if got := m.ClassOf(cut(msg, 64)); got != want {
			t.Errorf("%s with nothing but %s: %v, want %v", m.FullName(), field.FullName(), got, want)
		}
		if holdsSelector(field.Message()) {
			checkFields(t, m, field.Message(), within)
		}
	}
	for number := range last + 2 {
		if number == 0 || fields.ByNumber(number) != nil {
			continue
		}
		msg := wrap(protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), nil))
		if got := m.ClassOf(cut(msg, 64)); got != resilience.UnsafeWrite {
			t.Errorf("%s with field %d of %s, which does not exist: %v", m.FullName(), number, message.FullName(), got)
		}
	}
}

func holdsSelector(message protoreflect.MessageDescriptor) bool {
	return message != nil && (message.FullName() == "qdrant.PointsSelector" ||
		strings.HasPrefix(string(message.FullName()), "qdrant.PointsUpdateOperation") && !message.IsMapEntry())
}
