package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"qdrant-sidecar/test/sdk/transcript"
)

// A scenario that takes longer than this beside its pause hangs.
const scenarioTimeout = 3 * time.Minute

// play runs a scenario to its end. The transcript holds what it printed, also when it failed.
func play(ctx context.Context, s sdk, cache string, target place, o options, mode string) (transcript.Transcript, error) {
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
	t, err := transcript.Parse(stdout.Bytes())
	if failed != nil {
		return t, fmt.Errorf("%s: %w\n%s", s.name, failed, tail(stderr.Bytes()))
	}
	return t, err
}

func tail(text []byte) []byte {
	const most = 4000
	return text[max(0, len(text)-most):]
}
