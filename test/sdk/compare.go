package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"qdrant-sidecar/test/sdk/transcript"
)

// A step is slower when it takes more than twice the time and this many milliseconds more: below them, the machine's
// own moods are most of the time.
const slack = 10

// comparison is what two transcripts of one scenario have in common.
type comparison struct {
	steps, equal int
	// different and slower name steps and say how.
	different, slower []remark
}

type remark struct{ step, text string }

func compare(direct, through transcript.Transcript) comparison {
	var c comparison
	for _, want := range direct.Steps {
		c.steps++
		got := through.Find(want.Name)
		if difference := differ(want, got); difference != "" {
			c.different = append(c.different, remark{want.Name, difference})
			continue
		}
		c.equal++
		if got.Millis > 2*want.Millis+slack {
			c.slower = append(c.slower, remark{want.Name, fmt.Sprintf("%.0f ms instead of %.0f ms", got.Millis, want.Millis)})
		}
	}
	for _, extra := range through.Steps {
		if direct.Find(extra.Name) == nil {
			c.steps++
			c.different = append(c.different, remark{extra.Name, "directly, it was not reached"})
		}
	}
	return c
}

// confirmed are the remarks of the second of two rounds about steps that the first has
// some about, too.
func confirmed(first, second []remark) []remark {
	return without(second, without(second, first))
}

// differentOnce are the remarks about steps that only one of two rounds has some about.
func differentOnce(first, second []remark) []remark {
	return append(without(first, second), without(second, first)...)
}

// without returns the remarks about steps that others are not about.
func without(list, others []remark) []remark {
	return slices.DeleteFunc(slices.Clone(list), func(r remark) bool {
		return slices.ContainsFunc(others, func(other remark) bool { return other.step == r.step })
	})
}

// differ says what a user would notice, or nothing.
func differ(want transcript.Step, got *transcript.Step) string {
	switch {
	case got == nil:
		return "it was not reached"
	case len(got.Repeats) != len(want.Repeats):
		return fmt.Sprintf("the caller had to repeat it: %s", strings.Join(got.Repeats, "; "))
	case want.OK && got.OK && want.Digest != got.Digest:
		return fmt.Sprintf("%s instead of %s", got.Result, want.Result)
	case !want.OK && !got.OK && same(*got.Error, *want.Error), want.OK && got.OK:
		return ""
	default:
		return fmt.Sprintf("%s instead of %s", outcome(*got), outcome(want))
	}
}

// same says that a user can't tell two errors apart, or could not without the sidecar. Of a call whose time is up, the
// client and the server notice at the same time, and Qdrant's word for it is CANCELLED.
func same(a, b transcript.Failure) bool {
	isUp := func(code string) bool {
		code = strings.ToLower(strings.ReplaceAll(code, "_", ""))
		return code == "canceled" || code == "cancelled" || code == "deadlineexceeded"
	}
	if isUp(a.Code) && isUp(b.Code) {
		a.Code = b.Code
	}
	return a == b
}

// outcome is what a step came to, as text.
func outcome(s transcript.Step) string {
	if s.OK {
		return cmp.Or(s.Result, "success")
	}
	return fmt.Sprintf("%s %s %q", s.Error.Type, s.Error.Code, s.Error.Message)
}

// trial is a scenario while the wire fails.
type trial struct {
	cuts  int // connections that were broken
	steps int
	equal int // steps with the same outcome as without faults
	// repeated are unsafe calls that failed, said so, and that the user made again.
	repeated []remark
	// failed are steps that had no right to differ.
	failed []remark
}

// judge applies the rule: reads and idempotent writes do not fail, unsafe writes may fail if they say so, and none is
// made twice. What an unsafe call that was repeated says in the end depends on what its first attempt did.
func judge(direct, got transcript.Transcript, cuts int, twice []string) *trial {
	t := &trial{cuts: cuts}
	for _, want := range direct.Steps {
		t.steps++
		s := got.Find(want.Name)
		if s != nil && want.Kind == transcript.Unsafe && len(s.Repeats) > 0 {
			text := strings.Join(s.Repeats, "; ")
			if strings.Contains(text, "qdrant-sidecar:") {
				t.repeated = append(t.repeated, remark{want.Name, text})
			} else {
				t.failed = append(t.failed, remark{want.Name, "an unclear error: " + text})
			}
			continue
		}
		if difference := differ(want, s); difference != "" {
			t.failed = append(t.failed, remark{want.Name, difference})
			continue
		}
		t.equal++
	}
	for _, method := range twice {
		t.failed = append(t.failed, remark{method, "the sidecar made an unsafe call again that had reached Qdrant"})
	}
	return t
}
