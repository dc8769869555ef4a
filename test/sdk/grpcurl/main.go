// Command grpcurl is the scenario of somebody with grpcurl and reflection. The runner in test/sdk starts it with the
// address in SDK_TARGET, grpcurl beside it, and reads a JSON line for each step from its standard output.
package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"qdrant-sidecar/test/sdk/transcript"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	u := user{grpcurl: filepath.Join(filepath.Dir(self), "grpcurl"), target: os.Getenv("SDK_TARGET")}
	info, err := buildinfo.ReadFile(u.grpcurl)
	if err != nil {
		return err
	}
	out, err := transcript.Begin(os.Stdout, transcript.Identity{SDK: "grpcurl", Version: info.Main.Version, Runtime: info.GoVersion})
	if err != nil {
		return err
	}
	steps := steps()
	if os.Getenv("SDK_MODE") == "attempts" {
		steps = attempts()
	} else if err := u.clear(ctx); err != nil {
		return err
	}
	for _, s := range steps {
		if err := out.Step(s.name, s.kind, func() transcript.Outcome { return u.call(ctx, s) }); err != nil {
			return err
		}
	}
	return nil
}

// user is somebody at a shell.
type user struct{ grpcurl, target string }

// clear removes what an earlier run may have left. It is no step.
func (u user) clear(ctx context.Context) error {
	const patience = 20
	for _, name := range []string{items, named} {
		var failed *transcript.Failure
		for range patience {
			if failed = u.call(ctx, step{method: "qdrant.Collections/Delete", request: fmt.Sprintf(`{"collection_name": %q}`, name)}).Failure; failed == nil {
				break
			}
		}
		if failed != nil {
			return fmt.Errorf("removing %s: %s", name, failed.Message)
		}
	}
	return nil
}

func (u user) call(ctx context.Context, s step) transcript.Outcome {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	args := append([]string{"-plaintext"}, s.flags...)
	if s.request != "" {
		args = append(args, "-d", "@")
	}
	args = append(args, u.target)
	if s.method != "" {
		args = append(args, strings.Fields(s.method)...)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, u.grpcurl, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(s.request), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		failed := describe(err, stderr.String())
		if failed.Code == "Unavailable" {
			return transcript.Outcome{Failure: failed, Unreachable: failed.Message}
		}
		return transcript.Outcome{Failure: failed}
	}
	return transcript.Outcome{Text: transcript.Canonical(stdout.Bytes(), forget)}
}

// describe reads what grpcurl prints of an error, beginning with its code and message.
func describe(err error, stderr string) *transcript.Failure {
	f := &transcript.Failure{Type: "error", Message: strings.TrimSpace(stderr)}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		f.Type = fmt.Sprintf("exit %d", exit.ExitCode())
	}
	if match := regexp.MustCompile(`(?s)Code: (\w+)\s+Message: (.*)`).FindStringSubmatch(stderr); match != nil {
		f.Code, f.Message = match[1], strings.TrimSpace(match[2])
	} else if match := regexp.MustCompile(`code = (\w+) desc = `).FindStringSubmatch(stderr); match != nil {
		f.Code = match[1] // of reflection
	}
	if strings.Contains(stderr, "DeadlineExceeded") {
		// Who notices first, the client or the server, and at the call or before it, at reflection, is a race.
		return &transcript.Failure{Code: "DeadlineExceeded"}
	}
	return f
}

// forget drops what differs between equal runs: times, and the numbers of operations and versions of points, in which a
// write that had to be repeated counts twice.
func forget(object map[string]any) {
	delete(object, "time")
	delete(object, "usage")
	delete(object, "operationId")
	if _, isPoint := object["id"]; isPoint {
		delete(object, "version")
	}
	if _, isSnapshot := object["creationTime"]; isSnapshot {
		clear(object)
	}
}
