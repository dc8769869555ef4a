package e2e_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/test/golden"
	"qdrant-sidecar/test/live"
	"qdrant-sidecar/test/sidecar"
)

// These tests need a real Qdrant; package live says how to name it. They do what
// others do on the embedded one and on scripts.

// withKey shows Qdrant the key that it wants, if any.
func withKey(q live.Qdrant) func(*qdrant.Config) {
	return func(c *qdrant.Config) { c.APIKey = q.APIKey }
}

// wantEmpty is [live.WantOne] for tests that see what others have left. Better to
// stop than to remove what may be somebody's.
func wantEmpty(t *testing.T) live.Qdrant {
	t.Helper()
	q := live.WantOne(t)
	listed, err := qdrant.NewCollectionsClient(newLiveConn(t, q, q.Nodes[0])).List(bounded(t), &qdrant.ListCollectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if collections := listed.GetCollections(); len(collections) > 0 {
		t.Fatalf("the Qdrant that %s names is not empty: %v", live.URL, collections)
	}
	return q
}

// newLiveConn is a channel whose calls show the key.
func newLiveConn(t testing.TB, q live.Qdrant, address string) *grpc.ClientConn {
	t.Helper()
	with := func(ctx context.Context) context.Context {
		if q.APIKey == "" {
			return ctx
		}
		return metadata.AppendToOutgoingContext(ctx, "api-key", q.APIKey)
	}
	return newConn(t, address,
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(with(ctx), method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return open(with(ctx), desc, cc, method, opts...)
		}))
}

func TestGoClientSurfaceOnQdrant(t *testing.T) {
	q := wantEmpty(t)
	t.Cleanup(func() {
		// For a scenario that did not come to its end.
		client := qdrant.NewCollectionsClient(newLiveConn(t, q, q.Nodes[0]))
		for _, name := range []string{shop, library} {
			client.Delete(context.Background(), &qdrant.DeleteCollection{CollectionName: name})
		}
	})
	direct := play(t, q.Nodes[0], withKey(q))
	s := sidecar.Start(t, sidecar.Options{Upstream: q.URL()})
	through := play(t, s.GRPC, withKey(q))
	for i := range direct {
		direct[i].forgetNode()
		through[i].forgetNode()
	}
	compare(t, "through the sidecar, but directly", direct, through)
}

// TestEmbeddedAsOnQdrant holds the embedded Qdrant, which tests and demos trust,
// against a real one, but for what it says that it cannot do.
func TestEmbeddedAsOnQdrant(t *testing.T) {
	q := wantEmpty(t)
	embedded, genuine := play(t, newMemory(t)), play(t, q.Nodes[0], withKey(q))
	for i, step := range script() {
		// Where none can be made, there is none in the list.
		if codeOf(embedded[i]) == codes.Unimplemented || strings.Contains(step.method, "Snapshot") {
			genuine[i] = embedded[i]
		}
		embedded[i].forgetNode()
		genuine[i].forgetNode()
	}
	compare(t, "of the embedded Qdrant, but of the real one", genuine, embedded)
}

func TestRecordedCallsOnQdrant(t *testing.T) {
	q := wantEmpty(t)
	t.Run("direct", func(t *testing.T) { golden.Replay(t, newLiveConn(t, q, q.Nodes[0])) })
	s := sidecar.Start(t, sidecar.Options{Upstream: q.URL()})
	t.Run("through the sidecar", func(t *testing.T) { golden.Replay(t, newLiveConn(t, q, s.GRPC)) })
}

func TestReflectionOnQdrant(t *testing.T) {
	q := live.Want(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: q.URL()})
	compareReflection(t, newLiveConn(t, q, q.Nodes[0]), newLiveConn(t, q, s.GRPC))
}

// TestHealthOnQdrant asks both services how Qdrant is. Neither wants a key.
func TestHealthOnQdrant(t *testing.T) {
	q := live.Want(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: q.URL()})
	ask := func(address string) []proto.Message {
		conn := newConn(t, address)
		own, err := qdrant.NewQdrantClient(conn).HealthCheck(bounded(t), &qdrant.HealthCheckRequest{})
		if err != nil {
			t.Errorf("%s: %v", address, err)
		}
		standard, err := healthpb.NewHealthClient(conn).Check(bounded(t), &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Errorf("%s: %v", address, err)
		}
		return []proto.Message{own, standard}
	}
	direct, through := ask(q.Nodes[0]), ask(s.GRPC)
	if !slices.EqualFunc(direct, through, proto.Equal) {
		t.Errorf("through the sidecar\n%v\ndirectly\n%v", through, direct)
	}
}

// TestAPIKeyOnQdrant lends the key to who has none, and lets the caller's own pass.
func TestAPIKeyOnQdrant(t *testing.T) {
	q := live.Want(t)
	if q.APIKey == "" {
		t.Skipf("set %s to the key of a Qdrant that wants one", live.APIKey)
	}
	count := func(address, key string) error {
		ctx := bounded(t)
		if key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "api-key", key)
		}
		_, err := qdrant.NewCollectionsClient(newConn(t, address)).List(ctx, &qdrant.ListCollectionsRequest{})
		return err
	}
	without := sidecar.Start(t, sidecar.Options{Upstream: q.URL(), REST: true, Args: []string{"--rest-url=http://" + q.REST}})
	lending := sidecar.Start(t, sidecar.Options{
		Upstream: q.URL(), REST: true, Args: []string{"--rest-url=http://" + q.REST}, Env: []string{"QDRANT_API_KEY=" + q.APIKey},
	})
	for _, tt := range []struct {
		name, key string
		sidecar   *sidecar.Sidecar
		want      codes.Code
	}{
		{"no key, none lent", "", without, codes.Unauthenticated},
		{"a wrong key, none lent", "wrong", without, codes.Unauthenticated},
		{"the key, none lent", q.APIKey, without, codes.OK},
		{"no key, one lent", "", lending, codes.OK},
		{"a wrong key, one lent", "wrong", lending, codes.Unauthenticated},
		{"the key, one lent", q.APIKey, lending, codes.OK},
	} {
		got := statusOf(count(tt.sidecar.GRPC, tt.key))
		if got.Code() != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		if tt.want == codes.OK {
			continue
		}
		if direct := statusOf(count(q.Nodes[0], tt.key)); direct.Code() != got.Code() || direct.Message() != got.Message() {
			t.Errorf("%s: %v, directly %v", tt.name, got, direct)
		}
	}
	if answer, text := ask(t, without.REST, http.MethodGet, "/collections", nil); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("REST, no key, none lent: %s %s", answer.Status, text)
	}
	if answer, text := ask(t, lending.REST, http.MethodGet, "/collections", nil); answer.StatusCode != http.StatusOK {
		t.Errorf("REST, no key, one lent: %s %s", answer.Status, text)
	}
}
