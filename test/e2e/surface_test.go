package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"qdrant-sidecar/test/sidecar"
)

// TestGoClientSurface calls every method that the Go SDK has, directly and
// through the sidecar, each time on an empty database: an application must not
// be able to tell which of the two it talks to.
func TestGoClientSurface(t *testing.T) {
	t.Parallel()
	direct := play(t, newMemory(t))
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + newMemory(t)})
	compare(t, "through the sidecar, but directly", direct, play(t, s.GRPC))
	for i, step := range script() {
		if got := codeOf(direct[i]); got != step.memory {
			t.Errorf("step %d, %s, ended with %v, not with %v: %s", i, step.method, got, step.memory, direct[i].text)
		}
	}
}

// TestScriptIsComplete fails when the SDK has a method that the scenario lacks,
// as a new version of it may.
func TestScriptIsComplete(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{}
	for prefix, surface := range surfaces() {
		for method := range surface.Methods() {
			missing[prefix+"."+method.Name] = true
		}
	}
	if len(missing) < 80 {
		t.Fatalf("only %d methods found: the enumeration is broken", len(missing))
	}
	for _, step := range script() {
		delete(missing, step.method)
	}
	for _, method := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s is not in the scenario", method)
	}
}

// surfaces are the types whose methods are the SDK, by their names in steps.
func surfaces() map[string]reflect.Type {
	return map[string]reflect.Type{
		"Client":      reflect.TypeFor[*qdrant.Client](),
		"Qdrant":      reflect.TypeFor[qdrant.QdrantClient](),
		"Collections": reflect.TypeFor[qdrant.CollectionsClient](),
		"Points":      reflect.TypeFor[qdrant.PointsClient](),
		"Snapshots":   reflect.TypeFor[qdrant.SnapshotsClient](),
	}
}

// outcome is what a step came to.
type outcome struct {
	values []any // of the results but the error
	text   string
	status *spb.Status // nil for success
}

func codeOf(o outcome) codes.Code { return codes.Code(o.status.GetCode()) }

// play runs the scenario with one SDK client.
func play(t *testing.T, address string, change ...func(*qdrant.Config)) []outcome {
	t.Helper()
	ctx := bounded(t)
	client := newClient(t, address, change...)
	snapshot := "none.snapshot"
	var outcomes []outcome
	for _, s := range script() {
		target, name, _ := strings.Cut(s.method, ".")
		in := []reflect.Value{}
		method := receiver(client, target).MethodByName(name)
		if method.Type().NumIn() > 0 && method.Type().In(0) == reflect.TypeFor[context.Context]() {
			in = append(in, reflect.ValueOf(ctx))
		}
		for _, arg := range s.args {
			if arg == (newestSnapshot{}) {
				arg = snapshot
			}
			in = append(in, reflect.ValueOf(arg))
		}
		o := newOutcome(method.Call(in))
		outcomes = append(outcomes, o)
		if made := snapshotIn(o); made != "" {
			snapshot = made
		}
	}
	return outcomes
}

func receiver(client *qdrant.Client, target string) reflect.Value {
	switch target {
	case "Qdrant":
		return reflect.ValueOf(client.GetQdrantClient())
	case "Collections":
		return reflect.ValueOf(client.GetCollectionsClient())
	case "Points":
		return reflect.ValueOf(client.GetPointsClient())
	case "Snapshots":
		return reflect.ValueOf(client.GetSnapshotsClient())
	default:
		return reflect.ValueOf(client)
	}
}

func newOutcome(results []reflect.Value) outcome {
	var o outcome
	for _, result := range results {
		if err, failed := reflect.TypeAssert[error](result); failed {
			o.text, o.status = err.Error(), statusOf(err).Proto()
			continue
		}
		o.values = append(o.values, normal(result))
	}
	return o
}

// normal is a result without what differs from call to call, or from client to
// client.
func normal(result reflect.Value) any {
	switch v := result.Interface().(type) {
	case proto.Message:
		if result.IsNil() {
			return nil
		}
		v = proto.Clone(v)
		forget(v.ProtoReflect(), "time", "usage")
		return v
	case string, bool, uint64, []string:
		return v
	default:
		if result.Kind() == reflect.Slice {
			items := []any{}
			for i := range result.Len() {
				items = append(items, normal(result.Index(i)))
			}
			return items
		}
		// A part of the client. All that matters is that there is one.
		return fmt.Sprintf("%T", v)
	}
}

