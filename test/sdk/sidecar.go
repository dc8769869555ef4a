package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const startTimeout = 20 * time.Second

// buildSidecar builds as a release is built: the race detector would be most of what is measured.
func buildSidecar(ctx context.Context, cache string) (string, error) {
	path := filepath.Join(cache, "qdrant-sidecar")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "./cmd/qdrant-sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the sidecar: %w\n%s", err, output)
	}
	return path, nil
}

// sidecar is a running one.
type sidecar struct {
	at   place
	cmd  *exec.Cmd
	done sync.WaitGroup

	mu  sync.Mutex
	log bytes.Buffer
}

// anywhere is a free port for each API.
var anywhere = place{"127.0.0.1:0", "127.0.0.1:0"}

// startSidecar runs the binary in front of an upstream and waits until it is ready.
func startSidecar(ctx context.Context, binary string, upstream, listen place) (*sidecar, error) {
	s := &sidecar{cmd: exec.Command(binary, "serve")}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "QDRANT_") {
			s.cmd.Env = append(s.cmd.Env, variable)
		}
	}
	s.cmd.Env = append(s.cmd.Env,
		"QDRANT_URL=http://"+upstream.grpc,
		"QDRANT_REST_URL=http://"+upstream.rest,
		"QDRANT_LISTEN="+listen.grpc,
		"QDRANT_REST_LISTEN="+listen.rest,
		"QDRANT_METRICS_LISTEN=127.0.0.1:0",
		"QDRANT_ADMIN_LISTEN=off",
		"QDRANT_DRAIN_TIMEOUT=1s",
		// Directly, reads without a deadline have any time there is. On a slow machine some need more than the 5 s that
		// the sidecar gives them.
		"QDRANT_TIMEOUT=1m",
	)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the sidecar: %w", err)
	}
	listeners := make(chan [2]string, 8)
	s.done.Go(func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.read(lines.Bytes(), listeners)
		}
		close(listeners)
	})
	if err := s.await(ctx, listeners); err != nil {
		return nil, fmt.Errorf("starting the sidecar: %w\n%s", err, s.stop())
	}
	return s, nil
}

func (s *sidecar) read(line []byte, listeners chan<- [2]string) {
	s.mu.Lock()
	s.log.Write(line)
	s.log.WriteByte('\n')
	s.mu.Unlock()
	var entry struct{ Msg, Listener, Address string }
	if json.Unmarshal(line, &entry) == nil && entry.Msg == "listening" {
		select {
		case listeners <- [2]string{entry.Listener, entry.Address}:
		default:
		}
	}
}

func (s *sidecar) await(ctx context.Context, listeners <-chan [2]string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	metrics := ""
	for s.at.grpc == "" || s.at.rest == "" || metrics == "" {
		select {
		case l, ok := <-listeners:
			switch {
			case !ok:
				return errors.New("it ended")
			case l[0] == "grpc":
				s.at.grpc = l[1]
			case l[0] == "rest":
				s.at.rest = l[1]
			case l[0] == "metrics":
				metrics = l[1]
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metrics+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", context.Cause(ctx))
		}
	}
}

// stop ends the process and returns the errors that it logged.
func (s *sidecar) stop() string {
	s.cmd.Process.Signal(syscall.SIGTERM)                                 //nolint:errcheck // it may have ended
	kill := time.AfterFunc(startTimeout, func() { s.cmd.Process.Kill() }) //nolint:errcheck // likewise
	s.done.Wait()
	s.cmd.Wait() //nolint:errcheck // how it ends is tested elsewhere
	kill.Stop()
	return s.lines(`"level":"ERROR"`)
}

// lines are those of its log that have this in them, and what is none of its log: panics are no JSON.
func (s *sidecar) lines(with string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found strings.Builder
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, with) || !strings.HasPrefix(line, "{") {
			found.WriteString(line)
		}
	}
	return found.String()
}
