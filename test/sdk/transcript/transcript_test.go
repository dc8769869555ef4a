package transcript_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"qdrant-sidecar/test/sdk/transcript"
)

// TestRoundTrip: the runner reads what a scenario writes, among what SDKs print beside it.
func TestRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		id := transcript.Identity{SDK: "x", Version: "1", Runtime: "y"}
		w, err := transcript.Begin(&out, id)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("a warning\n")
		calls := 0
		flaky := func() transcript.Outcome {
			if calls++; calls < 3 {
				return transcript.Outcome{Failure: &transcript.Failure{Code: "gone"}, Unreachable: "gone"}
			}
			return transcript.Outcome{Text: []byte(strings.Repeat("é", 300))}
		}
		failed := transcript.Failure{Type: "T", Code: "C", Message: "m"}
		for _, step := range []struct {
			name string
			kind transcript.Kind
			call func() transcript.Outcome
		}{
			{"again", transcript.Unsafe, flaky},
			{"once", transcript.Read, func() transcript.Outcome {
				return transcript.Outcome{Failure: &failed, Unreachable: "gone"}
			}},
		} {
			if err := w.Step(step.name, step.kind, step.call); err != nil {
				t.Fatal(err)
			}
		}
		got, err := transcript.Parse(out.Bytes())
		if err != nil || got.Identity != id || len(got.Steps) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		again, once := got.Find("again"), got.Find("once")
		if calls != 3 || !again.OK || !reflect.DeepEqual(again.Repeats, []string{"gone", "gone"}) || again.Millis < 100 ||
			again.Result != strings.Repeat("é", 150) || len(again.Digest) != 16 {
			t.Errorf("after %d calls: %+v", calls, again)
		}
		if once.OK || *once.Error != failed || len(once.Repeats) > 0 {
			t.Errorf("%+v", once)
		}
		if got.Find("never") != nil {
			t.Error("found what is not there")
		}
	})
}

func TestParseRefuses(t *testing.T) {
	const id = `{"sdk": "x"}` + "\n"
	for name, output := range map[string]string{
		"no SDK":     `{"step": "a"}`,
		"no JSON":    id + "{",
		"two steps":  id + `{"step": "a"}` + "\n" + `{"step": "a"}`,
		"a long one": id + `{"step": "` + strings.Repeat("a", 1<<20) + `"}`,
	} {
		if got, err := transcript.Parse([]byte(output)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCanonical(t *testing.T) {
	drop := func(object map[string]any) { delete(object, "time") }
	for answer, want := range map[string]string{
		`{"b": 1, "a": [{"time": 2, "c": 3}], "time": 4}`: `{"a":[{"c":3}],"b":1}`,
		`no JSON`: `no JSON`,
	} {
		if got := transcript.Canonical([]byte(answer), drop); string(got) != want {
			t.Errorf("%s: %s, want %s", answer, got, want)
		}
	}
}
