package e2e_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"

	"qdrant-sidecar/test/sidecar"
)

// quiet is the environment of a sidecar that listens nowhere but where it is
// told to.
func quiet(more ...string) []string {
	return append([]string{"QDRANT_URL=memory://", "QDRANT_REST_LISTEN=off", "QDRANT_METRICS_LISTEN=off", "QDRANT_ADMIN_LISTEN=off"}, more...)
}

// socketPath returns a path for a socket.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e") //nolint:usetesting // the kernel takes 107 bytes, and t.TempDir can be longer
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "sock")
}

// healthOver calls HealthCheck at a gRPC target.
func healthOver(t testing.TB, target string, options ...grpc.CallOption) error {
	t.Helper()
	_, err := qdrant.NewQdrantClient(newConn(t, target)).HealthCheck(bounded(t), &qdrant.HealthCheckRequest{}, options...)
	return err
}

// TestCannotListen ends with one clear sentence.
func TestCannotListen(t *testing.T) {
	t.Parallel()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	taken := lis.Addr().String()
	_, port, _ := net.SplitHostPort(taken)
	socket := socketPath(t)
	living, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { living.Close() })
	document := writeFile(t, "document", "precious")

	for _, tt := range []struct {
		name  string
		args  []string
		texts []string
	}{
		{"calls", []string{"--listen=" + taken}, []string{taken, "in use", "--listen"}},
		{"second listener", []string{"--listen=127.0.0.1:0", "--listen=" + taken}, []string{taken, "in use", "--listen"}},
		{"all interfaces", []string{"--listen=:" + port}, []string{":" + port, "in use", "--listen"}},
		{"metrics", []string{"--listen=127.0.0.1:0", "--metrics-listen=" + taken}, []string{taken, "in use", "--metrics-listen"}},
		{"admin", []string{"--listen=127.0.0.1:0", "--admin-listen=" + taken}, []string{taken, "in use", "--admin-listen"}},
		{"not our address", []string{"--listen=192.0.2.1:7001"}, []string{"192.0.2.1:7001", "--listen"}},
		{"living socket", []string{"--listen=unix://" + socket}, []string{socket, "in use"}},
		{"socket in no directory", []string{"--listen=unix:///does/not/exist/sock"}, []string{"/does/not/exist/sock"}},
		{"no socket", []string{"--listen=unix://" + document}, []string{document}},
		{"demo", []string{"demo", "--once", "--listen=" + taken}, []string{taken, "in use"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, c := run(t, quiet(), tt.args...)
			if code != exitFailure {
				t.Errorf("exit code %d, want %d", code, exitFailure)
			}
			lines := c.stderr.lines()
			if len(lines) != 1 || !strings.HasPrefix(lines[0], "qdrant-sidecar: ") || !strings.HasSuffix(lines[0], ".") {
				t.Fatalf("not one sentence: %q", lines)
			}
			for _, text := range tt.texts {
				if !strings.Contains(lines[0], text) {
					t.Errorf("%q lacks %q", lines[0], text)
				}
			}
		})
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(document); err != nil || string(text) != "precious" {
			t.Errorf("a file that was in the way is %q, %v", text, err)
		}
	})
}

// TestRefusedConfiguration names every problem at once, in sentences.
func TestRefusedConfiguration(t *testing.T) {
	t.Parallel()
	refused(t, nil, nil, []string{"QDRANT_URL", "memory://"})
	refused(t, nil, []string{"serve"}, []string{"QDRANT_URL", "memory://"})
	refused(t, []string{"QDRANT_URL="}, []string{"check-config"}, []string{"QDRANT_URL", "memory://"})
	refused(t, nil, []string{"surf"}, []string{`"surf"`, "--help"})
	refused(t, []string{"QDRANT_URL=memory://"}, []string{"serve", "surplus"}, []string{`"surplus"`})

	for _, content := range []string{"- url\n", "url: [\n", "just words\n"} {
		refused(t, quiet("QDRANT_CONFIG="+writeFile(t, "broken.yaml", content)), nil, []string{"broken.yaml"})
	}

	file := writeFile(t, "config.yaml", "pool-sizes: 3\ndrain-timeout: [1s, 2s]\n")
	c := refused(t, []string{"QDRANT_POOL_SIZE=0", "QDRANT_CONFIG=" + file},
		[]string{"serve", "--url=ftp://x", "--log-level", "loud", "--no-such-flag", "--listen=6334", "--admin-listen=0.0.0.0:1"},
		[]string{
			"QDRANT_POOL_SIZE", "--url", `"ftp"`, "--log-level", `"loud"`, "--no-such-flag", "--listen", `"6334"`,
			"--admin-listen", "pool-sizes", "drain-timeout",
		})
	if got := len(c.stderr.lines()); got != 8 {
		t.Errorf("%d sentences for eight problems:\n%s", got, &c.stderr)
	}
}

