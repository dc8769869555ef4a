package e2e_test

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"qdrant-sidecar/test/sidecar"
)

// probed runs the probe command and returns its exit code and complaint.
func probed(t *testing.T, env []string, args ...string) (int, string) {
	t.Helper()
	code, c := run(t, env, append([]string{"probe"}, args...)...)
	if code != exitOK && len(c.stderr.lines()) != 1 {
		t.Errorf("not one sentence: %q", c.stderr.lines())
	}
	return code, c.stderr.String()
}

// TestProbe asks sidecars in all conditions.
func TestProbe(t *testing.T) {
	t.Parallel()
	expect := func(what string, want int, text string, env []string, args ...string) {
		t.Helper()
		code, complaint := probed(t, env, args...)
		if code != want || !strings.Contains(complaint, text) {
			t.Errorf("%s: exit code %d, want %d, and %q in %q", what, code, want, text, complaint)
		}
	}
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://"})
	env := []string{"QDRANT_METRICS_LISTEN=" + s.Metrics}
	expect("ready", exitOK, "", env)
	expect("ready, by flag", exitOK, "", nil, "--metrics-listen", s.Metrics)
	expect("ready, by file", exitOK, "", nil, "--config", writeFile(t, "config.yaml", "url: 'wrong'\nmetrics-listen: '"+s.Metrics+"'\n"))
	expect("alive", exitOK, "", env, "--live")
	// Everything else may be wrong: the container's environment is the sidecar's.
	expect("with other settings", exitOK, "", append(env, "QDRANT_URL=nonsense", "QDRANT_POOL_SIZE=x"))

	if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	expect("stuck", exitFailure, s.Metrics, env, "--live")
	if err := syscall.Kill(s.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	expect("gone", exitFailure, s.Metrics, env)
	expect("dead", exitFailure, s.Metrics, env, "--live")

	address := unusedAddress(t)
	lonely := sidecar.Start(t, sidecar.Options{Upstream: "http://" + address, Unready: true})
	awaitUnready(t, lonely, "connection refused")
	env = []string{"QDRANT_METRICS_LISTEN=" + lonely.Metrics}
	expect("unready", exitFailure, address+": connection refused", env)
	expect("unready and alive", exitOK, "", env, "--live")

	everywhere := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: []string{"--metrics-listen=:0"}})
	_, port, err := net.SplitHostPort(everywhere.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "localhost:" + port} {
		expect("ready at "+address, exitOK, "", nil, "--metrics-listen", address)
	}

	expect("nothing to ask", exitUsage, "--metrics-listen", nil, "--metrics-listen=off")
	expect("unknown flag", exitUsage, "--dead", env, "--dead")
}
