package demo

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"qdrant-sidecar/internal/digits"
)

// script is a Qdrant that answers methods as told. A method without an answer has an
// empty one: nothing exists, nothing is found, and all is well.
type script map[string]any // a proto.Message or an error by method

func (s script) serve(t *testing.T) string {
	t.Helper()
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		method, _ := grpc.MethodFromServerStream(stream)
		switch answer := s[method].(type) {
		case error:
			return answer
		case proto.Message:
			return stream.SendMsg(answer)
		default:
			return stream.SendMsg(new(emptypb.Empty))
		}
	}))
	return serve(t, func(listener net.Listener) error {
		if err := server.Serve(listener); !errors.Is(err, grpc.ErrServerStopped) {
			return err // nil after Stop, the other if it came first
		}
		return nil
	}, server.Stop)
}

func TestFailureNamesTheStep(t *testing.T) {
	const reason = "the disk is full"
	full := status.Error(codes.Internal, reason)
	counted := &qdrant.CountResponse{Result: &qdrant.CountResult{Count: uint64(len(digits.All()))}}
	found := func(n, size int) *qdrant.QueryResponse {
		response := new(qdrant.QueryResponse)
		for range n {
			response.Result = append(response.Result, &qdrant.ScoredPoint{
				Id: qdrant.NewIDNum(7),
				Vectors: &qdrant.VectorsOutput{VectorsOptions: &qdrant.VectorsOutput_Vector{Vector: &qdrant.VectorOutput{
					Vector: &qdrant.VectorOutput_Dense{Dense: &qdrant.DenseVector{Data: make([]float32, size)}},
				}}},
			})
		}
		return response
	}
	const collections, points = "/qdrant.Collections/", "/qdrant.Points/"

	for name, c := range map[string]struct {
		answers script
		want    string // the step and the cause
	}{
		"exists": {script{collections + "CollectionExists": full},
			`looking for the collection "qdrant-sidecar-demo-digits" failed: ` + reason},
		"create": {script{collections + "Create": full},
			`creating the collection "qdrant-sidecar-demo-digits" failed: ` + reason},
		"upsert": {script{points + "Upsert": full},
			"upserting the points 0 to 299 failed: " + reason},
		"index": {script{points + "CreateFieldIndex": full},
			"creating the index on the label failed: " + reason},
		"count": {script{points + "Count": full},
			"counting the points failed: " + reason},
		"points lost": {script{},
			"counting the points failed: 1797 were stored, but there are 0"},
		"query": {script{points + "Count": counted, points + "Query": full},
			"searching for the nearest neighbours failed: " + reason},
		"too few": {script{points + "Count": counted, points + "Query": found(3, dimensions)},
			"searching for the nearest neighbours failed: 4 were asked for, 3 came back"},
		"no picture": {script{points + "Count": counted, points + "Query": found(4, 63)},
			"searching for the nearest neighbours failed: point 7 came back with 63 numbers, not 64"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Show(t.Context(), Config{Address: c.answers.serve(t), Out: io.Discard, Keep: true})
			step, cause, _ := strings.Cut(c.want, "failed: ")
			if err == nil || !strings.HasPrefix(err.Error(), "demo: "+step+"failed: ") || !strings.Contains(err.Error(), cause) {
				t.Errorf("Show: %v\nwant demo: %s", err, c.want)
			}
			if cause == reason && status.Code(err) != codes.Internal {
				t.Errorf("Show: %v does not wrap the answer's status", err)
			}
		})
	}
}

func TestFailureToRemoveIsAnError(t *testing.T) {
	answers := script{
		"/qdrant.Collections/CollectionExists": &qdrant.CollectionExistsResponse{Result: &qdrant.CollectionExists{Exists: true}},
		"/qdrant.Collections/Get":              status.Error(codes.PermissionDenied, "read only"),
	}
	err := Remove(t.Context(), Config{Address: answers.serve(t)})
	if err == nil || !strings.Contains(err.Error(), "removing the collection") || !strings.Contains(err.Error(), "read only") {
		t.Errorf("Remove: %v, want an error that says why not", err)
	}
}

func TestFailureOfMetrics(t *testing.T) {
	missing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(missing.Close)
	for name, c := range map[string]struct{ url, want string }{
		"not found":   {missing.URL, "the answer was 404 Not Found"},
		"not metrics": {metrics(t, []byte("<html>"), nil), "text format parsing error"},
		"no such URL": {"http://127.0.0.1:port/", "invalid port"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Show(t.Context(), Config{Address: script{}.serve(t), MetricsURL: c.url, Out: io.Discard})
			if err == nil || !strings.Contains(err.Error(), "demo: reading the metrics at "+c.url+" failed: ") ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("Show: %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestFailureToWrite(t *testing.T) {
	r, w := io.Pipe()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	err := Show(t.Context(), Config{Address: upstream(t), Out: w})
	if !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "demo: writing the show failed: ") {
		t.Errorf("Show: %v, want one about writing", err)
	}
}

func TestSplitAddress(t *testing.T) {
	for address, want := range map[string]struct {
		host string
		port int
	}{
		"127.0.0.1:6334": {"127.0.0.1", 6334},
		"localhost:1":    {"localhost", 1},
		"[::1]:6334":     {"[::1]", 6334},
	} {
		host, port, err := splitAddress(address)
		if err != nil || host != want.host || port != want.port {
			t.Errorf("splitAddress(%q) = %q, %d, %v, want %q, %d", address, host, port, err, want.host, want.port)
		}
	}
	for _, address := range []string{"", "localhost", "unix:///tmp/socket", "localhost:http", "localhost:70000"} {
		err := Show(t.Context(), Config{Address: address, Out: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "is not host:port") {
			t.Errorf("Show with the address %q: %v, want an error about it", address, err)
		}
		if err := Remove(t.Context(), Config{Address: address}); err == nil {
			t.Errorf("Remove with the address %q is no error", address)
		}
	}
}

// The SDK joins host and port itself, which it does wrong for IPv6.
func TestShowOverIPv6(t *testing.T) {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here:", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	err = Remove(t.Context(), Config{Address: listener.Addr().String()})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Remove: %v, want a refused connection", err)
	}
}
