package memqdrant

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/memqdrant/restjson"
)

// maxRESTBody is how large a body may be: Qdrant's own default.
const maxRESTBody = 32 << 20

// addData adds the routes to data. Each is a method of the gRPC API in other clothes.
func (a restAPI) addData(mux *http.ServeMux) {
	const collection = "/collections/{collection}"
	const points = collection + "/points"
	for pattern, call := range map[string]restCall{
		"GET " + collection:                    overREST(a.collections.Get),
		"PUT " + collection:                    overREST(a.collections.Create),
		"PATCH " + collection:                  overREST(a.collections.Update),
		"DELETE " + collection:                 overREST(a.collections.Delete),
		"POST /collections/aliases":            overREST(a.collections.UpdateAliases),
		"PUT " + collection + "/index":         overREST(a.points.CreateFieldIndex),
		"DELETE " + collection + "/index/{of}": overREST(a.points.DeleteFieldIndex),
		"POST " + collection + "/facet":        overREST(a.points.Facet),
		"PUT " + points:                        overREST(a.points.Upsert),
		"POST " + points:                       overREST(withPayloads(a.points.Get)),
		"POST " + points + "/delete":           overREST(a.points.Delete),
		"POST " + points + "/batch":            overREST(a.points.UpdateBatch),
		"PUT " + points + "/vectors":           overREST(a.points.UpdateVectors),
		"POST " + points + "/vectors/delete":   overREST(a.points.DeleteVectors),
		"POST " + points + "/payload":          overREST(a.points.SetPayload),
		"PUT " + points + "/payload":           overREST(a.points.OverwritePayload),
		"POST " + points + "/payload/delete":   overREST(a.points.DeletePayload),
		"POST " + points + "/payload/clear":    overREST(a.points.ClearPayload),
		"POST " + points + "/scroll":           overREST(a.points.Scroll),
		"POST " + points + "/count":            overREST(a.points.Count),
		"POST " + points + "/query":            overREST(a.points.Query),
		"POST " + points + "/query/batch":      overREST(a.points.QueryBatch),
		"POST " + points + "/query/groups":     overREST(a.points.QueryGroups),
		"GET " + points + "/{id}":              a.point,
		"GET " + collection + "/snapshots":     overREST(a.snapshots.List),
		"GET /snapshots":                       overREST(a.snapshots.ListFull),
	} {
		mux.Handle(pattern, call)
	}
}

// message is a pointer to a message M.
type message[M any] interface {
	*M
	proto.Message
}

// overREST answers a request by a method of the gRPC API. What the request says is its body, the collection and field
// in its path, and its parameters.
func overREST[I, O any, In message[I], Out message[O]](method func(context.Context, In) (Out, error)) restCall {
	return func(r *http.Request) (any, error) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxRESTBody+1))
		if err != nil {
			return nil, malformed("%v", err)
		}
		if len(body) > maxRESTBody {
			return nil, malformed("JSON payload (%d bytes) is larger than allowed (limit: %d bytes).", len(body), maxRESTBody)
		}
		more, err := besideBody(r)
		if err != nil {
			return nil, err
		}
		var in In = new(I)
		if err := restjson.Decode(body, more, in); err != nil {
			return nil, malformed("Format error in JSON body: %v", err)
		}
		out, err := method(r.Context(), in)
		if err != nil {
			return nil, err
		}
		return restResult(out), nil
	}
}

// besideBody is what a request says in its path and parameters.
func besideBody(r *http.Request) (map[string]any, error) {
	more := map[string]any{}
	if name := r.PathValue("collection"); name != "" {
		more["collection_name"] = name
	}
	if field := r.PathValue("of"); field != "" {
		more["field_name"] = field
	}
	parameters := r.URL.Query()
	if text := parameters.Get("wait"); text != "" {
		wait, err := strconv.ParseBool(text)
		if err != nil {
			return nil, malformed("Format error in query parameters: wait is `%s`", text)
		}
		more["wait"] = wait
	}
	if text := parameters.Get("timeout"); text != "" {
		timeout, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return nil, malformed("Format error in query parameters: timeout is `%s`", text)
		}
		more["timeout"] = timeout
	}
	return more, nil
}

// restResult is what REST wraps of an answer: over gRPC, the time stands beside it.
func restResult(out proto.Message) any {
	switch out := out.(type) {
	case *qdrant.QueryResponse:
		return restPoints(out)
	case *qdrant.QueryBatchResponse:
		batches := []any{}
		for _, batch := range out.GetResult() {
			batches = append(batches, restPoints(&qdrant.QueryResponse{Result: batch.GetResult()}))
		}
		return batches
	case *qdrant.ScrollResponse:
		var next any
		if out.GetNextPageOffset() != nil {
			next = restjson.Encode(out.GetNextPageOffset())
		}
		return map[string]any{"points": field(out, "result"), "next_page_offset": next}
	case *qdrant.FacetResponse:
		return map[string]any{"hits": field(out, "hits")}
	case *qdrant.ListSnapshotsResponse:
		return []any{} // there are none
	}
	return field(out, "result")
}

func restPoints(out *qdrant.QueryResponse) any { return map[string]any{"points": field(out, "result")} }

// field is one field of a message.
func field(of proto.Message, name string) any {
	fields, _ := restjson.Encode(of).(map[string]any)
	return fields[name]
}

// withPayloads is Get as it is over REST, where payloads come unless they are not wanted.
func withPayloads(get func(context.Context, *qdrant.GetPoints) (*qdrant.GetResponse, error)) func(context.Context, *qdrant.GetPoints) (*qdrant.GetResponse, error) {
	return func(ctx context.Context, in *qdrant.GetPoints) (*qdrant.GetResponse, error) {
		if in.WithPayload == nil {
			in.WithPayload = qdrant.NewWithPayload(true)
		}
		return get(ctx, in)
	}
}

// point is the one that the path names.
func (a restAPI) point(r *http.Request) (any, error) {
	text := r.PathValue("id")
	id := qdrant.NewID(text)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		id = qdrant.NewIDNum(n)
	}
	out, err := a.points.Get(r.Context(), &qdrant.GetPoints{
		CollectionName: r.PathValue("collection"), Ids: []*qdrant.PointId{id},
		WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
	})
	switch {
	case err != nil:
		return nil, err
	case len(out.GetResult()) == 0:
		return nil, notFound("Point with id %s does not exists!", text)
	}
	return restjson.Encode(out.GetResult()[0]), nil
}

// inBody puts an error in the words of REST, and says whether it is about what a body says, which has a status of its
// own there.
func inBody(err error) (text string, isInvalid bool) {
	text = status.Convert(err).Message()
	if rest, ok := strings.CutPrefix(text, "Validation error in body: "); ok {
		return "Validation error in JSON body: " + rest, true
	}
	return text, false
}
