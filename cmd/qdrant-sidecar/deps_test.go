package main

import (
	"encoding/json"
	"os/exec"
	"path"
	"strings"
	"testing"
)

const module = "qdrant-sidecar"

// imports says, for the packages that a pattern matches, which patterns of
// packages they must not import, and why. "..." stands for all of this module.
var imports = []struct {
	of  string
	not []string
	but []string // the exceptions
	why string
}{
	{of: "internal/h2", not: []string{"..."}, why: "the engine serves any proxy: it knows nothing of pools or policy"},
	{of: "pool", not: []string{"..."}, but: []string{"internal/h2"}, why: "connections know no policy and no proxy"},
	{of: "resilience", not: []string{"..."}, why: "policy is pure: it knows no sockets"},
	{of: "proxy", not: []string{"proxy/admin", "internal/memqdrant", "internal/demo", "internal/digits", "gen/..."}, why: "the data path serves no pages and knows no schema"},
	{of: "proxy/method", not: []string{"..."}, but: []string{"proxy/protoscan", "resilience"}, why: "the method table knows what may be repeated, and nothing of how"},
	{of: "proxy/protoscan", not: []string{"..."}, why: "it knows what a message is, and of no message in particular"},
	{of: "proxy/shape", not: []string{"..."}, but: []string{"proxy/method", "proxy/protoscan"}, why: "it looks at bytes and tells what they ask for"},
	{of: "proxy/rest", not: []string{"..."}, but: []string{"resilience", "pool"}, why: "HTTP passes beside gRPC: they share what decides about failures and nodes, and no more"},
	{of: "proxy/admin", not: []string{"proxy", "proxy/method", "internal/..."}, why: "pages show what they are given"},
	{of: "proxy/tap", not: []string{"..."}, why: "the data path hands calls over, and knows nothing of who watches"},
	{of: "proxy/statistics", not: []string{"proxy", "proxy/admin", "internal/..."}, why: "it reads what is counted, and counts nothing"},
	{of: "proxy/verdict", not: []string{"..."}, but: []string{"gen/...", "proxy/method", "resilience", "internal/human"}, why: "what statistics mean follows from them alone"},
	{of: "internal/transcript", not: []string{"..."}, why: "bodies are read where they are shown, and nowhere else"},
	{of: "internal/memqdrant", not: []string{"..."}, but: []string{"internal/memqdrant/restjson"}, why: "it stands for the real Qdrant, so it shares nothing with the proxy"},
	{of: "internal/demo", not: []string{"..."}, but: []string{"internal/digits"}, why: "the show uses the sidecar as any user does: over the network"},
	{of: "internal/tracing", not: []string{"..."}, why: "sending spans is the same for any program"},
	{of: "internal/faultwire", not: []string{"..."}, why: "what tests the engine must not be made of it"},
	{of: "gen/...", not: []string{"..."}, why: "generated code stands alone"},
	{of: "...", not: []string{"cmd/...", "test/...", "internal/faultwire", "internal/rawgrpc", "internal/tools/..."}, but: nil, why: "nothing that ships imports programs, tests or tools"},

	{of: "...", not: []string{"testing"}, why: "none of our test code ships"},
	{of: "...", not: []string{"github.com/prometheus/client_golang/*"}, but: []string{"proxy", "proxy/admin"},
		why: "metrics are defined in proxy/metrics.go and shown by proxy/admin"},
	{of: "...", not: []string{"go.opentelemetry.io/*"}, but: []string{"internal/tracing", "proxy", "proxy/rest", "cmd/qdrant-sidecar"},
		why: "spans are made where calls and attempts begin and end, and handed on by the program"},
	{of: "...", not: []string{"go.opentelemetry.io/otel/sdk/*", "go.opentelemetry.io/otel/exporters/*"}, but: []string{"internal/tracing"},
		why: "whoever makes spans does not know where they go"},
	{of: "...", not: []string{"github.com/qdrant/go-client/*"}, but: []string{"internal/memqdrant", "internal/demo", "internal/transcript"},
		why: "bytes pass unparsed: the data path knows no message type"},
}

// TestImports walks the packages of the binary.
func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		own, ok := strings.CutPrefix(p.ImportPath, module+"/")
		if !ok {
			continue
		}
		packages++
		for _, imported := range p.Imports {
			checkImport(t, own, strings.TrimPrefix(imported, module+"/"), strings.HasPrefix(imported, module+"/"))
		}
	}
	if packages < 8 {
		t.Errorf("only %d packages of this module were found", packages)
	}
}

func checkImport(t *testing.T, own, imported string, ours bool) {
	t.Helper()
	for _, rule := range imports {
		if !covers(rule.of, own, true) {
			continue
		}
		banned, excepted := false, false
		for _, pattern := range rule.not {
			banned = banned || covers(pattern, imported, ours)
		}
		for _, exception := range rule.but {
			// An exception names what may be imported, or who may import.
			excepted = excepted || covers(exception, imported, ours) || covers(exception, own, true)
		}
		if banned && !excepted {
			t.Errorf("%s imports %s: %s", own, imported, rule.why)
		}
	}
}

// covers reports whether a pattern means a package: "..." all of this module,
// "x/..." x and all below, "x/*" all below a foreign x.
func covers(pattern, name string, ours bool) bool {
	switch {
	case pattern == "...":
		return ours
	case strings.HasSuffix(pattern, "/..."):
		root := strings.TrimSuffix(pattern, "/...")
		return name == root || strings.HasPrefix(name, root+"/")
	case strings.HasSuffix(pattern, "/*"):
		return strings.HasPrefix(name, strings.TrimSuffix(pattern, "*"))
	default:
		return path.Clean(pattern) == name
	}
}