// forget clears fields of a message.
func forget(m protoreflect.Message, names ...protoreflect.Name) {
	for _, name := range names {
		if field := m.Descriptor().Fields().ByName(name); field != nil {
			m.Clear(field)
		}
	}
}

// forgetNode clears what a real Qdrant decides anew each time, or by the machine:
// names and sums of snapshots, how far its optimizers have come, into how many
// segments it sorts, who it is, and the order of points that are equally good.
func (o outcome) forgetNode() {
	for _, value := range o.values {
		switch m := value.(type) {
		case *qdrant.HealthCheckReply:
			m.Commit = nil
		case *qdrant.SnapshotDescription:
			proto.Reset(m)
		case *qdrant.CreateSnapshotResponse:
			proto.Reset(m.GetSnapshotDescription())
		case *qdrant.ListSnapshotsResponse:
			for _, listed := range m.GetSnapshotDescriptions() {
				proto.Reset(listed)
			}
		case *qdrant.CollectionInfo:
			forget(m.ProtoReflect(), "status", "optimizer_status", "segments_count", "indexed_vectors_count", "update_queue")
			m.GetConfig().GetOptimizerConfig().DefaultSegmentNumber = nil
		case *qdrant.GetCollectionInfoResponse:
			outcome{values: []any{m.GetResult()}}.forgetNode()
		case *qdrant.CollectionClusterInfoResponse:
			m.PeerId = 0
		case *qdrant.QueryResponse:
			sortEquals(m.GetResult())
		case *qdrant.QueryBatchResponse:
			for _, batch := range m.GetResult() {
				sortEquals(batch.GetResult())
			}
		case *qdrant.BatchResult:
			sortEquals(m.GetResult())
		case []any:
			sortEqualsIn(m)
			outcome{values: m}.forgetNode()
		}
	}
}

// sortEquals puts points of the same score, which are neighbours, into one order.
func sortEquals(points []*qdrant.ScoredPoint) {
	for len(points) > 0 {
		n := 1
		for n < len(points) && points[n].GetScore() == points[0].GetScore() {
			n++
		}
		slices.SortFunc(points[:n], func(a, b *qdrant.ScoredPoint) int {
			return cmp.Or(cmp.Compare(a.GetId().GetNum(), b.GetId().GetNum()), strings.Compare(a.GetId().GetUuid(), b.GetId().GetUuid()))
		})
		points = points[n:]
	}
}

// sortEqualsIn is sortEquals for a list of points that has lost its type.
func sortEqualsIn(list []any) {
	var points []*qdrant.ScoredPoint
	for _, item := range list {
		if p, ok := item.(*qdrant.ScoredPoint); ok {
			points = append(points, p)
		}
	}
	sortEquals(points)
	for i, p := range points {
		list[i] = p
	}
}

// snapshotIn returns the name of the snapshot that a step has made.
func snapshotIn(o outcome) string {
	for _, value := range o.values {
		switch m := value.(type) {
		case *qdrant.SnapshotDescription:
			return m.GetName()
		case *qdrant.CreateSnapshotResponse:
			return m.GetSnapshotDescription().GetName()
		}
	}
	return ""
}

// compare fails for each step that did not come to the same. How says what is
// between both, as in "got this HOW this".
func compare(t *testing.T, how string, wanted, gotten []outcome) {
	t.Helper()
	for i, step := range script() {
		want, got := wanted[i], gotten[i]
		if want.text != got.text || !proto.Equal(want.status, got.status) {
			t.Errorf("step %d, %s: error\n%s\n%v\n%s\n%s\n%v", i, step.method, got.text, got.status, how, want.text, want.status)
		}
		if !equal(want.values, got.values) {
			t.Errorf("step %d, %s:\n%v\n%s\n%v", i, step.method, got.values, how, want.values)
		}
	}
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case proto.Message:
		b, ok := b.(proto.Message)
		return ok && proto.Equal(a, b)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	default:
		return reflect.DeepEqual(a, b)
	}
}
