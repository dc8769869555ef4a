// Command curl is the scenario of somebody with curl and Qdrant's REST API, and of what browsers ask for the dashboard.
// The runner in test/sdk starts it with the address in SDK_TARGET and reads a JSON line for each step from its standard
// output.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	Type    string `json:"type"`
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
	version, err := exec.CommandContext(ctx, "curl", "--version").Output()
	if err != nil {
		return err
	}
	words := strings.Fields(string(version))
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"sdk": words[0], "version": words[1], "runtime": strings.Trim(words[2], "()")}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sdk-curl-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	u := user{base: "http://" + os.Getenv("SDK_TARGET"), dir: dir}
	if os.Getenv("SDK_MODE") == "attempts" {
		u.take, u.out = u.takeOnce, out
		return u.attempts(ctx)
	}
	u.call(ctx, "DELETE", "/collections/"+items, "") // of an earlier run
	u.take, u.out = u.takePatiently, out
	return u.scenario(ctx)
}

// user is somebody at a shell.
type user struct {
	base, dir string
	out       *json.Encoder
	take      func(ctx context.Context, kind, method, path, body string, flags []string) (answer, []string)
}

// answer is what curl got.
type answer struct {
	status string // with the content type and encoding
	body   []byte
	failed string // what curl says about having got none
}

// step makes a request and reports what came. Errors of HTTP are results; it is the runner that compares them.
func (u *user) step(ctx context.Context, name, kind, method, path, body string, flags ...string) (answer, error) {
	l := line{Step: name, Kind: kind}
	start := time.Now()
	a, repeats := u.take(ctx, kind, method, path, body, flags)
	l.Millis, l.Repeats = float64(time.Since(start).Microseconds())/1000, repeats
	text := append([]byte(a.status+" "), canonical(a.body)...)
	switch {
	case a.failed != "":
		l.Error = &failure{Type: "curl", Message: a.failed}
	case strings.HasPrefix(a.status, "501"):
		l.Error = &failure{Type: "HTTP", Code: "Unimplemented", Message: string(text)}
	default:
		l.OK = true
		l.Digest = fmt.Sprintf("%x", sha256.Sum256(text))[:16]
		l.Result = strings.ToValidUTF8(string(text[:min(len(text), maxResult)]), "")
	}
	return a, u.out.Encode(l)
}

func (u *user) takeOnce(ctx context.Context, _, method, path, body string, flags []string) (answer, []string) {
	return u.call(ctx, method, path, body, flags...), nil
}

// takePatiently makes a write that failed because Qdrant was out of reach again, as a user would: the steps after it
// need what it does.
func (u *user) takePatiently(ctx context.Context, kind, method, path, body string, flags []string) (answer, []string) {
	var repeats []string
	for {
		a := u.call(ctx, method, path, body, flags...)
		if kind != unsafe || !strings.HasPrefix(a.status, "503") || len(repeats) == maxRepeats {
			return a, repeats
		}
		repeats = append(repeats, string(canonical(a.body)))
		time.Sleep(repeatPause) //nolint:forbidigo // a user who waits a moment
	}
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

// canonical is an answer without what differs between equal runs.
func canonical(body []byte) []byte {
	var message map[string]any
	if json.Unmarshal(body, &message) != nil {
		return body // a page, or a file
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
		for _, name := range []string{"time", "usage", "operation_id", "version", "creation_time", "checksum"} {
			delete(v, name)
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
