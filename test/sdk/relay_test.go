package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// wire is a relay in front of an embedded Qdrant, and a client of it.
func wire(t *testing.T, rate float64) (*relay, *grpc.ClientConn) {
	t.Helper()
	upstream, stop, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	r, err := startRelay(upstream.grpc, rate, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stop() })
	conn, err := grpc.NewClient(r.address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return r, conn
}

func TestRelayBreaksConnections(t *testing.T) {
	r, conn := wire(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const calls = 6 // of which chance has every fate at least once
	for range calls {
		_, err := qdrant.NewQdrantClient(conn).HealthCheck(ctx, &qdrant.HealthCheckRequest{}, grpc.WaitForReady(true))
		if status.Code(err) != codes.Unavailable {
			t.Errorf("a call on a connection that breaks ended with %v", err)
		}
	}
	if cuts, _ := r.stop(); cuts != calls {
		t.Errorf("%d connections were cut, want %d", cuts, calls)
	}
}

func TestRelaySpreadsFaults(t *testing.T) {
	r, _ := wire(t, 0.05)
	for block := range 50 {
		hit := 0
		for range 20 {
			if r.draw() != passes {
				hit++
			}
		}
		if hit != 1 {
			t.Fatalf("block %d has %d faults in 20 requests, want 1", block, hit)
		}
	}
}

// TestRelayCountsWhatAConnectionCarries: a dozen requests that break off together are a dozen.
func TestRelayCountsWhatAConnectionCarries(t *testing.T) {
	r, _ := wire(t, 0.05)
	r.hit = 12
	for i := range 12 * 20 {
		if r.draw() != passes {
			t.Fatalf("request %d after twelve were hit is hit", i)
		}
	}
	hit := 0
	for range 40 {
		if r.draw() != passes {
			hit++
		}
	}
	if hit == 0 {
		t.Error("after a rest, nothing is hit any more")
	}
}

func TestRelaySeesUnsafeCallsMadeTwice(t *testing.T) {
	create := func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := qdrant.NewCollectionsClient(conn).Create(ctx, &qdrant.CreateCollection{
			CollectionName: "x", VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
		})
		return err
	}
	list := func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := qdrant.NewCollectionsClient(conn).List(ctx, &qdrant.ListCollectionsRequest{})
		return err
	}
	for name, c := range map[string]struct {
		call  func(context.Context, *grpc.ClientConn) error
		again bool // as the sidecar marks what it repeats
		want  []string
	}{
		"unsafe, by the sidecar": {call: create, again: true, want: []string{"/qdrant.Collections/Create"}},
		"unsafe, by the user":    {call: create},
		"a read":                 {call: list, again: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, conn := wire(t, 1e-9)
			if err := c.call(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if c.again {
				ctx = metadata.AppendToOutgoingContext(ctx, "grpc-previous-rpc-attempts", "1")
			}
			if err := c.call(ctx, conn); err != nil && status.Code(err) != codes.AlreadyExists {
				t.Fatal(err)
			}
			if cuts, twice := r.stop(); cuts != 0 || !slices.Equal(twice, c.want) {
				t.Errorf("%d connections cut, made twice: %q, want none and %q", cuts, twice, c.want)
			}
		})
	}
}
