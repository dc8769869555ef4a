package proxy_test

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"
)

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// calls returns the lines about calls so far, and forgets all.
func (j *journal) calls(t *testing.T) []map[string]any {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []map[string]any
	for line := range bytes.Lines(j.text.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("a line that is no JSON: %q", line)
		}
		if fields["code"] != nil {
			found = append(found, fields)
		}
	}
	j.text.Reset()
	return found
}

// last returns the line about the newest call.
func (j *journal) last(t *testing.T) map[string]any {
	t.Helper()
	found := j.calls(t)
	if len(found) == 0 {
		t.Fatal("nothing was logged of a call")
	}
	return found[len(found)-1]
}
