package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"qdrant-sidecar/test/sdk/transcript"
)

const (
	items = "sdk-items"

	read   = transcript.Read
	unsafe = transcript.Unsafe // any write
)

// request is a step whose name says all about it.
type request struct {
	name               string
	kind               transcript.Kind
	method, path, body string
	flags              []string
}

func (u *user) scenario(ctx context.Context) error {
	for _, part := range [][]request{probes(), schema(), points(), queries(), pages(), edges()} {
		if err := u.all(ctx, part); err != nil {
			return err
		}
	}
	if err := u.snapshots(ctx); err != nil {
		return err
	}
	_, err := u.step(ctx, "delete collection", unsafe, "DELETE", "/collections/"+items, "")
	return err
}

func (u *user) all(ctx context.Context, list []request) error {
	for _, r := range list {
		if _, err := u.step(ctx, r.name, r.kind, r.method, r.path, r.body, r.flags...); err != nil {
			return err
		}
	}
	return nil
}

func probes() []request {
	return []request{
		// Nobody but Qdrant says how it is, so the sidecar repeats none of these.
		{name: "root", kind: unsafe, method: "GET", path: "/"},
		{name: "healthz", kind: unsafe, method: "GET", path: "/healthz"},
		{name: "livez", kind: unsafe, method: "GET", path: "/livez"},
		{name: "readyz", kind: unsafe, method: "GET", path: "/readyz"},
		{name: "cluster", kind: read, method: "GET", path: "/cluster"},
		{name: "HEAD", kind: unsafe, method: "HEAD", path: "/", flags: []string{"--head", "-o", os.DevNull}}, // a date is in it
	}
}

func schema() []request {
	create := `{"vectors": {"size": 4, "distance": "Cosine"}}`
	return []request{
		{name: "create collection", kind: unsafe, method: "PUT", path: "/collections/" + items, body: create},
		{name: "create collection: exists", kind: unsafe, method: "PUT", path: "/collections/" + items, body: create},
		{name: "collection info", kind: read, method: "GET", path: "/collections/" + items},
		{name: "list collections", kind: read, method: "GET", path: "/collections"},
		{name: "exists", kind: read, method: "GET", path: "/collections/" + items + "/exists"},
		{name: "index", kind: unsafe, method: "PUT", path: "/collections/" + items + "/index?wait=true", body: `{"field_name": "n", "field_schema": "integer"}`},
	}
}

func points() []request {
	var batch strings.Builder
	for i := range 2000 {
		v := transcript.Vector(i)
		fmt.Fprintf(&batch, `,{"id": %d, "vector": [%d, %d, %d, %d], "payload": {"n": %d, "color": "%s"}}`,
			i, v[0], v[1], v[2], v[3], i, []string{"red", "green", "blue"}[i%3])
	}
	path := "/collections/" + items + "/points"
	return []request{
		{name: "upsert 2,000 points", kind: unsafe, method: "PUT", path: path + "?wait=true", body: `{"points": [` + batch.String()[1:] + `]}`},
		{name: "set payload", kind: unsafe, method: "POST", path: path + "/payload?wait=true", body: `{"payload": {"sale": true}, "points": [1]}`},
		{name: "delete by filter", kind: unsafe, method: "POST", path: path + "/delete?wait=true", body: `{"filter": {"must": [{"key": "n", "range": {"gte": 1990}}]}}`},
		{name: "alias", kind: unsafe, method: "POST", path: "/collections/aliases", body: `{"actions": [{"create_alias": {"alias_name": "sdk-alias", "collection_name": "sdk-items"}}]}`},
		// A body of unknown length, and one that is announced.
		{name: "upsert in chunks", kind: unsafe, method: "PUT", path: path + "?wait=true", body: `{"points": [{"id": 5000, "vector": [1, 2, 3, 4]}]}`, flags: []string{"-H", "Transfer-Encoding: chunked"}},
		{name: "upsert, expecting 100", kind: unsafe, method: "PUT", path: path + "?wait=true", body: `{"points": [{"id": 5001, "vector": [1, 2, 3, 5]}]}`, flags: []string{"-H", "Expect: 100-continue"}},
	}
}

