package memqdrant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// restAPI answers over REST: what people, probes and SDKs that use gRPC ask beside it here, data in rest_data.go.
// Everything else is refused with a sentence.
type restAPI struct {
	collections collectionsService
	points      pointsService
	snapshots   snapshotsService
	started     time.Time
}

// newREST returns a server of the REST API, of the same database.
func newREST(db *database) *http.Server {
	api := restAPI{
		collections: collectionsService{db: db}, points: pointsService{db: db}, snapshots: snapshotsService{db: db},
		started: time.Now(),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", api.root)
	for _, probe := range [...]struct{ path, text string }{
		{"/healthz", "healthz check passed"},
		{"/livez", "healthz check passed"},
		{"/readyz", "all shards are ready"},
	} {
		mux.HandleFunc("GET "+probe.path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprint(w, probe.text)
		})
	}
	mux.Handle("GET /collections", restCall(api.list))
	mux.Handle("GET /collections/{collection}/exists", restCall(api.exists))
	mux.Handle("GET /collections/{collection}/aliases", restCall(api.aliasesOf))
	mux.Handle("GET /aliases", restCall(api.aliases))
	mux.Handle("GET /cluster", restCall(api.cluster))
	mux.Handle("GET /cluster/telemetry", restCall(api.clusterTelemetry))
	mux.Handle("GET /telemetry", restCall(api.telemetry))
	api.addData(mux)
	mux.Handle("/", restCall(func(r *http.Request) (any, error) {
		return nil, unsupported(fmt.Sprintf("%s %s over REST", r.Method, r.URL.Path))
	}))
	return &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
}

// ServeREST answers REST on lis until Stop or GracefulStop, then returns nil. Any other end is an error.
func (s *Server) ServeREST(lis net.Listener) error {
	if err := s.rest.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// restCall is a call whose answer is wrapped as all of Qdrant's are.
type restCall func(*http.Request) (result any, err error)

// restAnswer is Qdrant's wrapping.
type restAnswer struct {
	Result any     `json:"result,omitempty"`
	Status any     `json:"status"`
	Time   float64 `json:"time"`
}

// restError is the status of an answer that has no result.
type restError struct {
	Error string `json:"error"`
}

// ServeHTTP implements [http.Handler].
func (call restCall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	code, answer := http.StatusOK, restAnswer{Status: "ok"}
	result, err := call(r)
	if err == nil {
		answer.Result = result
	} else {
		code, answer.Status = restCode(err), restError{status.Convert(err).Message()}
		if text, ok := inBody(err); ok && r.Method != http.MethodGet {
			code, answer.Status = http.StatusUnprocessableEntity, restError{text}
		}
	}
	answer.Time = seconds(start)
	writeJSON(w, code, answer)
}

// restCode is the status that Qdrant gives over REST to what has a code over gRPC.
func restCode(err error) int {
	switch status.Code(err) {
	case codes.NotFound:
		return http.StatusNotFound
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.AlreadyExists:
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

func writeJSON(w http.ResponseWriter, code int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		code, text = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(code)
	_, _ = w.Write(text)
}

// root is the one answer that is not wrapped. SDKs compare its version with theirs.
func (restAPI) root(w http.ResponseWriter, r *http.Request) {
	reply, err := rootService{}.HealthCheck(r.Context(), nil)
	if err != nil {
		writeJSON(w, restCode(err), restAnswer{Status: restError{err.Error()}})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"title": reply.GetTitle(), "version": reply.GetVersion()})
}

func (a restAPI) list(r *http.Request) (any, error) {
	reply, err := a.collections.List(r.Context(), nil)
	if err != nil {
		return nil, err
	}
	type description struct {
		Name string `json:"name"`
	}
	list := []description{}
	for _, c := range reply.GetCollections() {
		list = append(list, description{c.GetName()})
	}
	return map[string]any{"collections": list}, nil
}

func (a restAPI) exists(r *http.Request) (any, error) {
	reply, err := a.collections.CollectionExists(r.Context(), &qdrant.CollectionExistsRequest{CollectionName: r.PathValue("collection")})
	if err != nil {
		return nil, err
	}
	return map[string]bool{"exists": reply.GetResult().GetExists()}, nil
}

func (a restAPI) aliases(r *http.Request) (any, error) {
	reply, err := a.collections.ListAliases(r.Context(), nil)
	return restAliases(reply.GetAliases()), err
}

func (a restAPI) aliasesOf(r *http.Request) (any, error) {
	reply, err := a.collections.ListCollectionAliases(r.Context(),
		&qdrant.ListCollectionAliasesRequest{CollectionName: r.PathValue("collection")})
	return restAliases(reply.GetAliases()), err
}

func restAliases(aliases []*qdrant.AliasDescription) any {
	type description struct {
		Alias      string `json:"alias_name"`
		Collection string `json:"collection_name"`
	}
	list := []description{}
	for _, a := range aliases {
		list = append(list, description{a.GetAliasName(), a.GetCollectionName()})
	}
	return map[string]any{"aliases": list}
}

// cluster is the answer of a node that is none of a cluster.
func (restAPI) cluster(*http.Request) (any, error) {
	return map[string]string{"status": "disabled"}, nil
}

func (restAPI) clusterTelemetry(*http.Request) (any, error) {
	return map[string]any{"collections": map[string]any{}, "cluster": nil}, nil
}

// telemetry says what a fresh node would, and counts nothing.
func (a restAPI) telemetry(r *http.Request) (any, error) {
	number, err := a.count(r.Context())
	if err != nil {
		return nil, err
	}
	responses := map[string]any{"responses": map[string]any{}}
	return map[string]any{
		"id": "00000000-0000-0000-0000-000000000000", // each start has one of its own; here there is nobody to tell apart
		"app": map[string]any{
			"name": "qdrant", "version": Version, "startup": a.started.UTC().Format(time.RFC3339Nano),
		},
		"collections": map[string]any{"number_of_collections": number},
		"cluster":     map[string]any{"enabled": false},
		"requests":    map[string]any{"rest": responses, "grpc": responses},
	}, nil
}

func (a restAPI) count(ctx context.Context) (int, error) {
	reply, err := a.collections.List(ctx, nil)
	return len(reply.GetCollections()), err
}
