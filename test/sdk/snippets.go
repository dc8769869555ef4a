package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// snippet is a fenced block of the README.
type snippet struct {
	language string
	line     int // of its fence
	code     string
}

// snippetRun is what became of one.
type snippetRun struct {
	snippet
	err error
}

// snippetTimeout allows for a compiler.
const snippetTimeout = 3 * time.Minute

// whereREADMESays is where the sidecar is by README.md. Some snippets don't even say it, because SDKs know it.
var whereREADMESays = place{"127.0.0.1:6334", "127.0.0.1:6333"}

func readSnippets(path string) ([]snippet, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return extract(string(text)), nil
}

// isRun tells shell blocks that ask Qdrant something from those that build and start things.
func isRun(code string) bool {
	return strings.HasPrefix(code, "grpcurl -") || strings.HasPrefix(code, "curl -fsS")
}

// extract returns the fenced blocks that have a language, in order; of shell blocks those that are run.
func extract(markdown string) []snippet {
	var list []snippet
	var open *snippet
	number := 0
	for line := range strings.Lines(markdown) {
		number++
		fence := strings.TrimSpace(line)
		switch {
		case open == nil && strings.HasPrefix(fence, "```"):
			open = &snippet{language: strings.TrimPrefix(fence, "```"), line: number}
		case open != nil && fence == "```":
			if open.language != "" && (open.language != "sh" || isRun(open.code)) {
				list = append(list, *open)
			}
			open = nil
		case open != nil:
			open.code += line
		}
	}
	return list
}

// runSnippets runs the snippets of an SDK's language, each with an empty Qdrant behind the sidecar.
func (l *laboratory) runSnippets(ctx context.Context, f *finding, snippets []snippet) error {
	for _, s := range snippets {
		if !f.takes(s) {
			continue
		}
		err := l.withUpstream(func(upstream place) error {
			return l.cleanedUp(ctx, upstream, func() error { return l.runSnippet(ctx, f, s, upstream) })
		})
		f.snippets = append(f.snippets, snippetRun{s, err})
	}
	return nil
}

func (l *laboratory) runSnippet(ctx context.Context, f *finding, s snippet, upstream place) error {
	ctx, cancel := context.WithTimeout(ctx, snippetTimeout)
	defer cancel()
	argv, err := f.snippet(ctx, l.cache, s.code)
	if err != nil {
		return err
	}
	proxy, err := startSidecar(ctx, l.binary, upstream, whereREADMESays)
	if err != nil {
		return err
	}
	defer proxy.stop()
	if output, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(output))
	}
	return nil
}
