package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"qdrant-sidecar/test/live"
)

// TestCleanedUp: of what is done on somebody's Qdrant, nothing is left, and nothing of his is gone.
func TestCleanedUp(t *testing.T) {
	at, stop, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	conn, err := grpc.NewClient(at.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	create := func(name string) {
		_, err := qdrant.NewCollectionsClient(conn).Create(t.Context(), &qdrant.CreateCollection{
			CollectionName: name, VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	create("his")
	l := &laboratory{options: options{live: live.Qdrant{Nodes: []string{at.grpc}, REST: at.rest}}}
	failed := errors.New("it failed")
	err = l.cleanedUp(t.Context(), at, func() error { create("left behind"); return failed })
	if !errors.Is(err, failed) {
		t.Errorf("%v, want that it failed", err)
	}
	if names, err := collections(t.Context(), at); err != nil || !slices.Equal(names, []string{"his"}) {
		t.Errorf("there is %q, %v", names, err)
	}
}
