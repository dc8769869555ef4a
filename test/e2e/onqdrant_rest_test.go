package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qdrant-sidecar/test/live"
	"qdrant-sidecar/test/sidecar"
)

// What an answer of the REST API says of when it was given, how long it took, and
// how many changes there were before.
var (
	restDate   = regexp.MustCompile(`(?i)\ndate: [^\r]*`)
	restTime   = regexp.MustCompile(`"time":[-+.e0-9]+`)
	restNumber = regexp.MustCompile(`"operation_id":[0-9]+`)
	restLength = regexp.MustCompile(`\ncontent-length: ([0-9]+)`)
	restName   = regexp.MustCompile(`(?m)^[-A-Za-z]+:`)
)

// TestRESTOnQdrant sends the same bytes directly and through the sidecar, one after
// the other, because later ones build on earlier ones.
func TestRESTOnQdrant(t *testing.T) {
	q := live.WantOne(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: q.URL(), REST: true, Args: []string{"--rest-url=http://" + q.REST}})
	const name = "/collections/rest-of-the-sidecar"
	key := ""
	if q.APIKey != "" {
		key = "api-key: " + q.APIKey + "\r\n"
	}
	plain := func(line, body string) string {
		return line + " HTTP/1.1\r\nHost: h\r\n" + key + "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	t.Cleanup(func() { rawExchange(t, q.REST, plain("DELETE "+name, "")) })
	steps := []struct{ name, request string }{
		{"create", plain("PUT "+name, `{"vectors":{"size":2,"distance":"Dot"}}`)},
		{"create again", plain("PUT "+name, `{"vectors":{"size":2,"distance":"Dot"}}`)},
		{"upsert", plain("PUT "+name+"/points?wait=true", `{"points":[{"id":1,"vector":[1,2],"payload":{"a":"b"}},{"id":2,"vector":[2,1]}]}`)},
		{"upsert of a wrong size", plain("PUT "+name+"/points?wait=true", `{"points":[{"id":1,"vector":[1]}]}`)},
		{"chunked upsert", "PUT " + name + "/points?wait=true HTTP/1.1\r\nHost: h\r\n" + key + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"1a\r\n{\"points\":[{\"id\":3,\"vector\r\n9\r\n\":[3,3]}]\r\n1\r\n}\r\n0\r\n\r\n"},
		{"no JSON", plain("PUT "+name+"/points?wait=true", `{"points":`)},
		{"count", plain("POST "+name+"/points/count", `{"exact":true}`)},
		{"query", plain("POST "+name+"/points/query", `{"query":[1,3],"limit":3,"with_payload":true}`)},
		{"scroll", plain("POST "+name+"/points/scroll", `{"limit":10}`)},
		{"a point", plain("GET "+name+"/points/1", "")},
		{"no such point", plain("GET "+name+"/points/77", "")},
		{"exists", plain("GET "+name+"/exists", "")},
		{"collections", plain("GET /collections", "")},
		{"cluster", plain("GET /cluster", "")},
		{"root", plain("GET /", "")},
		{"ready", plain("GET /readyz", "")},
		{"live", plain("GET /livez", "")},
		{"healthy", plain("GET /healthz", "")},
		{"head", plain("HEAD /collections", "")},
		{"options", plain("OPTIONS /collections", "")},
		{"no such path", plain("GET /nothing/here", "")},
		{"no such method", plain("PATCH /healthz", "")},
		{"no such collection", plain("GET /collections/there-is-none", "")},
		{"odd path", plain("GET /collections/a%2Fb%20c", "")},
		{"gzip", "GET / HTTP/1.1\r\nHost: h\r\n" + key + "Accept-Encoding: gzip\r\n\r\n"},
		{"expectation", "POST " + name + "/points/count HTTP/1.1\r\nHost: h\r\n" + key + "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"},
		{"snapshots", plain("GET "+name+"/snapshots", "")},
		{"no such snapshot", plain("GET "+name+"/snapshots/x.snapshot", "")},
		{"delete a point", plain("POST "+name+"/points/delete?wait=true", `{"points":[2]}`)},
	}
	all := func(address string) (answers []string) {
		rawExchange(t, q.REST, plain("DELETE "+name, ""))
		for _, step := range steps {
			answers = append(answers, essenceOfREST(t, rawExchange(t, address, step.request)))
		}
		return answers
	}
	direct, through := all(q.REST), all(s.REST)
	for i, step := range steps {
		if direct[i] != through[i] {
			t.Errorf("%s: answers differ:\ndirect\n%q\nthrough\n%q", step.name, direct[i], through[i])
		}
	}
	t.Run("snapshot", func(t *testing.T) { restSnapshot(t, q, s.REST, name) })
}

