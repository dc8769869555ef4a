package rest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"qdrant-sidecar/resilience"
)

// TestEveryRouteIsFound looks each row up by a path made from its template.
func TestEveryRouteIsFound(t *testing.T) {
	t.Parallel()
	names := Routes()
	for i, row := range table {
		path := strings.NewReplacer("{", "", "}", "").Replace(row.path)
		for _, method := range []string{row.method, http.MethodHead} {
			if method == http.MethodHead && row.method != http.MethodGet {
				continue
			}
			for _, p := range []string{path, path + "/"} {
				got := lookup(method, &url.URL{Path: p})
				if got.index != i || got.name != names[i] || got.class != row.class {
					t.Errorf("%s %s is %q, want %q", method, p, got.name, names[i])
				}
			}
		}
		if row.why == "" {
			t.Errorf("%s has no reason", names[i])
		}
		if isRead := row.class == resilience.Read; row.method != http.MethodPost && isRead != (row.method == http.MethodGet) {
			t.Errorf("%s is %v", names[i], row.class)
		}
	}
}

// TestOtherRoutes are in no row.
func TestOtherRoutes(t *testing.T) {
	t.Parallel()
	for request, class := range map[string]resilience.Class{
		"POST /":                                  resilience.Unknown,
		"GET /dashboard/assets/x.js":              resilience.Read,
		"OPTIONS /collections":                    resilience.Read,
		"POST /collections/c/points/unknown":      resilience.Unknown,
		"POST /collections//points/query":         resilience.Unknown,
		"PUT /collections/a/b/points":             resilience.Unknown,
		"POST /collections/c/points/query/batch/": resilience.Read,
		"POST /collections/a%2Fb/points/query":    resilience.Read,
		"PROPFIND /collections":                   resilience.Unknown,
		"POST *":                                  resilience.Unknown,
	} {
		method, path, _ := strings.Cut(request, " ")
		u, err := url.ParseRequestURI(path)
		if err != nil {
			u = &url.URL{Path: path}
		}
		if got := lookup(method, u).classOf(method); got != class {
			t.Errorf("%s is %v, want %v", request, got, class)
		}
	}
}

// FuzzLookup must find one of the known routes for anything, and never take a
// changing method for a read that is none.
func FuzzLookup(f *testing.F) {
	f.Add("POST", "/collections/c/points/query?x=1")
	f.Add("get", "//%2F/..")
	f.Add("PUT", "/collections/c/points")
	f.Fuzz(func(t *testing.T, method, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Skip()
		}
		r := lookup(method, u)
		if r.index < 0 || r.index > len(table) {
			t.Fatalf("route %d", r.index)
		}
		switch method {
		case http.MethodPut, http.MethodPatch, http.MethodDelete:
			if r.classOf(method) == resilience.Read {
				t.Errorf("%s %s is a read", method, target)
			}
		}
	})
}

// FuzzMessage reads errors of whatever is upstream.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"status":{"error":"Service internal error: x"},"time":0.1}`), "")
	f.Add([]byte("\x1f\x8b\x08\x00"), "gzip")
	f.Fuzz(func(t *testing.T, text []byte, encoding string) {
		if got := message(text, encoding); encoding != "gzip" && len(got) > 3*len(text) {
			t.Errorf("%d bytes of %d", len(got), len(text))
		}
	})
}
