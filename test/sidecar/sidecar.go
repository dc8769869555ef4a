// Package sidecar runs the real binary for end-to-end tests: built once a test
// process with the race detector, started on free loopback ports, watched
// through its log, and stopped with the test.
//
// A test package that uses it has
//
//	func TestMain(m *testing.M) { sidecar.Main(m) }
//
// A sidecar fails its test when it logs an error the test did not announce
// ([Sidecar.ExpectError]), races, or does not leave with exit code 0.
package sidecar

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = time.Minute // a race build on a busy machine
	stopTimeout  = time.Minute // above what tests have it wait for by its drain timeout
	pollInterval = 10 * time.Millisecond
)

// Options say how to start a sidecar. The zero value but for Upstream is fine.
type Options struct {
	// Upstream is the value of --url: "http://127.0.0.1:port" or "memory://".
	Upstream string
	// Args are further flags. They win over what the harness sets, because that
	// goes into the environment.
	Args []string
	// Env is added to the environment, "QDRANT_POOL_SIZE=1". QDRANT_ variables
	// of the test process itself are left out.
	Env []string
	// Admin switches the admin listener on.
	Admin bool
	// REST switches the REST listener on.
	REST bool
	// Plain runs a build without the race detector, which takes several times the
	// memory: for tests that measure it.
	Plain bool
	// Unready starts without waiting for /readyz, for tests without a healthy
	// upstream.
	Unready bool
	// Namespace, if set, is the network namespace to run in, as ip-netns(8) names it.
	// GRPC and Metrics are sockets of the file system then, which can be reached from
	// any other.
	Namespace string
}

// Sidecar is a running binary. Its methods may be used by any goroutine.
type Sidecar struct {
	// GRPC, Metrics, Admin and REST are the addresses of the listeners,
	// "127.0.0.1:port" or "unix:///path"; the last two are empty unless asked for.
	GRPC, Metrics, Admin, REST string

	t       testing.TB
	cmd     *exec.Cmd
	log     *Log
	exited  chan struct{} // closed once exitErr is set
	exitErr error

	mu       sync.Mutex
	expected []string
	once     sync.Once
}

// Start runs the binary's serve command and waits until it is ready. It stops
// and judges it when the test ends.
func Start(t testing.TB, o Options) *Sidecar {
	t.Helper()
	build := Binary
	if o.Plain {
		build = PlainBinary
	}
	path := build(t)
	admin := "off"
	if o.Admin {
		admin = "127.0.0.1:0"
	}
	rest := "off"
	if o.REST {
		rest = "127.0.0.1:0"
	}
	listen, metrics := "127.0.0.1:0", "127.0.0.1:0"
	if o.Namespace != "" {
		dir := t.TempDir()
		listen, metrics = "unix://"+filepath.Join(dir, "grpc"), "unix://"+filepath.Join(dir, "metrics")
	}
	s := &Sidecar{t: t, log: newLog(), exited: make(chan struct{})}
	s.cmd = Command(o.Namespace, path, append([]string{"serve"}, o.Args...)...)
	s.cmd.Env = append(cleanEnvironment(),
		"QDRANT_URL="+o.Upstream,
		"QDRANT_LISTEN="+listen,
		"QDRANT_METRICS_LISTEN="+metrics,
		"QDRANT_ADMIN_LISTEN="+admin,
		"QDRANT_REST_LISTEN="+rest,
		"QDRANT_DRAIN_TIMEOUT=5s",
		// By default a race build sleeps a second before it exits.
		"GORACE=atexit_sleep_ms=50",
	)
	s.cmd.Env = append(s.cmd.Env, o.Env...)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("starting the sidecar: %v", err)
	}
	go func() {
		s.exitErr = s.cmd.Wait()
		s.log.close()
		close(s.exited)
	}()
	t.Cleanup(s.finish)

	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	s.GRPC = s.listener(ctx, "grpc")
	s.Metrics = s.listener(ctx, "metrics")
	if o.Admin {
		s.Admin = s.listener(ctx, "admin")
	}
	if o.REST {
		s.REST = s.listener(ctx, "rest")
	}
	if !o.Unready {
		s.WaitReady(ctx)
	}
	return s
}

