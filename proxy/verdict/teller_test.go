package verdict_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"qdrant-sidecar/proxy/verdict"
)

// TestTeller: a line when things change, and none while they stay as they are, or come
// and go.
func TestTeller(t *testing.T) {
	const ok, slow, bad = "ok", "slow_qdrant", "bad_requests"
	things := map[string]made{
		ok:   {calls: 100, p50: ms, upstream: ms},
		slow: {calls: 100, p50: 400 * ms, upstream: 400 * ms},
		bad:  {calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"NotFound": 10}},
	}
	for _, test := range []struct {
		about string
		seen  []string
		want  string // kinds of lines
	}{
		{"all is well", []string{ok, ok, ok}, ""},
		{"trouble is told at once, and once", []string{ok, slow, slow, slow}, "slow_qdrant"},
		{"its end takes two looks", []string{slow, ok}, "slow_qdrant"},
		{"and is told", []string{slow, ok, ok, ok}, "slow_qdrant well"},
		{"what comes and goes has a line", []string{slow, ok, slow, ok, slow}, "slow_qdrant"},
		{"other trouble takes two looks", []string{slow, bad, slow, bad, bad}, "slow_qdrant bad_requests"},
		{"and it may come again", []string{slow, ok, ok, slow}, "slow_qdrant well slow_qdrant"},
	} {
		var out bytes.Buffer
		teller := verdict.NewTeller(slog.New(slog.NewJSONHandler(&out, nil)))
		for _, name := range test.seen {
			teller.Tell(things[name].statistics())
		}
		var kinds []string
		for line := range strings.Lines(out.String()) {
			var l struct {
				Level, Msg, Kind, Culprit, Sentence, Action string
				Evidence                                    []string
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, l.Kind)
			trouble := l.Kind != "well"
			if l.Msg != verdict.Line || trouble != (l.Level == "WARN") || trouble != (l.Action != "") || trouble != (len(l.Evidence) > 0) ||
				!slices.Contains([]string{"qdrant", "app", "none"}, l.Culprit) || !strings.HasSuffix(l.Sentence, ".") {
				t.Errorf("%s: %s", test.about, line)
			}
		}
		if got := strings.Join(kinds, " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.about, got, test.want)
		}
	}
}

// TestTellerOfAnEnd: what a shutdown looks like is no trouble.
func TestTellerOfAnEnd(t *testing.T) {
	var out bytes.Buffer
	s := made{standings: []string{"down"}, dialError: "connection refused"}.statistics()
	s.Draining = true
	verdict.NewTeller(slog.New(slog.NewJSONHandler(&out, nil))).Tell(s)
	if out.Len() > 0 {
		t.Errorf("%s", &out)
	}
}
