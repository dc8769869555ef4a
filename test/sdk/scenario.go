package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// step is a line that a scenario prints: one call of an SDK, and what became of it.
type step struct {
	Name string `json:"step"`
	// Kind is read, write (idempotent) or unsafe.
	Kind string `json:"kind"`
	OK   bool   `json:"ok"`
	// Result is the beginning of the result as text, Digest stands for all of it.
	Result string   `json:"result"`
	Digest string   `json:"digest"`
	Error  *failure `json:"error"`
	// Repeats are the errors after which the scenario, playing a patient user, made an unsafe call again.
	Repeats []string `json:"repeats"`
	Millis  float64  `json:"ms"`
}

// failure is an error as the SDK's user gets it.
type failure struct {
	Type    string `json:"type"` // the class
	Code    string `json:"code"`
	Message string `json:"message"`
}

// identity is the first line that a scenario prints.
type identity struct {
	SDK     string `json:"sdk"`
	Version string `json:"version"`
	Runtime string `json:"runtime"`
}

// transcript is what a scenario printed.
type transcript struct {
	identity
	steps []step
}

func (t transcript) find(name string) *step {
	for i := range t.steps {
		if t.steps[i].Name == name {
			return &t.steps[i]
		}
	}
	return nil
}

// A scenario that takes longer than this beside its pause hangs.
const scenarioTimeout = 3 * time.Minute

// play runs a scenario to its end. The transcript holds what it printed, also when it failed.
func play(ctx context.Context, s sdk, cache string, target place, o options, mode string) (transcript, error) {
	ctx, cancel := context.WithTimeout(ctx, scenarioTimeout+o.idle)
	defer cancel()
	argv := s.command(cache)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(),
		"SDK_TARGET="+target.of(s), "SDK_REST="+target.rest, "SDK_MODE="+mode, "SDK_VARIANT="+s.variant,
		fmt.Sprintf("SDK_IDLE_SECONDS=%g", o.idle.Seconds()),
		"PYTHONDONTWRITEBYTECODE=1") // beside the sources
	// Some toolchains run the scenario as a child of theirs.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	failed := cmd.Run()
	t, err := parseTranscript(stdout.Bytes())
	if failed != nil {
		return t, fmt.Errorf("%s: %w\n%s", s.name, failed, tail(stderr.Bytes()))
	}
	return t, err
}

func parseTranscript(output []byte) (transcript, error) {
	var t transcript
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.HasPrefix(lines.Bytes(), []byte("{")) {
			continue // some SDKs print warnings
		}
		if t.SDK == "" {
			if err := json.Unmarshal(lines.Bytes(), &t.identity); err != nil || t.SDK == "" {
				return t, fmt.Errorf("a scenario began with %q instead of naming its SDK", lines.Text())
			}
			continue
		}
		var s step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return t, fmt.Errorf("a scenario printed %q: %w", lines.Text(), err)
		}
		if t.find(s.Name) != nil {
			return t, fmt.Errorf("a scenario has two steps %q", s.Name)
		}
		t.steps = append(t.steps, s)
	}
	return t, lines.Err()
}

func tail(text []byte) []byte {
	const most = 4000
	return text[max(0, len(text)-most):]
}