func queries() []request {
	path := "/collections/" + items + "/points"
	return []request{
		{name: "retrieve", kind: read, method: "POST", path: path, body: `{"ids": [1, 99999], "with_vector": true}`},
		{name: "point", kind: read, method: "GET", path: path + "/1"},
		{name: "point: none", kind: read, method: "GET", path: path + "/99999"},
		{name: "query", kind: read, method: "POST", path: path + "/query", body: `{"query": [1, 2, 3, 4], "limit": 3, "with_payload": true}`},
		{name: "query filtered", kind: read, method: "POST", path: path + "/query?timeout=10", body: `{"query": 5, "filter": {"must": [{"key": "color", "match": {"value": "red"}}]}}`},
		{name: "scroll", kind: read, method: "POST", path: path + "/scroll", body: `{"limit": 100}`},
		{name: "scroll, compressed", kind: read, method: "POST", path: path + "/scroll", body: `{"limit": 100}`, flags: []string{"--compressed"}},
		{name: "count by alias", kind: read, method: "POST", path: "/collections/sdk-alias/points/count", body: `{"exact": true}`},
		{name: "facet", kind: read, method: "POST", path: "/collections/" + items + "/facet", body: `{"key": "n", "limit": 3}`},
	}
}

// pages are what a browser asks when it shows the dashboard.
func pages() []request {
	browser := []string{"-H", "User-Agent: Mozilla/5.0", "-H", "Accept: text/html,application/xhtml+xml", "-H", "Sec-Fetch-Site: same-origin", "--compressed"}
	return []request{
		{name: "dashboard", kind: read, method: "GET", path: "/dashboard", flags: browser},
		{name: "dashboard/", kind: read, method: "GET", path: "/dashboard/", flags: browser},
		{name: "dashboard, a file that is not there", kind: read, method: "GET", path: "/dashboard/assets/none-1.2.3.js?v=1", flags: browser},
		{name: "dashboard, console", kind: read, method: "POST", path: "/collections/" + items + "/points/scroll", body: `{"limit": 2}`, flags: browser},
		{name: "preflight", kind: read, method: "OPTIONS", path: "/collections", flags: []string{"-H", "Origin: http://localhost:6333", "-H", "Access-Control-Request-Method: GET"}},
	}
}

func edges() []request {
	path := "/collections/" + items + "/points"
	return []request{
		{name: "nothing there", kind: read, method: "GET", path: "/nothing/there"},
		{name: "a path with escapes", kind: read, method: "GET", path: "/collections/a%2Fb%20c/exists"},
		{name: "no JSON", kind: read, method: "POST", path: path + "/query", body: `{"query": `},
		{name: "wrong dimension", kind: unsafe, method: "PUT", path: path + "?wait=true", body: `{"points": [{"id": 1, "vector": [1]}]}`},
		{name: "invalid", kind: read, method: "POST", path: path + "/scroll", body: `{"limit": 0}`},
		{name: "no collection", kind: read, method: "POST", path: "/collections/sdk-ghost/points/query", body: `{"query": [1]}`},
	}
}

// snapshots takes one, and downloads it, in whole and in part, and gives it back.
func (u *user) snapshots(ctx context.Context) error {
	path := "/collections/" + items + "/snapshots"
	// Its answer has a name with the time in it.
	a, err := u.step(ctx, "create snapshot", unsafe, "POST", path, "", "-o", u.file("created"))
	if err != nil {
		return err
	}
	var created struct{ Result struct{ Name string } }
	text, err := os.ReadFile(u.file("created"))
	if err != nil || json.Unmarshal(text, &created) != nil || !strings.HasPrefix(a.status, "200") {
		_, err = u.step(ctx, "list snapshots", read, "GET", path, "")
		return err // the upstream has none
	}
	whole := u.file("whole")
	for _, r := range []request{
		{name: "download a snapshot", kind: read, method: "GET", path: path + "/" + created.Result.Name, flags: []string{"-o", whole}},
		{name: "download the beginning", kind: read, method: "GET", path: path + "/" + created.Result.Name, flags: []string{"-o", u.file("part"), "-r", "0-99"}},
		{name: "upload it", kind: unsafe, method: "POST", path: path + "/upload?priority=snapshot", flags: []string{"-F", "snapshot=@" + whole}},
		{name: "delete snapshot", kind: unsafe, method: "DELETE", path: path + "/" + created.Result.Name},
		{name: "count after the upload", kind: read, method: "POST", path: "/collections/" + items + "/points/count", body: `{"exact": true}`},
	} {
		if _, err := u.step(ctx, r.name, r.kind, r.method, r.path, r.body, r.flags...); err != nil {
			return err
		}
	}
	return nil
}

// attempts are requests for a runner that counts what reaches Qdrant. They are named as their paths end.
func (u *user) attempts(ctx context.Context) error {
	return u.all(ctx, []request{
		{name: "query", kind: read, method: "POST", path: "/collections/" + items + "/points/query", body: `{"query": [1]}`},
		{name: "payload", kind: read, method: "POST", path: "/collections/" + items + "/points/payload", body: `{"payload": {}, "points": [1]}`},
		{name: items, kind: read, method: "PUT", path: "/collections/" + items, body: `{"vectors": {"size": 2, "distance": "Dot"}}`},
	})
}
