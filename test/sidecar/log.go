package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Line is one line of the log. Lines that are no JSON, such as reports of the
// race detector, have a Text only.
type Line struct {
	Text    string
	Level   string
	Message string
	// Attrs are all other fields of the JSON object.
	Attrs map[string]any
}

// Log collects the sidecar's standard error. Any goroutine may read it.
type Log struct {
	mu      sync.Mutex
	lines   []Line
	partial []byte
	closed  bool
	changed chan struct{} // closed and replaced with every change
}

func newLog() *Log { return &Log{changed: make(chan struct{})} }

// Write takes the process's output; exec calls it.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		text, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			break
		}
		l.lines = append(l.lines, parseLine(string(text)))
		l.partial = bytes.Clone(rest)
	}
	l.broadcast()
	return len(p), nil
}

func (l *Log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.lines = append(l.lines, parseLine(string(l.partial)))
		l.partial = nil
	}
	l.closed = true
	l.broadcast()
}

func (l *Log) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func parseLine(text string) Line {
	line := Line{Text: text}
	if json.Unmarshal([]byte(text), &line.Attrs) != nil {
		return line
	}
	line.Level, _ = line.Attrs["level"].(string)
	line.Message, _ = line.Attrs["msg"].(string)
	maps.DeleteFunc(line.Attrs, func(name string, _ any) bool { return name == "level" || name == "msg" })
	return line
}

// Lines returns the complete lines so far.
func (l *Log) Lines() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// String is the log as it was written.
func (l *Log) String() string {
	var b strings.Builder
	for _, line := range l.Lines() {
		b.WriteString(line.Text)
		b.WriteByte('\n')
	}
	return b.String()
}

// Wait returns the first line that matches, past or future. The error is io.EOF
// when the sidecar ended without one.
func (l *Log) Wait(ctx context.Context, match func(Line) bool) (Line, error) {
	seen := 0
	for {
		l.mu.Lock()
		lines, closed, changed := l.lines, l.closed, l.changed
		l.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if match(lines[seen]) {
				return lines[seen], nil
			}
		}
		if closed {
			return Line{}, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Line{}, context.Cause(ctx)
		}
	}
}

// complaints are the lines that fail a test: errors that contain none of the
// expected texts, races and panics.
func (l *Log) complaints(expected []string) []string {
	var complaints []string
	for _, line := range l.Lines() {
		isExpected := slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(line.Text, text) })
		switch {
		case line.Level == "ERROR" && !isExpected,
			strings.Contains(line.Text, "WARNING: DATA RACE"),
			strings.HasPrefix(line.Text, "panic: "):
			complaints = append(complaints, line.Text)
		}
	}
	return complaints
}
