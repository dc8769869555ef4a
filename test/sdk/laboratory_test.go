package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestMissingToolchains: an SDK is skipped for want of its tools, loudly, unless it is one of those that always have to
// be played.
func TestMissingToolchains(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for names, want := range map[string]struct {
		code int
		says string
	}{
		"java,rust": {0, "sdk: SKIPPED: Java: java is not installed\n"},
		"java,js":   {1, "sdk: FAILED: JavaScript: node is not installed, and this SDK is always played\n"},
	} {
		chosen, err := choose(names)
		if err != nil {
			t.Fatal(err)
		}
		l := &laboratory{log: io.Discard}
		m := l.examine(t.Context(), chosen)
		var out bytes.Buffer
		if code := m.verdict(&out); code != want.code || !strings.Contains(out.String(), want.says) {
			t.Errorf("%s: exit code %d, %s", names, code, out.String())
		}
		if !strings.Contains(m.markdown(), "| Java | | | **skipped: java is not installed** |") {
			t.Errorf("%s: the table says nothing of it:\n%s", names, m.markdown())
		}
	}
}
