// Command curl is the scenario of somebody with curl and Qdrant's REST API, and of what browsers ask for the dashboard.
// The runner in test/sdk starts it with the address in SDK_TARGET and reads a JSON line for each step from its standard
// output.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	version, err := exec.CommandContext(ctx, "curl", "--version").Output()
	if err != nil {
		return err
	}
	words := strings.Fields(string(version))
	out, err := transcript.Begin(os.Stdout, transcript.Identity{SDK: words[0], Version: words[1], Runtime: strings.Trim(words[2], "()")})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sdk-curl-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	u := user{base: "http://" + os.Getenv("SDK_TARGET"), dir: dir, out: out}
	if os.Getenv("SDK_MODE") == "attempts" {
		return u.attempts(ctx)
	}
	u.call(ctx, "DELETE", "/collections/"+items, "") // of an earlier run
	return u.scenario(ctx)
}

// user is somebody at a shell.
type user struct {
	base, dir string
	out       *transcript.Writer
}

// answer is what curl got.
type answer struct {
	status string // with the content type and encoding
	body   []byte
	failed string // what curl says about having got none
}

// step makes a request and reports what came. It returns the last answer.
func (u *user) step(ctx context.Context, name string, kind transcript.Kind, method, path, body string, flags ...string) (a answer, err error) {
	err = u.out.Step(name, kind, func() transcript.Outcome {
		a = u.call(ctx, method, path, body, flags...)
		return a.outcome()
	})
	return a, err
}

// outcome takes errors of HTTP for results; it is the runner that compares them.
func (a answer) outcome() transcript.Outcome {
	body := transcript.Canonical(a.body, forget)
	o := transcript.Outcome{Text: append([]byte(a.status+" "), body...)}
	switch {
	case a.failed != "":
		o.Failure = &transcript.Failure{Type: "curl", Message: a.failed}
	case strings.HasPrefix(a.status, "501"):
		o.Failure = &transcript.Failure{Type: "HTTP", Code: "Unimplemented", Message: string(o.Text)}
	case strings.HasPrefix(a.status, "503"):
		o.Unreachable = string(body)
	}
	return o
}

func (u *user) call(ctx context.Context, method, path, body string, flags ...string) answer {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	args := append([]string{"-sS", "-X", method, "-w", "%{stderr}%{http_code} %{content_type}\n"}, flags...)
	if body != "" {
		args = append(args, "-H", "Content-Type: application/json", "--data-binary", "@-")
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "curl", append(args, u.base+path)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(body), &stdout, &stderr
	err := cmd.Run()
	text := strings.TrimSpace(stderr.String())
	if err != nil {
		return answer{failed: text}
	}
	return answer{status: text, body: stdout.Bytes()}
}

func (u *user) file(name string) string { return filepath.Join(u.dir, name) }

// forget drops what differs between equal runs.
func forget(object map[string]any) {
	for _, name := range []string{"time", "usage", "operation_id", "version", "creation_time", "checksum"} {
		delete(object, name)
	}
}