// TestLoop refuses an upstream that is the sidecar's own listener, by whatever
// name.
func TestLoop(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url    string
		listen string // "" for the default
		loop   bool
	}{
		{"http://127.0.0.1:6334", "", true},
		{"http://localhost:6334", "", true},
		{"http://localhost:6333", "", true},
		{"http://localhost", "", true},
		{"https://localhost", "", true},
		{"http://127.0.0.1:7001", "localhost:7001", true},
		{"http://127.0.0.1:7001", "0.0.0.0:7001", true},
		{"http://127.5.5.5:7001", ":7001", true},
		{"http://[::1]:7001", "[::]:7001", true},
		{"http://[::ffff:127.0.0.1]:7001", "127.0.0.1:7001", true},
		{"http://0.0.0.0:7001", "0.0.0.0:7001", true},
		// Linux connects to the address of all interfaces by loopback.
		{"http://0.0.0.0:7001", "127.0.0.1:7001", true},
		{"http://[::]:7001", "[::1]:7001", true},
		{"http://127.0.0.1:7001", "127.0.0.1:6334", false},
		{"http://127.0.0.2:6334", "127.0.0.1:6334", false},
		{"http://127.0.0.1:6334", "unix:///tmp/e2e.sock", false},
		{"http://127.0.0.1:6334", "127.0.0.1:6333", false},
		{"http://192.0.2.1:6334", ":6334", false},
		{"memory://", ":6334", false},
	} {
		args := []string{"check-config", "--url=" + tt.url}
		if tt.listen != "" {
			args = append(args, "--listen="+tt.listen)
		}
		if tt.loop {
			refused(t, nil, args, []string{"--url", "--listen", "loop"})
			continue
		}
		if code, c := run(t, nil, args...); code != exitOK {
			t.Errorf("%q: exit code %d\n%s", args, code, &c.stderr)
		}
	}
	refused(t, quiet(), []string{"serve", "--url=http://localhost:6333"}, []string{"loop"})
}

// TestListen serves at several addresses at once, sockets among them.
func TestListen(t *testing.T) {
	t.Parallel()
	socket := socketPath(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if _, err := os.Lstat(socket); err != nil {
		t.Fatal(err)
	}
	s := sidecar.Start(t, sidecar.Options{
		Upstream: "memory://",
		Env:      []string{"QDRANT_LISTEN=127.0.0.1:0, unix://" + socket + ",[::1]:0"},
	})
	addresses := map[string]bool{}
	for _, line := range s.Log().Lines() {
		if address, ok := line.Attrs["address"].(string); ok && line.Attrs["listener"] == "grpc" {
			addresses[address] = true
		}
	}
	if len(addresses) != 3 || !addresses["unix://"+socket] {
		t.Errorf("listening at %v", addresses)
	}
	for address := range addresses {
		if err := healthOver(t, address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	// A living socket is not taken over, whoever asks.
	if code, c := run(t, quiet(), "--listen=unix://"+socket); code != exitFailure {
		t.Errorf("exit code %d\n%s", code, &c.stderr)
	}
	if err := healthOver(t, "unix://"+socket); err != nil {
		t.Errorf("after another wanted the socket: %v", err)
	}
	s.Stop()
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}
