package rest

import (
	"net/http"
	"net/url"
	"strings"

	"qdrant-sidecar/resilience"
)

// route is one row of the table: requests that are of one kind.
type route struct {
	// index is its place in the table.
	index int
	// name is method and path template, as metrics and messages show it.
	name string
	// class says what a second execution does.
	class resilience.Class
	// quick says that its answer takes no time of its own to begin.
	quick bool
	// whole says that its answer comes in one piece, for which a caller can wait.
	whole bool
	// local says that each node has its own answer.
	local bool
	// health says that it asks whether Qdrant is well, so that nobody but Qdrant is to
	// answer.
	health bool

	method   string
	segments []string
}

// otherName names all requests that are in no row.
const otherName = "other"

// routes is the table in a form to search.
type routes struct {
	other *route
	// bySegments has the routes with so many segments.
	bySegments map[int][]*route
}

// known is the table of table.go. It is never changed.
var known = newRoutes()

func newRoutes() routes {
	r := routes{other: &route{index: len(table), name: otherName}, bySegments: map[int][]*route{}}
	for i, row := range table {
		segments := split(row.path)
		r.bySegments[len(segments)] = append(r.bySegments[len(segments)], &route{
			index: i, name: row.method + " " + row.path, class: row.class, quick: row.kind == quick, health: row.kind == health,
			local: isLocal(row.path), whole: row.kind != lasting || row.class != resilience.Read,
			method: row.method, segments: segments,
		})
	}
	return r
}

// isLocal says that a route is about one node: its disk, its numbers.
func isLocal(path string) bool {
	return strings.Contains(path, "/snapshot") || path == "/metrics" || path == "/telemetry"
}

// Routes returns the names of all routes: the closed set of labels that this
// package makes.
func Routes() []string {
	var names []string
	for _, row := range table {
		names = append(names, row.method+" "+row.path)
	}
	return append(names, otherName)
}

// lookup returns the route of a request, which is that of GET for HEAD.
func lookup(method string, u *url.URL) *route {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	// Escaped, so that a slash in a name is none of the path.
	segments := split(u.EscapedPath())
	for _, r := range known.bySegments[len(segments)] {
		if r.method == method && r.matches(segments) {
			return r
		}
	}
	return known.other
}

// matches compares segments. Where a name is wanted there has to be one; what is
// fixed comes before what is not in the table.
func (r *route) matches(segments []string) bool {
	for i, want := range r.segments {
		if strings.HasPrefix(want, "{") && segments[i] != "" {
			continue
		}
		if want != segments[i] {
			return false
		}
	}
	return true
}

// split cuts a path into segments. A slash at the end means nothing to Qdrant.
func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// classOf is the class of a request: HTTP calls some methods safe, whatever the
// route.
func (r *route) classOf(method string) resilience.Class {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return resilience.Read
	}
	return r.class
}
