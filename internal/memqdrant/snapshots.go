package memqdrant

import (
	"context"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

// snapshotsService knows no snapshots: there is nothing on disk to take one of.
type snapshotsService struct {
	qdrant.UnimplementedSnapshotsServer
	db *database
}

// List implements [qdrant.SnapshotsServer].
func (s snapshotsService) List(_ context.Context, in *qdrant.ListSnapshotsRequest) (*qdrant.ListSnapshotsResponse, error) {
	start := time.Now()
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	if _, err := s.db.find(in.GetCollectionName()); err != nil {
		return nil, err
	}
	return &qdrant.ListSnapshotsResponse{Time: seconds(start)}, nil
}

// ListFull implements [qdrant.SnapshotsServer].
func (s snapshotsService) ListFull(context.Context, *qdrant.ListFullSnapshotsRequest) (*qdrant.ListSnapshotsResponse, error) {
	return &qdrant.ListSnapshotsResponse{}, nil
}

// Create implements [qdrant.SnapshotsServer] by refusing.
func (s snapshotsService) Create(context.Context, *qdrant.CreateSnapshotRequest) (*qdrant.CreateSnapshotResponse, error) {
	return nil, unsupported("snapshots")
}

// Delete implements [qdrant.SnapshotsServer] by refusing.
func (s snapshotsService) Delete(context.Context, *qdrant.DeleteSnapshotRequest) (*qdrant.DeleteSnapshotResponse, error) {
	return nil, unsupported("snapshots")
}

// CreateFull implements [qdrant.SnapshotsServer] by refusing.
func (s snapshotsService) CreateFull(context.Context, *qdrant.CreateFullSnapshotRequest) (*qdrant.CreateSnapshotResponse, error) {
	return nil, unsupported("snapshots")
}

// DeleteFull implements [qdrant.SnapshotsServer] by refusing.
func (s snapshotsService) DeleteFull(context.Context, *qdrant.DeleteFullSnapshotRequest) (*qdrant.DeleteSnapshotResponse, error) {
	return nil, unsupported("snapshots")
}
