package method_test

import (
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"qdrant-sidecar/proxy/method"
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
// so that a new RPC of go-client fails the build until somebody has looked.
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

func TestIndexIsDense(t *testing.T) {
	next := 0
	for m := range method.All() {
		if m.Index != next {
			t.Errorf("%s has index %d, want %d", m.FullName(), m.Index, next)
		}
		next++
	}
}
