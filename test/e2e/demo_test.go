package e2e_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

// demoAt is the environment of a demo that takes no well-known port.
func demoAt(more ...string) []string {
	return append([]string{"QDRANT_LISTEN=127.0.0.1:0", "QDRANT_REST_LISTEN=off", "QDRANT_METRICS_LISTEN=127.0.0.1:0", "QDRANT_ADMIN_LISTEN=off"}, more...)
}

// TestDemoOnce shows and ends, over the embedded Qdrant and over another one,
// which is left as it was.
func TestDemoOnce(t *testing.T) {
	t.Parallel()
	memory := newMemory(t)
	for _, env := range [][]string{demoAt(), demoAt("QDRANT_URL=http://" + memory)} {
		code, c := run(t, env, "demo", "--once")
		if code != exitOK || !strings.Contains(c.stdout.String(), "grpcurl") {
			t.Errorf("%q: exit code %d\n%s%s", env, code, &c.stdout, &c.stderr)
		}
		if strings.Contains(c.stdout.String(), "Serving on") {
			t.Error("it went on serving")
		}
	}
	left, err := newClient(t, memory).ListCollections(bounded(t))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestDemo keeps serving what it has shown, and takes it away when it ends.
func TestDemo(t *testing.T) {
	t.Parallel()
	memory := newMemory(t)
	client := newClient(t, memory)
	c := launch(t, demoAt("QDRANT_URL=http://"+memory), "demo")
	eventually(t, "the end of the show", func() error {
		select {
		case <-c.exited:
			t.Fatalf("it ended by itself\n%s%s", &c.stdout, &c.stderr)
		default:
		}
		if !strings.Contains(c.stdout.String(), "Serving on 127.0.0.1:") {
			return errors.New("still showing")
		}
		return nil
	})
	if shown, err := client.ListCollections(bounded(t)); err != nil || len(shown) != 1 {
		t.Errorf("while it serves: %q, %v", shown, err)
	}
	c.signal(syscall.SIGINT)
	if code := c.wait(); code != exitOK {
		t.Errorf("exit code %d after Ctrl-C\n%s", code, &c.stderr)
	}
	if left, err := client.ListCollections(bounded(t)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestDemoWithoutQdrant ends and says what is missing.
func TestDemoWithoutQdrant(t *testing.T) {
	t.Parallel()
	address := unusedAddress(t)
	code, c := run(t, demoAt("QDRANT_URL=http://"+address), "demo")
	lines := c.stderr.lines()
	if code != exitFailure || len(lines) == 0 || !strings.Contains(lines[len(lines)-1], address+": connection refused") {
		t.Errorf("exit code %d\n%s", code, &c.stderr)
	}
}