// Command is [exec.Command] for a program that runs in a network namespace; "" is the
// test's own. The process is the program's itself, so that signals reach it.
func Command(namespace, program string, args ...string) *exec.Cmd {
	if namespace == "" {
		return exec.Command(program, args...)
	}
	return exec.Command("ip", append([]string{"netns", "exec", namespace, program}, args...)...)
}

// cleanEnvironment is ours without the settings of the binary, and of its tracing.
func cleanEnvironment() []string {
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "QDRANT_") && !strings.HasPrefix(variable, "OTEL_") {
			env = append(env, variable)
		}
	}
	return env
}

// listener waits for the line that tells where a listener is bound.
func (s *Sidecar) listener(ctx context.Context, name string) string {
	s.t.Helper()
	line, err := s.log.Wait(ctx, func(l Line) bool {
		return l.Message == "listening" && l.Attrs["listener"] == name
	})
	if err != nil {
		s.t.Fatalf("the sidecar did not say where its %s listener is: %v\n%s", name, err, s.log)
	}
	address, _ := line.Attrs["address"].(string)
	return address
}

// WaitReady waits until /readyz answers 200.
func (s *Sidecar) WaitReady(ctx context.Context) {
	s.t.Helper()
	if err := s.waitReadyz(ctx, http.StatusOK); err != nil {
		s.t.Fatalf("the sidecar is not ready: %v\n%s", err, s.log)
	}
}

func (s *Sidecar) waitReadyz(ctx context.Context, want int) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: s.dialMetrics}}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		var last error
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sidecar/readyz", http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := client.Do(request); err != nil {
			last = err
		} else {
			answer.Body.Close()
			if answer.StatusCode == want {
				return nil
			}
			last = fmt.Errorf("/readyz is %s", answer.Status)
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return fmt.Errorf("it has exited: %w", s.exitErr)
		case <-ctx.Done():
			return fmt.Errorf("%w; %w", context.Cause(ctx), last)
		}
	}
}

// dialMetrics connects to the metrics listener.
func (s *Sidecar) dialMetrics(ctx context.Context, _, _ string) (net.Conn, error) {
	if socket, ok := strings.CutPrefix(s.Metrics, "unix://"); ok {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", s.Metrics)
}

// Scrape returns the text of /metrics.
func (s *Sidecar) Scrape() (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: s.dialMetrics}, Timeout: startTimeout}
	answer, err := client.Get("http://sidecar/metrics")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// Log is what the sidecar has said so far.
func (s *Sidecar) Log() *Log { return s.log }

// PID is the process's identifier, for tests that look at its memory, or signal
// it.
func (s *Sidecar) PID() int { return s.cmd.Process.Pid }

// PeakMemory is the most memory that the sidecar has ever had resident, in bytes. It
// skips the test where the system does not tell.
func (s *Sidecar) PeakMemory() int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		s.t.Skipf("this needs Linux: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	s.t.Fatal("no VmHWM in /proc/PID/status")
	return 0
}

// ExpectError allows log lines of level ERROR that contain text.
func (s *Sidecar) ExpectError(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected = append(s.expected, text)
}

// Stop sends SIGTERM and waits for the exit, whose code must be 0. The end of
// the test does it too; calling it twice is fine.
func (s *Sidecar) Stop() {
	s.t.Helper()
	s.once.Do(func() {
		select {
		case <-s.exited:
			s.t.Errorf("the sidecar exited by itself: %v\n%s", s.exitErr, s.log)
			return
		default:
		}
		s.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // fails only if it exited, which is seen below
		select {
		case <-s.exited:
		case <-time.After(stopTimeout):
			s.cmd.Process.Kill() //nolint:errcheck // as above
			<-s.exited
			s.t.Errorf("the sidecar was still there %v after SIGTERM\n%s", stopTimeout, s.log)
			return
		}
		if s.exitErr != nil {
			s.t.Errorf("the sidecar exited with %v, want 0\n%s", s.exitErr, s.log)
		}
	})
}

// finish stops the sidecar and judges its log.
func (s *Sidecar) finish() {
	s.Stop()
	s.mu.Lock()
	expected := s.expected
	s.mu.Unlock()
	for _, complaint := range s.log.complaints(expected) {
		s.t.Errorf("the sidecar logged: %s", complaint)
	}
	if s.t.Failed() {
		s.t.Logf("log of the sidecar:\n%s", s.log)
	}
}
