package memqdrant

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
)

// TestREST asks what SDKs ask.
func TestREST(t *testing.T) {
	t.Parallel()
	db := newDatabase()
	collections := collectionsService{db: db}
	if _, err := collections.Create(t.Context(), &qdrant.CreateCollection{CollectionName: "things"}); err != nil {
		t.Fatal(err)
	}
	alias := &qdrant.ChangeAliases{Actions: []*qdrant.AliasOperations{qdrant.NewAliasCreate("others", "things")}}
	if _, err := collections.UpdateAliases(t.Context(), alias); err != nil {
		t.Fatal(err)
	}
	handler := newREST(db).Handler
	for _, tt := range []struct {
		request string
		code    int
		want    string // a part of the answer
	}{
		{"GET /", 200, `{"title":"qdrant - vector search engine","version":"` + Version + `"}`},
		{"GET /healthz", 200, "healthz check passed"},
		{"GET /livez", 200, "healthz check passed"},
		{"GET /readyz", 200, "all shards are ready"},
		{"GET /collections", 200, `{"result":{"collections":[{"name":"things"}]},"status":"ok","time":`},
		{"GET /collections/things/exists", 200, `"result":{"exists":true}`},
		{"GET /collections/nothing/exists", 200, `"result":{"exists":false}`},
		{"GET /aliases", 200, `"result":{"aliases":[{"alias_name":"others","collection_name":"things"}]}`},
		{"GET /collections/things/aliases", 200, `"alias_name":"others"`},
		{"GET /collections/" + strings.Repeat("x", 256) + "/exists", 400, `{"status":{"error":"Validation error in body`},
		{"GET /cluster", 200, `"result":{"status":"disabled"}`},
		{"GET /cluster/telemetry", 200, `"collections":{}`},
		{"GET /telemetry", 200, `"number_of_collections":1`},
		{"POST /collections/things/snapshots", 501, `{"status":{"error":"memory:// does not do POST /collections/things/snapshots over REST`},
		{"DELETE /cluster/peer/1", 501, `use a real Qdrant for it`},
		{"POST /", 501, `"error":"memory://`},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		text, err := io.ReadAll(w.Result().Body)
		if err != nil || w.Code != tt.code || !strings.Contains(string(text), tt.want) {
			t.Errorf("%s: %d %s, want %d and %s", tt.request, w.Code, text, tt.code, tt.want)
		}
		if strings.HasPrefix(string(text), "{") && !json.Valid(text) {
			t.Errorf("%s: no JSON: %s", tt.request, text)
		}
	}
}