// essenceOfREST is an answer without that. Names of fields have no case, chunks are
// the hop's own, and a length that is the body's says no more than the body; without
// a body, as HEAD has it, it is that of another moment's.
func essenceOfREST(t *testing.T, answer string) string {
	t.Helper()
	header, body, _ := strings.Cut(answer, "\r\n\r\n")
	if strings.HasPrefix(header, "HTTP/1.1 100 ") {
		return header + "\r\n\r\n" + essenceOfREST(t, body)
	}
	header = restName.ReplaceAllStringFunc(header, strings.ToLower)
	if strings.Contains(header, "transfer-encoding: chunked") {
		whole, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(body)))
		if err != nil {
			t.Error(err)
		}
		body = string(whole)
	}
	if length := restLength.FindStringSubmatch(header); length != nil && (length[1] == strconv.Itoa(len(body)) || body == "") {
		header = restLength.ReplaceAllString(header, "\ncontent-length: (its)")
	}
	// Renamed fields may be in another order.
	lines := strings.Split(restDate.ReplaceAllString(header, "\ndate: (a date)"), "\r\n")
	slices.Sort(lines[1:])
	body = restNumber.ReplaceAllString(restTime.ReplaceAllString(body, `"time":0`), `"operation_id":0`)
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// restSnapshot makes a snapshot through the sidecar, brings it down both ways, in
// whole and in part, and back up through it.
func restSnapshot(t *testing.T, q live.Qdrant, through, name string) {
	t.Helper()
	key := http.Header{}
	if q.APIKey != "" {
		key.Set("api-key", q.APIKey)
	}
	_, text := askWith(t, through, http.MethodPost, name+"/snapshots?wait=true", key, nil)
	var made struct{ Result struct{ Name string } }
	if err := json.Unmarshal([]byte(text), &made); err != nil || made.Result.Name == "" {
		t.Fatalf("got %s, %v", text, err)
	}
	path := name + "/snapshots/" + made.Result.Name
	_, direct := askWith(t, q.REST, http.MethodGet, path, key, nil)
	if _, got := askWith(t, through, http.MethodGet, path, key, nil); got != direct || len(got) < 1000 {
		t.Errorf("%d bytes through the sidecar, %d directly", len(got), len(direct))
	}
	part := key.Clone()
	part.Set("Range", "bytes=10-99")
	want, wanted := askWith(t, q.REST, http.MethodGet, path, part, nil)
	if got, text := askWith(t, through, http.MethodGet, path, part, nil); got.StatusCode != want.StatusCode || text != wanted {
		t.Errorf("a range: %s and %d bytes through the sidecar, %s and %d directly", got.Status, len(text), want.Status, len(wanted))
	}
	const boundary = "----boundary"
	form := key.Clone()
	form.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	body := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"snapshot\"; filename=\"x.snapshot\"\r\n" +
		"Content-Type: application/octet-stream\r\n\r\n" + direct + "\r\n--" + boundary + "--\r\n"
	if answer, text := askWith(t, through, http.MethodPost, name+"/snapshots/upload?wait=true", form, strings.NewReader(body)); answer.StatusCode != http.StatusOK {
		t.Errorf("an upload: %s %s", answer.Status, text)
	}
	if answer, text := askWith(t, through, http.MethodDelete, path, key, nil); answer.StatusCode != http.StatusOK {
		t.Errorf("its end: %s %s", answer.Status, text)
	}
}
