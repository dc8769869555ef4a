// Package transcript is what a scenario prints for the runner in test/sdk: a line of JSON that names the SDK, and one for
// each step. Scenarios in Go write it by a [Writer]; those in other languages print the same.
package transcript

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
)

// Kind is what may happen to a step while the wire fails.
type Kind string

// The kinds.
const (
	Read   Kind = "read"   // must succeed
	Write  Kind = "write"  // idempotent: must succeed
	Unsafe Kind = "unsafe" // may fail, and is then made again by the user
)

// Identity is the first line.
type Identity struct {
	SDK     string `json:"sdk"`
	Version string `json:"version"`
	Runtime string `json:"runtime"`
}

// Step is a line: one call of an SDK, and what became of it.
type Step struct {
	Name string `json:"step"`
	Kind Kind   `json:"kind"`
	OK   bool   `json:"ok"`
	// Result is the beginning of the result as text, Digest stands for all of it.
	Result string   `json:"result,omitempty"`
	Digest string   `json:"digest,omitempty"`
	Error  *Failure `json:"error,omitempty"`
	// Repeats are the errors after which the scenario, playing a patient user, made an unsafe call again.
	Repeats []string `json:"repeats,omitempty"`
	Millis  float64  `json:"ms"`
}

// Failure is an error as the SDK's user gets it.
type Failure struct {
	Type    string `json:"type"` // the class
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Transcript is all that a scenario printed.
type Transcript struct {
	Identity
	Steps []Step
}

// Find returns the step of a name, or nil.
func (t *Transcript) Find(name string) *Step {
	for i := range t.Steps {
		if t.Steps[i].Name == name {
			return &t.Steps[i]
		}
	}
	return nil
}

// Parse reads what a scenario printed. With an error it returns what could be read.
func Parse(output []byte) (Transcript, error) {
	var t Transcript
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.HasPrefix(lines.Bytes(), []byte("{")) {
			continue // some SDKs print warnings
		}
		if t.SDK == "" {
			if err := json.Unmarshal(lines.Bytes(), &t.Identity); err != nil || t.SDK == "" {
				return t, fmt.Errorf("a scenario began with %q instead of naming its SDK", lines.Text())
			}
			continue
		}
		var s Step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return t, fmt.Errorf("a scenario printed %q: %w", lines.Text(), err)
		}
		if t.Find(s.Name) != nil {
			return t, fmt.Errorf("a scenario has two steps %q", s.Name)
		}
		t.Steps = append(t.Steps, s)
	}
	return t, lines.Err()
}
