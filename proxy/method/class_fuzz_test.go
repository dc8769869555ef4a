package method_test

import (
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/resilience"
)

// FuzzClassOf holds the scan against the real decoder and a second telling of
// the rules: it is never less careful, and exact for what a real encoder writes.
func FuzzClassOf(f *testing.F) {
	for _, sel := range []*qdrant.PointsSelector{byIDs, byFilter} {
		f.Add(marshal(f, &qdrant.DeletePoints{CollectionName: "docs", Points: sel, ShardKeySelector: shardKey}), uint8(3))
		f.Add(marshal(f, &qdrant.DeletePointVectors{CollectionName: "docs", PointsSelector: sel, Vectors: vectors}), uint8(1))
		f.Add(marshal(f, &qdrant.SetPayloadPoints{CollectionName: "docs", Payload: payload, PointsSelector: sel}), uint8(255))
		f.Add(marshal(f, &qdrant.DeletePayloadPoints{CollectionName: "docs", Keys: []string{"a"}, PointsSelector: sel}), uint8(7))
	}
	for name := range operations {
		f.Add(marshal(f, batch(name)), uint8(9))
		f.Add(marshal(f, batch("upsert", name, "delete")), uint8(50))
	}
	f.Fuzz(func(t *testing.T, msg []byte, size uint8) {
		for name, kind := range requests {
			m := points(name)
			m.ClassOf(mem.BufferSlice{mem.SliceBuffer(msg)}) // whatever it is, it must not panic

			got := m.ClassOf(cut(msg, int(size)+1))
			request := kind.ProtoReflect().New().Interface()
			if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(msg, request); err != nil {
				continue
			}
			want := classOf(request)
			if got < want {
				t.Errorf("%s of %x: %v, the decoder says %v: %v", name, msg, got, want, request)
			}
			encoded := marshal(t, request)
			if got := m.ClassOf(cut(encoded, int(size)+1)); got != want {
				t.Errorf("%s of %x: %v, want %v: %v", name, encoded, got, want, request)
			}
		}
	})
}

// classOf tells the class of a decoded request.
func classOf(request proto.Message) resilience.Class {
	switch m := request.(type) {
	case *qdrant.DeletePoints:
		return classOfSelector(m.GetPoints())
	case *qdrant.ClearPayloadPoints:
		return classOfSelector(m.GetPoints())
	case *qdrant.DeletePointVectors:
		return classOfSelector(m.GetPointsSelector())
	case *qdrant.SetPayloadPoints:
		return classOfSelector(m.GetPointsSelector())
	case *qdrant.DeletePayloadPoints:
		return classOfSelector(m.GetPointsSelector())
	case *qdrant.UpdateBatchPoints:
		return classOfBatch(m)
	}
	return resilience.Unknown
}

func classOfSelector(sel *qdrant.PointsSelector) resilience.Class {
	if _, ok := sel.GetPointsSelectorOneOf().(*qdrant.PointsSelector_Filter); ok {
		return unsafeWrite
	}
	return idempotent
}

func classOfBatch(m *qdrant.UpdateBatchPoints) resilience.Class {
	worst, deletes, changes := idempotent, false, false
	for _, op := range m.GetOperations() {
		class := idempotent
		switch op := op.GetOperation().(type) {
		case *qdrant.PointsUpdateOperation_Upsert:
			if op.Upsert.UpdateFilter != nil || op.Upsert.UpdateMode != nil {
				class = unsafeWrite
			}
		case *qdrant.PointsUpdateOperation_UpdateVectors_:
			changes = true
			if op.UpdateVectors.UpdateFilter != nil {
				class = unsafeWrite
			}
		case *qdrant.PointsUpdateOperation_DeletePoints_:
			deletes, class = true, classOfSelector(op.DeletePoints.GetPoints())
		case *qdrant.PointsUpdateOperation_DeleteDeprecated:
			deletes, class = true, classOfSelector(op.DeleteDeprecated) //nolint:staticcheck // Qdrant still takes it.
		case *qdrant.PointsUpdateOperation_SetPayload_:
			changes, class = true, classOfSelector(op.SetPayload.GetPointsSelector())
		case *qdrant.PointsUpdateOperation_OverwritePayload_:
			changes, class = true, classOfSelector(op.OverwritePayload.GetPointsSelector())
		case *qdrant.PointsUpdateOperation_DeletePayload_:
			changes, class = true, classOfSelector(op.DeletePayload.GetPointsSelector())
		case *qdrant.PointsUpdateOperation_ClearPayload_:
			changes, class = true, classOfSelector(op.ClearPayload.GetPoints())
		case *qdrant.PointsUpdateOperation_ClearPayloadDeprecated:
			changes, class = true, classOfSelector(op.ClearPayloadDeprecated) //nolint:staticcheck // Qdrant still takes it.
		case *qdrant.PointsUpdateOperation_DeleteVectors_:
			changes, class = true, classOfSelector(op.DeleteVectors.GetPointsSelector())
		}
		worst = max(worst, class)
	}
	if deletes && changes {
		return unsafeWrite
	}
	return worst
}
