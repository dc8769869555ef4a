package main

import (
	"slices"
	"strings"
	"testing"

	"qdrant-sidecar/test/sdk/transcript"
)

func good(name, digest string) transcript.Step {
	return transcript.Step{Name: name, Kind: "read", OK: true, Digest: digest, Result: digest, Millis: 1}
}

func failed(name, code, message string) transcript.Step {
	return transcript.Step{Name: name, Kind: "read", Error: &transcript.Failure{Type: "Error", Code: code, Message: message}}
}

func TestCompare(t *testing.T) {
	slow, repeated := good("a", "1"), good("a", "1")
	slow.Millis = 2 + slack + 1
	repeated.Repeats = []string{"gone"}
	for name, c := range map[string]struct {
		direct, through []transcript.Step
		different       string // in the remark; empty when there is none
		slower          bool
	}{
		"equal":              {direct: []transcript.Step{good("a", "1")}, through: []transcript.Step{good("a", "1")}},
		"another result":     {direct: []transcript.Step{good("a", "1")}, through: []transcript.Step{good("a", "2")}, different: "2 instead of 1"},
		"equal error":        {direct: []transcript.Step{failed("a", "X", "m")}, through: []transcript.Step{failed("a", "X", "m")}},
		"another code":       {direct: []transcript.Step{failed("a", "X", "m")}, through: []transcript.Step{failed("a", "Y", "m")}, different: `Y "m" instead of Error X "m"`},
		"another message":    {direct: []transcript.Step{failed("a", "X", "m")}, through: []transcript.Step{failed("a", "X", "n")}, different: `"n" instead of`},
		"error for a result": {direct: []transcript.Step{good("a", "1")}, through: []transcript.Step{failed("a", "X", "m")}, different: "instead of 1"},
		"result for an error": {
			direct: []transcript.Step{failed("a", "X", "m")}, through: []transcript.Step{good("a", "1")}, different: "1 instead of Error X",
		},
		"time is up":   {direct: []transcript.Step{failed("a", "CANCELLED", "")}, through: []transcript.Step{failed("a", "DEADLINE_EXCEEDED", "")}},
		"not reached":  {direct: []transcript.Step{good("a", "1")}, different: "not reached"},
		"only through": {through: []transcript.Step{good("a", "1")}, different: "directly"},
		"repeated":     {direct: []transcript.Step{good("a", "1")}, through: []transcript.Step{repeated}, different: "gone"},
		"slower":       {direct: []transcript.Step{good("a", "1")}, through: []transcript.Step{slow}, slower: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := compare(transcript.Transcript{Steps: c.direct}, transcript.Transcript{Steps: c.through})
			if c.different == "" && len(got.different) > 0 || c.different != "" && (len(got.different) != 1 || !strings.Contains(got.different[0].text, c.different)) {
				t.Errorf("different: %v, want one with %q", got.different, c.different)
			}
			if (len(got.slower) == 1) != c.slower {
				t.Errorf("slower: %v, want %v", got.slower, c.slower)
			}
			if got.equal+len(got.different) != got.steps || got.steps != 1 {
				t.Errorf("%d steps, %d of them equal and %d different", got.steps, got.equal, len(got.different))
			}
		})
	}
}

func TestConfirmed(t *testing.T) {
	got := confirmed([]remark{{step: "a"}, {step: "b"}}, []remark{{step: "b"}, {step: "c"}})
	if !slices.Equal(got, []remark{{step: "b"}}) {
		t.Errorf("confirmed: %v, want what was slower both times", got)
	}
}

func TestJudge(t *testing.T) {
	unsafe := func(s transcript.Step, repeats ...string) transcript.Step {
		s.Kind, s.Repeats = transcript.Unsafe, repeats
		return s
	}
	const clear = "qdrant-sidecar: the connection was lost"
	for name, c := range map[string]struct {
		direct, got             transcript.Step
		twice                   []string
		equal, repeated, failed int
	}{
		"a read succeeds":                 {direct: good("a", "1"), got: good("a", "1"), equal: 1},
		"a read fails":                    {direct: good("a", "1"), got: failed("a", "Unavailable", clear), failed: 1},
		"an unsafe call succeeds":         {direct: unsafe(good("a", "1")), got: unsafe(good("a", "1")), equal: 1},
		"an unsafe call is repeated":      {direct: unsafe(good("a", "1")), got: unsafe(failed("a", "AlreadyExists", ""), clear), repeated: 1},
		"an unsafe call fails unclearly":  {direct: unsafe(good("a", "1")), got: unsafe(good("a", "1"), "socket closed"), failed: 1},
		"an unsafe call is made twice":    {direct: unsafe(good("a", "1")), got: unsafe(good("a", "1")), twice: []string{"/x"}, equal: 1, failed: 1},
		"an unsafe call was silently two": {direct: unsafe(good("a", "1")), got: unsafe(failed("a", "AlreadyExists", "")), failed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(transcript.Transcript{Steps: []transcript.Step{c.direct}}, transcript.Transcript{Steps: []transcript.Step{c.got}}, 0, c.twice)
			if got.equal != c.equal || len(got.repeated) != c.repeated || len(got.failed) != c.failed {
				t.Errorf("equal %d, repeated %v, failed %v", got.equal, got.repeated, got.failed)
			}
		})
	}
}

func TestTwoRounds(t *testing.T) {
	first, second := []remark{{"a", "1"}, {"b", "1"}}, []remark{{"b", "2"}, {"c", "2"}}
	if got := confirmed(first, second); !slices.Equal(got, []remark{{"b", "2"}}) {
		t.Errorf("confirmed %v", got)
	}
	if got := differentOnce(first, second); !slices.Equal(got, []remark{{"a", "1"}, {"c", "2"}}) {
		t.Errorf("once %v", got)
	}
}
