package memqdrant

import (
	"context"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

// UpdateBatch implements [qdrant.PointsServer]. Operations run one after the other as separate calls would; those
// before a failed one stay.
func (s pointsService) UpdateBatch(ctx context.Context, in *qdrant.UpdateBatchPoints) (*qdrant.UpdateBatchResponse, error) {
	start := time.Now()
	problems := checkName(in.GetCollectionName())
	if len(in.GetOperations()) == 0 {
		problems = append(problems, "operations: value [] invalid, must be at least 1 characters")
	}
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	out := &qdrant.UpdateBatchResponse{}
	for _, operation := range in.GetOperations() {
		result, err := s.updateOne(ctx, in.GetCollectionName(), in.Wait, operation)
		if err != nil {
			return nil, err
		}
		out.Result = append(out.Result, result.GetResult())
	}
	out.Time = seconds(start)
	return out, nil
}

func (s pointsService) updateOne(ctx context.Context, name string, wait *bool, in *qdrant.PointsUpdateOperation) (*qdrant.PointsOperationResponse, error) {
	switch op := in.GetOperation().(type) {
	case *qdrant.PointsUpdateOperation_Upsert:
		return s.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: name, Wait: wait, Points: op.Upsert.GetPoints(),
			UpdateFilter: op.Upsert.GetUpdateFilter(), UpdateMode: op.Upsert.UpdateMode})
	case *qdrant.PointsUpdateOperation_DeleteDeprecated:
		points := in.GetDeleteDeprecated() //nolint:staticcheck // old clients still send it
		return s.Delete(ctx, &qdrant.DeletePoints{CollectionName: name, Wait: wait, Points: points})
	case *qdrant.PointsUpdateOperation_DeletePoints_:
		return s.Delete(ctx, &qdrant.DeletePoints{CollectionName: name, Wait: wait, Points: op.DeletePoints.GetPoints()})
	case *qdrant.PointsUpdateOperation_SetPayload_:
		return s.SetPayload(ctx, &qdrant.SetPayloadPoints{CollectionName: name, Wait: wait,
			Payload: op.SetPayload.GetPayload(), PointsSelector: op.SetPayload.GetPointsSelector(), Key: op.SetPayload.Key})
	case *qdrant.PointsUpdateOperation_OverwritePayload_:
		return s.OverwritePayload(ctx, &qdrant.SetPayloadPoints{CollectionName: name, Wait: wait,
			Payload: op.OverwritePayload.GetPayload(), PointsSelector: op.OverwritePayload.GetPointsSelector()})
	case *qdrant.PointsUpdateOperation_DeletePayload_:
		return s.DeletePayload(ctx, &qdrant.DeletePayloadPoints{CollectionName: name, Wait: wait,
			Keys: op.DeletePayload.GetKeys(), PointsSelector: op.DeletePayload.GetPointsSelector()})
	case *qdrant.PointsUpdateOperation_ClearPayload_:
		return s.ClearPayload(ctx, &qdrant.ClearPayloadPoints{CollectionName: name, Wait: wait, Points: op.ClearPayload.GetPoints()})
	case *qdrant.PointsUpdateOperation_ClearPayloadDeprecated:
		points := in.GetClearPayloadDeprecated() //nolint:staticcheck // old clients still send it
		return s.ClearPayload(ctx, &qdrant.ClearPayloadPoints{CollectionName: name, Wait: wait, Points: points})
	case *qdrant.PointsUpdateOperation_UpdateVectors_:
		return s.UpdateVectors(ctx, &qdrant.UpdatePointVectors{CollectionName: name, Wait: wait,
			Points: op.UpdateVectors.GetPoints(), UpdateFilter: op.UpdateVectors.GetUpdateFilter()})
	case *qdrant.PointsUpdateOperation_DeleteVectors_:
		return s.DeleteVectors(ctx, &qdrant.DeletePointVectors{CollectionName: name, Wait: wait,
			PointsSelector: op.DeleteVectors.GetPointsSelector(), Vectors: op.DeleteVectors.GetVectors()})
	default:
		return nil, malformed("Operation is missing")
	}
}
