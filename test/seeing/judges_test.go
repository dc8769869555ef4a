package seeing_test

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/proxy/verdict"
	"qdrant-sidecar/test/sidecar"
)

// beside are kinds that a verdict may have under the one that comes first: what follows
// from it, or what it follows from.
var beside = map[string][]string{
	"wrong_port": {"breaker_open"}, // what cannot connect fails, too
	"sick_node":  {"breaker_open"},
}

// TestSituations has each thing go wrong, and each way to look say that it is this, and
// that it is none of the others.
func TestSituations(t *testing.T) {
	for i := range situations {
		test := &situations[i]
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

func (test *situation) run(t *testing.T) {
	var nodes []string
	for _, n := range test.nodes {
		nodes = append(nodes, n.start(t, test.far))
	}
	url := "http://" + strings.Join(nodes, ",")
	s := sidecar.Start(t, sidecar.Options{Upstream: url, Env: append([]string{"QDRANT_SLOW_READ=100ms"}, test.env...), Admin: true, Unready: true})
	test.load(t, s)
	next := watch(t, s)
	// Each is asked until it is right: what things look like at the start, or while the
	// machine is busy with something else, is not what this is about.
	test.until(t, "the verdict", func() string { return test.wrongVerdict(t, next().GetFindings()) })
	test.until(t, "top", func() string {
		next()
		out, code := command(t, s, nil, "top", "--once")
		return test.wrongTop(out, code)
	})
	test.until(t, "/metrics", func() string {
		next()
		return test.wrongMetrics(readPage(t, s))
	})
	test.until(t, "the log", func() string {
		next()
		return test.wrongLog(s.Log().Lines(), nodes)
	})
	test.until(t, "doctor", func() string {
		out, code := command(t, s, append([]string{"QDRANT_URL=" + url}, test.env...), "doctor")
		return test.wrongDoctor(t, out, code)
	})
}

// until asks until nothing is wrong.
func (test *situation) until(t *testing.T, who string, ask func() string) {
	t.Helper()
	late := time.Now().Add(2 * patience)
	for {
		wrong := ask()
		if wrong == "" {
			return
		}
		if time.Now().After(late) {
			t.Errorf("%s: %s", who, wrong)
			return
		}
	}
}

// others are the situations that this is not.
func (test *situation) others() iter.Seq[*situation] {
	return func(yield func(*situation) bool) {
		for i := range situations {
			if other := &situations[i]; other.name != test.name && !yield(other) {
				return
			}
		}
	}
}

func (test *situation) wrongVerdict(t *testing.T, found []*adminv1.Finding) string {
	first := found[0]
	if first.GetKind() != test.kind || !strings.Contains(first.GetSentence(), test.words) {
		return "it says " + first.GetKind() + ": " + first.GetSentence()
	}
	for _, f := range found[1:] {
		if !slices.Contains(beside[test.kind], f.GetKind()) {
			return "it also says " + f.GetKind() + ": " + f.GetSentence()
		}
	}
	t.Logf("%s\n%s\n→ %s", first.GetSentence(), strings.Join(first.GetEvidence(), "\n"), first.GetAction())
	return ""
}

func (test *situation) wrongTop(out string, code int) string {
	text := strings.Join(strings.Fields(out), " ")
	if code != 0 || !strings.Contains(text, test.words) {
		return fmt.Sprintf("it exits %d and says\n%s", code, out)
	}
	for other := range test.others() {
		if strings.Contains(text, other.words) && !slices.Contains(beside[test.kind], other.kind) {
			return fmt.Sprintf("it speaks of %s, too:\n%s", other.name, out)
		}
	}
	return ""
}

func (test *situation) wrongMetrics(p page) string {
	if !test.metric(p) {
		return "they do not say so:\n" + p.text
	}
	for other := range test.others() {
		if other.kind != test.kind && other.metric(p) && !slices.Contains(beside[test.kind], other.kind) {
			return "they say that it is " + other.name + ":\n" + p.text
		}
	}
	return ""
}

func (test *situation) wrongLog(lines []sidecar.Line, nodes []string) string {
	last := ""
	for _, l := range lines {
		if l.Message == verdict.Line {
			last, _ = l.Attrs["kind"].(string)
		}
		for other := range test.others() {
			if !other.byTime && other.line(l, nodes) && !slices.Contains(beside[test.kind], other.kind) {
				return "a line says that it is " + other.name + ": " + l.Text
			}
		}
	}
	if !slices.ContainsFunc(lines, func(l sidecar.Line) bool { return test.line(l, nodes) }) {
		return "no line says so"
	}
	if last != test.kind {
		return "the last verdict is " + last
	}
	return ""
}

// wrongDoctor compares the steps that have failed.
func (test *situation) wrongDoctor(t *testing.T, out string, code int) string {
	fails, notes := map[string]string{}, map[string]string{}
	for line := range strings.Lines(out) {
		for mark, steps := range map[string]map[string]string{"✗ FAIL  ": fails, "! note  ": notes} {
			if step, found := strings.CutPrefix(line, mark); found {
				const width = 15
				steps[strings.TrimSpace(step[:width])] += step[width:]
			}
		}
	}
	matches := func(said, words string) bool { return strings.Contains(said, words) }
	if !maps.EqualFunc(fails, test.fails, matches) || code != 1 {
		return fmt.Sprintf("it exits %d, and what fails is %q:\n%s", code, fails, out)
	}
	if !strings.Contains(strings.Join(strings.Fields(out), " "), test.evidence) {
		return fmt.Sprintf("it does not show %q:\n%s", test.evidence, out)
	}
	for step, words := range test.notes {
		if !matches(notes[step], words) {
			return fmt.Sprintf("it does not note %s:\n%s", step, out)
		}
	}
	t.Logf("doctor:\n%s", out)
	return ""
}