// TestDataOverREST has one request for each route, in an order in which each finds what it needs.
func TestDataOverREST(t *testing.T) {
	t.Parallel()
	handler := newREST(newDatabase()).Handler
	const points = "/collections/c/points"
	for _, tt := range []struct {
		request, body string
		code          int
		want          string // a part of the answer
	}{
		{"PUT /collections/c", `{"vectors": {"size": 2, "distance": "Dot"}}`, 200, `{"result":true,"status":"ok"`},
		{"PUT /collections/c", `{"vectors": {"size": 2, "distance": "Dot"}}`, 409, "Wrong input: Collection `c` already exists!"},
		{"PUT /collections/d", `{"vectors": 5}`, 400, `Format error in JSON body`},
		{"PATCH /collections/c", `{"optimizers_config": {"indexing_threshold": 7}}`, 200, `"result":true`},
		{"GET /collections/c", ``, 200, `"vectors":{"distance":"Dot","size":2}`},
		{"PUT /collections/c/index?wait=true", `{"field_name": "n", "field_schema": "integer"}`, 200, `"status":"completed"`},
		{"PUT " + points + "?wait=true", `{"points": [{"id": 1, "vector": [1, 0], "payload": {"n": 1}}, {"id": 2, "vector": [0, 1]}]}`, 200, `"result":{"operation_id":`},
		{"PUT " + points, `{"batch": {"ids": [3], "vectors": [[1, 1]]}}`, 200, `"status":"acknowledged"`},
		{"PUT " + points + "?wait=maybe", `{}`, 400, "wait is `maybe`"},
		{"PUT " + points + "?timeout=-1", `{}`, 400, "timeout is `-1`"},
		{"POST " + points, `{"ids": [1, 9]}`, 200, `"result":[{"id":1,"payload":{"n":1}}]`},
		{"POST " + points, `{"ids": [1], "with_payload": false}`, 200, `"result":[{"id":1}]`},
		{"GET " + points + "/1", ``, 200, `"result":{"id":1,"payload":{"n":1},"vector":[1.0,0.0]}`},
		{"GET " + points + "/9", ``, 404, "Not found: Point with id 9"},
		{"POST " + points + "/payload?wait=true", `{"payload": {"a": 1}, "points": [2]}`, 200, `"status":"completed"`},
		{"PUT " + points + "/payload?wait=true", `{"payload": {"b": 1, "c": 2}, "points": [2]}`, 200, `"status":"completed"`},
		{"POST " + points + "/payload/delete?wait=true", `{"keys": ["c"], "points": [2]}`, 200, `"status":"completed"`},
		{"POST " + points, `{"ids": [2]}`, 200, `"payload":{"b":1}`},
		{"POST " + points + "/payload/clear?wait=true", `{"points": [2]}`, 200, `"status":"completed"`},
		{"PUT " + points + "/vectors?wait=true", `{"points": [{"id": 2, "vector": [0, 2]}]}`, 200, `"status":"completed"`},
		{"POST " + points + "/query", `{"query": [0, 1], "limit": 1}`, 200, `"result":{"points":[{"id":2,"score":2.0,"version":`},
		{"POST " + points + "/query/batch", `{"searches": [{"query": 3, "limit": 1}]}`, 200, `"result":[{"points":[{"id":2,`},
		{"POST " + points + "/query/groups", `{"query": [1, 0], "group_by": "n"}`, 200, `"result":{"groups":[{"hits":[{"id":1,`},
		{"POST " + points + "/scroll", `{"limit": 1}`, 200, `"result":{"next_page_offset":2,"points":[{"id":1,"payload":{"n":1}}]}`},
		{"POST " + points + "/scroll", `{"limit": 0}`, 422, `Validation error in JSON body: [limit`},
		{"POST " + points + "/scroll", ``, 200, `"next_page_offset":null`},
		{"POST " + points + "/count", `{"filter": {"must": [{"key": "n", "match": {"value": 1}}]}, "exact": true}`, 200, `"result":{"count":1}`},
		{"POST /collections/c/facet", `{"key": "n"}`, 200, `"result":{"hits":[{"count":1,"value":1}]}`},
		{"POST " + points + "/batch?wait=true", `{"operations": [{"delete": {"points": [3]}}]}`, 200, `"result":[{"operation_id":`},
		{"POST " + points + "/vectors/delete?wait=true", `{"points": [1], "vector": ["x"]}`, 400, `Not existing vector name`},
		{"POST " + points + "/delete?wait=true", `{"filter": {"must": [{"has_id": [1]}]}}`, 200, `"status":"completed"`},
		{"DELETE /collections/c/index/n?wait=true", ``, 200, `"status":"completed"`},
		{"POST /collections/aliases", `{"actions": [{"create_alias": {"alias_name": "a", "collection_name": "c"}}]}`, 200, `"result":true`},
		{"POST /collections/a/points/count", `{}`, 200, `"count":1`},
		{"GET /collections/c/snapshots", ``, 200, `"result":[]`},
		{"GET /snapshots", ``, 200, `"result":[]`},
		{"DELETE /collections/c", ``, 200, `"result":true`},
		{"GET /collections/c", ``, 404, "Not found: Collection `c` doesn't exist!"},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(tt.body)))
		if text := w.Body.String(); w.Code != tt.code || !strings.Contains(text, tt.want) || !json.Valid([]byte(text)) {
			t.Errorf("%s %s: %d %s, want %d and %s", tt.request, tt.body, w.Code, text, tt.code, tt.want)
		}
	}
}

// TestLargeBodyOverREST sends one that Qdrant would not take either.
func TestLargeBodyOverREST(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	body := strings.NewReader(strings.Repeat(" ", maxRESTBody+1))
	newREST(newDatabase()).Handler.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/collections/c", body))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "is larger than allowed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
