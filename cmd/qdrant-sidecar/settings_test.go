package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md instead of comparing it")

// environment is a getenv over a map.
func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// configured loads and checks a configuration, as the commands do.
func configured(args []string, vars map[string]string) (*config, problems) {
	inv := invocation{command: commands()[0], args: args, getenv: environment(vars)}
	c, found, err := load(inv, settings, nil)
	if err != nil {
		return nil, problems{err.Error()}
	}
	c.check(&found)
	return c, found
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDocumentationIsFresh(t *testing.T) {
	for page, want := range map[string]string{"../../docs/configuration.md": configurationPage(), "../../docs/logs.md": logsPage()} {
		if *update {
			if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(page)
		if err != nil || string(got) != want {
			t.Errorf("%s is stale (%v): run make generate", page, err)
		}
	}
}

// TestNames holds the settings away from what Kubernetes injects for a Service
// called qdrant, which would configure us by accident.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range settings {
		if env := s.env(); env == "QDRANT_PORT" || strings.HasPrefix(env, "QDRANT_PORT_") || strings.HasPrefix(env, "QDRANT_SERVICE_") {
			t.Errorf("Kubernetes sets %s by itself", env)
		}
		if seen[s.name] || s.name != strings.ToLower(s.name) || s.help == "" || !strings.HasSuffix(s.help, ".") {
			t.Errorf("setting %q: twice, not lower case, or not explained in sentences", s.name)
		}
		seen[s.name] = true
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	var out, errs bytes.Buffer
	for _, args := range [][]string{{"--help"}, {"serve", "-h"}, {"probe", "--help"}, {"help"}} {
		out.Reset()
		if code := run(t.Context(), args, environment(nil), &out, &errs); code != exitOK || errs.Len() > 0 {
			t.Fatalf("%q: exit %d, stderr %q", args, code, &errs)
		}
		for _, s := range settings {
			if !strings.Contains(out.String(), s.synopsis()+"\n") {
				t.Errorf("%q does not show %q", args, s.synopsis())
			}
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 81 {
			t.Errorf("the help has a line of %d columns: %s", len(line)-1, line)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "config.yaml", "pool-size: 2\ndrain-timeout: 2s\nlog-level: debug\nurl: http://from-file\nlisten: [127.0.0.1:1, 127.0.0.1:2]\n")
	c, found := configured(
		[]string{"--config", file, "--pool-size=4", "--url", "http://from-flag"},
		map[string]string{"QDRANT_POOL_SIZE": "3", "QDRANT_DRAIN_TIMEOUT": "3.5", "QDRANT_URL": "http://from-env", "QDRANT_LOG_LEVEL": ""},
	)
	if len(found) > 0 {
		t.Fatal(found)
	}
	got := map[string]string{}
	for _, e := range c.effective {
		got[e.name] = e.shown() + " " + e.source.String()
	}
	for name, want := range map[string]string{
		"pool-size":      "4 flag",
		"url":            "http://from-flag flag",
		"drain-timeout":  "3.5 env",
		"log-level":      "debug file",
		"listen":         "127.0.0.1:1,127.0.0.1:2 file",
		"metrics-listen": ":9091 default",
		"api-key":        " default",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if c.poolSize != 4 || c.upstream.host != "from-flag" || c.drainTimeout.Seconds() != 3.5 || len(c.listen) != 2 {
		t.Errorf("parsed: %+v", c)
	}
}

// TestAllProblemsAtOnce gives one of everything that can be wrong.
func TestAllProblemsAtOnce(t *testing.T) {
	file := write(t, "config.yaml", "pool-sice: 2\napi-key: hush\nurl: [a, b]\n")
	_, found := configured(
		[]string{"--config", file, "--what", "ever", "--drain-timeout", "soon", "--api-key", "hush", "--upstream-ca-file", "/does/not/exist", "--pool-size", "0", "more"},
		map[string]string{"QDRANT_LISTEN": "here", "QDRANT_LOG_LEVEL": "loud", "QDRANT_METRICS_LISTEN": "a:b", "QDRANT_ADMIN_LISTEN": "0.0.0.0:9092", "QDRANT_INSECURE_API_KEY_PLAINTEXT": "perhaps"},
	)
	for _, want := range []string{
		"there is no flag --what",
		"there is no flag --api-key, because a command line is no secret",
		`"more" is no flag`,
		`--pool-size must be a whole number from 1 to 64, not "0".`,
		`--drain-timeout must be a duration`,
		`QDRANT_LISTEN must be host:port or unix:///path, not "here".`,
		`QDRANT_LOG_LEVEL must be debug, info, warn or error`,
		`QDRANT_METRICS_LISTEN has the port "b"`,
		`--admin-listen 0.0.0.0:9092 can be reached from other machines`,
		`QDRANT_INSECURE_API_KEY_PLAINTEXT must be true or false`,
		`line 1: there is no setting "pool-sice".`,
		`line 2: api-key is a secret and not read from this file; use QDRANT_API_KEY or --api-key-file.`,
		`line 3: url needs a single value.`,
		`--upstream-ca-file cannot be read`,
	} {
		if !slices.ContainsFunc(found, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("no problem says %q", want)
		}
	}
	for _, p := range found {
		if strings.Contains(p, "No Qdrant to forward to") {
			t.Errorf("a problem that is none, since the file names a Qdrant: %s", p)
		}
		if strings.Contains(p, "hush") {
			t.Errorf("a key is printed: %s", p)
		}
	}
}

func TestOneProblemEach(t *testing.T) {
	for about, test := range map[string]struct {
		args []string
		file string
		want string
	}{
		"nothing set":       {nil, "", "No Qdrant to forward to: set QDRANT_URL (or --url)"},
		"a list":            {nil, "- url\n", "must map settings to values, a line each"},
		"twice in the file": {nil, "url: http://a\nurl: http://b\n", `mapping key "url" already defined`},
		"no YAML":           {nil, "url: [\n", "is not YAML: "},
		"twice":             {[]string{"--url=memory://", "--listen=127.0.0.1:7000", "--listen=127.0.0.1:7000"}, "", "--listen and --listen both ask for 127.0.0.1:7000"},
		"two purposes":      {[]string{"--url=memory://", "--metrics-listen=127.0.0.1:9092"}, "", "--metrics-listen and --admin-listen both ask for 127.0.0.1:9092"},
		"useless":           {[]string{"--url=http://q", "--upstream-insecure-skip-verify"}, "", "--upstream-insecure-skip-verify has no effect without TLS"},
		"a storm of checks": {[]string{"--url=http://q", "--health-interval=1ms"}, "", "--health-interval must be at least 10ms"},
		"a storm of pings":  {[]string{"--url=http://q", "--pool-ping-interval=0"}, "", "--pool-ping-interval must be at least 10ms"},
		"too few nodes":     {[]string{"--url=http://a,b", "--min-ready=3"}, "", "--min-ready 3 is more than --url lists: 2."},
	} {
		t.Run(about, func(t *testing.T) {
			if test.file != "" {
				test.args = append(test.args, "--config", write(t, "c.yaml", test.file))
			}
			if _, found := configured(test.args, nil); len(found) != 1 || !strings.Contains(found[0], test.want) || strings.Contains(found[0], "\n") {
				t.Errorf("%q, want one sentence with %q", found, test.want)
			}
		})
	}
}

func TestUpstreamURL(t *testing.T) {
	for v, want := range map[string]upstream{
		"http://qdrant":             {host: "qdrant", port: 6334},
		"http://qdrant:6334/":       {host: "qdrant", port: 6334},
		"http://qdrant:6333":        {host: "qdrant", port: 6334},
		"http://qdrant:7000":        {host: "qdrant", port: 7000},
		"https://[::1]:6333":        {host: "::1", port: 6334, tls: true},
		"https://x.cloud.qdrant.io": {host: "x.cloud.qdrant.io", port: 6334, tls: true},
		"unix:///run/qdrant.sock":   {socket: "/run/qdrant.sock"},
		"memory://":                 {memory: true},
	} {
		if got, err := parseUpstream(v); got != want || err != nil {
			t.Errorf("%s: %+v, %v", v, got, err)
		}
	}
	for v, want := range map[string]string{
		"qdrant:6334":        "needs a scheme: http://qdrant:6334",
		"grpc://qdrant":      `has the scheme "grpc"`,
		"http://":            "names no host",
		"http://:6334":       "names no host",
		"http://q/prefix":    "must end after host and port",
		"http://q:0":         `has the port "0"`,
		"http://q:99999":     `has the port "99999"`,
		"http://me:secret@q": "must not hold a user or password",
		"unix://run/q.sock":  "needs an absolute path, unix:///path",
		"unix://":            "needs an absolute path, unix:///path",
		"memory://disk":      "memory:// takes neither host nor path",
		"http://a b":         "is not a URL",
	} {
		if _, err := parseUpstream(v); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", v, err, want)
		}
	}
}

func TestLoopIsRefused(t *testing.T) {
	for _, test := range []struct {
		url, listen string
		loop        bool
	}{
		{"http://127.0.0.1:6334", "127.0.0.1:6334", true},
		{"http://localhost:6334", "127.0.0.1:6334", true},
		{"http://127.0.0.1:6333", "localhost:6334", true},
		{"http://localhost", ":6334", true},
		{"http://127.0.0.1", "0.0.0.0:6334", true},
		{"http://[::1]", "[::]:6334", true},
		{"https://127.0.0.1:7000", "127.0.0.1:7000", true},
		{"http://127.0.0.1:7000", "127.0.0.1:6334", false},
		{"http://127.0.0.2", "127.0.0.1:6334", false},
		{"http://192.0.2.1", "127.0.0.1:6334", false},
		{"http://192.0.2.1", ":6334", false},
		{"http://no-such-host.invalid", ":6334", false},
		{"http://localhost", "unix:///run/q.sock", false},
		{"unix:///run/q.sock", "unix:///run//q.sock", true},
		{"unix:///run/q.sock", "unix:///run/sidecar.sock", false},
		{"unix:///run/q.sock", ":6334", false},
		{"memory://", ":6334", false},
	} {
		_, found := configured([]string{"--url", test.url, "--listen", test.listen}, nil)
		loop := slices.ContainsFunc(found, func(p string) bool { return strings.Contains(p, "every call would loop") })
		if loop != test.loop {
			t.Errorf("%s behind %s: loop %v, want %v (%q)", test.url, test.listen, loop, test.loop, found)
		}
	}
}

func TestKeyIsKeptSafe(t *testing.T) {
	file := write(t, "key", "\n  secret-of-file \n")
	key := map[string]string{"QDRANT_API_KEY": "secret"}
	for _, test := range []struct {
		about string
		args  []string
		env   map[string]string
		want  string // part of the only problem; "" for none
		key   string
	}{
		{"TLS", []string{"--url", "https://qdrant"}, key, "", "secret"},
		{"loopback", []string{"--url", "http://127.0.0.2"}, key, "", "secret"},
		{"a socket", []string{"--url", "unix:///run/q.sock"}, key, "", "secret"},
		{"plaintext", []string{"--url", "http://qdrant"}, key, "accept the danger with --insecure-api-key-plaintext", "secret"},
		{"plaintext, accepted", []string{"--url", "http://qdrant", "--insecure-api-key-plaintext"}, key, "", "secret"},
		{"any caller", []string{"--url", "https://qdrant", "--listen", ":7000"}, key, "accept the danger with --insecure-api-key-any-caller", "secret"},
		{"any caller, accepted", []string{"--url", "https://qdrant", "--listen", "0.0.0.0:7000", "--insecure-api-key-any-caller=true"}, key, "", "secret"},
		{"any caller without a key", []string{"--url", "https://qdrant", "--listen", ":7000"}, nil, "", ""},
		{"a file", []string{"--url", "https://qdrant", "--api-key-file", file}, nil, "", "secret-of-file"},
		{"both", []string{"--url", "https://qdrant", "--api-key-file", file}, key, "are both set", ""},
		{"no file", []string{"--url", "https://qdrant", "--api-key-file", file + "x"}, nil, "--api-key-file cannot be read", ""},
		{"an empty file", []string{"--url", "https://qdrant", "--api-key-file", write(t, "empty", "\n")}, nil, "is empty", ""},
		{"no header value", []string{"--url", "https://qdrant"}, map[string]string{"QDRANT_API_KEY": "a\nb"}, "printable ASCII", ""},
	} {
		t.Run(test.about, func(t *testing.T) {
			c, found := configured(test.args, test.env)
			if test.want == "" && len(found) > 0 || test.want != "" && (len(found) != 1 || !strings.Contains(found[0], test.want)) {
				t.Errorf("problems %q, want %q", found, test.want)
			}
			if test.key != "" && c.apiKey != test.key {
				t.Errorf("key %q, want %q", c.apiKey, test.key)
			}
		})
	}
}

// FuzzFile holds that no file, however strange, makes more than problems.
func FuzzFile(f *testing.F) {
	f.Add("pool-size: 2\nlisten: [a, b]\n")
	f.Add("url: {a: b}\n? x\n: y\n")
	f.Add("- &a [*a]\n")
	f.Fuzz(func(t *testing.T, content string) {
		var found problems
		for name, values := range parseFile("f", []byte(content), &found) {
			s := settingNamed(name)
			if s == nil || len(values) == 0 || len(values) > 1 && !s.many {
				t.Errorf("%q gave %s = %q", content, name, values)
			}
		}
	})
}
