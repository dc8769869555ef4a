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
		{"PUT /collections/things", 501, `{"status":{"error":"memory:// does not do PUT /collections/things over REST`},
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
