package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qdrant-sidecar/test/sidecar"
)

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 64
)

// command is a run of the binary with whatever arguments, for what does not
// serve, or serves in a way that the harness does not know.
type command struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout output
	stderr output
	exited chan struct{}
}

// output is what a process has written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// lines are those that are no log lines, and are meant for people.
func (o *output) lines() []string {
	var lines []string
	for line := range strings.Lines(o.String()) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// launch starts the binary with no environment but env. It is killed with the
// test at the latest.
func launch(t testing.TB, env []string, args ...string) *command {
	t.Helper()
	c := &command{t: t, cmd: exec.Command(sidecar.Binary(t), args...), exited: make(chan struct{})}
	c.cmd.Env = append([]string{"GORACE=atexit_sleep_ms=20"}, env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait() // the exit code tells
	}()
	t.Cleanup(func() {
		c.signal(os.Kill)
		<-c.exited
	})
	return c
}

// run starts the binary, waits for its end and returns its exit code.
func run(t testing.TB, env []string, args ...string) (int, *command) {
	t.Helper()
	c := launch(t, env, args...)
	return c.wait(), c
}

func (c *command) wait() int {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.t.Fatalf("%q did not end within %v\n%s", c.cmd.Args, patience, &c.stderr)
	}
	return c.cmd.ProcessState.ExitCode()
}

func (c *command) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Error(err)
	}
}

// terminate ends a serving binary, which must agree with exit code 0.
func (c *command) terminate() {
	c.t.Helper()
	c.signal(syscall.SIGTERM)
	if code := c.wait(); code != exitOK {
		c.t.Errorf("exit code %d after SIGTERM\n%s", code, &c.stderr)
	}
}

// refused runs the binary, which must refuse its configuration in sentences
// that hold every one of these texts.
func refused(t *testing.T, env, args, texts []string) *command {
	t.Helper()
	code, c := run(t, env, args...)
	if code != exitUsage {
		t.Errorf("%q %q: exit code %d, want %d", env, args, code, exitUsage)
	}
	for _, text := range texts {
		if !strings.Contains(c.stderr.String(), text) {
			t.Errorf("%q %q: nothing about %q in\n%s", env, args, text, &c.stderr)
		}
	}
	for _, line := range c.stderr.lines() {
		if !strings.HasPrefix(line, "qdrant-sidecar: ") || !strings.HasSuffix(line, ".") {
			t.Errorf("%q %q: not a sentence of the program: %q", env, args, line)
		}
	}
	return c
}
