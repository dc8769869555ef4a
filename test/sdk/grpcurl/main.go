// Command grpcurl is the scenario of somebody with grpcurl and reflection. The runner in test/sdk starts it with the
// address in SDK_TARGET, grpcurl beside it, and reads a JSON line for each step from its standard output.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	maxRepeats  = 20
	repeatPause = 50 * time.Millisecond
	maxResult   = 300 // bytes of a result that are shown
)

// line is what the runner reads. Its form is the same for every SDK.
type line struct {
	Step    string   `json:"step"`
	Kind    string   `json:"kind"`
	OK      bool     `json:"ok"`
	Result  string   `json:"result,omitempty"`
	Digest  string   `json:"digest,omitempty"`
	Error   *failure `json:"error,omitempty"`
	Repeats []string `json:"repeats,omitempty"`
	Millis  float64  `json:"ms"`
}

type failure struct {
	Type    string `json:"type"` // the exit code
	Code    string `json:"code"`
	Message string `json:"message"`
}

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
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"sdk": "grpcurl", "version": info.Main.Version, "runtime": info.GoVersion}); err != nil {
		return err
	}
	steps := steps()
	if os.Getenv("SDK_MODE") == "attempts" {
		steps = attempts()
	} else if err := u.clear(ctx); err != nil {
		return err
	}
	for _, s := range steps {
		if err := out.Encode(u.take(ctx, s)); err != nil {
			return err
		}
	}
	return nil
}

// user is somebody at a shell.
type user struct{ grpcurl, target string }

// clear removes what an earlier run may have left. It is no step.
func (u user) clear(ctx context.Context) error {
	for _, name := range []string{items, named} {
		var failed *failure
		for range maxRepeats {
			if _, failed = u.call(ctx, step{method: "qdrant.Collections/Delete", request: fmt.Sprintf(`{"collection_name": %q}`, name)}); failed == nil {
				break
			}
		}
		if failed != nil {
			return fmt.Errorf("removing %s: %s", name, failed.Message)
		}
	}
	return nil
}

// take makes a call and reports its outcome. An unsafe call that failed because Qdrant was out of reach is made again,
// as a user would: the steps after it need what it does.
func (u user) take(ctx context.Context, s step) line {
	l := line{Step: s.name, Kind: s.kind}
	start := time.Now()
	text, failed := u.call(ctx, s)
	for s.kind == unsafe && failed != nil && failed.Code == "Unavailable" && len(l.Repeats) < maxRepeats {
		l.Repeats = append(l.Repeats, failed.Message)
		time.Sleep(repeatPause) //nolint:forbidigo // a user who waits a moment
		text, failed = u.call(ctx, s)
	}
	l.Millis = float64(time.Since(start).Microseconds()) / 1000
	if l.Error = failed; failed == nil {
		l.OK = true
		l.Digest = fmt.Sprintf("%x", sha256.Sum256(text))[:16]
		l.Result = string(text[:min(len(text), maxResult)])
	}
	return l
}

func (u user) call(ctx context.Context, s step) ([]byte, *failure) {
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
		return nil, describe(err, stderr.String())
	}
	return canonical(stdout.Bytes()), nil
}

// describe reads what grpcurl prints of an error, beginning with its code and message.
func describe(err error, stderr string) *failure {
	f := &failure{Type: "error", Message: strings.TrimSpace(stderr)}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		f.Type = fmt.Sprintf("exit %d", exit.ExitCode())
	}
	if match := regexp.MustCompile(`(?s)Code: (\w+)\s+Message: (.*)`).FindStringSubmatch(stderr); match != nil {
		f.Code, f.Message = match[1], strings.TrimSpace(match[2])
	}
	if strings.Contains(stderr, "DeadlineExceeded") {
		// Who notices first, the client or the server, and at the call or before it, at reflection, is a race.
		return &failure{Code: "DeadlineExceeded"}
	}
	return f
}

// canonical is an answer without what differs between equal runs: times, and the numbers of operations and versions of
// points, in which a write that had to be repeated counts twice.
func canonical(answer []byte) []byte {
	var message map[string]any
	if json.Unmarshal(answer, &message) != nil {
		return answer // not JSON: a list or a description
	}
	forget(message)
	text, err := json.Marshal(message)
	if err != nil {
		panic(err) // it was JSON a moment ago
	}
	return text
}

func forget(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "time")
		delete(v, "usage")
		delete(v, "operationId")
		if _, isPoint := v["id"]; isPoint {
			delete(v, "version")
		}
		for _, each := range v {
			forget(each)
		}
	case []any:
		for _, each := range v {
			forget(each)
		}
	}
}
