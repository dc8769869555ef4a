package proxy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"qdrant-sidecar/resilience"
)

// entry is what the runbook has under one heading.
type entry struct{ section, title, text string }

// readRunbook returns its entries, and the anchors of all headings.
func readRunbook(t *testing.T) (entries []entry, anchors []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		hashes, title, heading := strings.Cut(strings.TrimSpace(line), " ")
		heading = heading && hashes != "" && strings.Trim(hashes, "#") == ""
		switch {
		case heading && len(hashes) == 2:
			section = title
		case heading && len(hashes) == 3:
			entries = append(entries, entry{section: section, title: title})
		case len(entries) > 0:
			entries[len(entries)-1].text += line
		}
		if heading {
			anchors = append(anchors, anchor(title))
		}
	}
	return entries, anchors
}

// anchor is how GitHub names a heading in links.
func anchor(title string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9_ -]`).ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

// TestRunbookIsComplete: what can be seen has an entry, and every entry is about
// something that there is.
func TestRunbookIsComplete(t *testing.T) {
	entries, anchors := readRunbook(t)
	titles := func(section string) (found []string) {
		for _, e := range entries {
			if e.section == section {
				found = append(found, e.title)
			}
		}
		slices.Sort(found)
		return found
	}
	var alerts []string
	for _, a := range readAlerts(t) {
		alerts = append(alerts, a.Alert)
		link, ok := strings.CutPrefix(a.Annotations["runbook_url"], "docs/runbook.md#")
		if !ok || link != anchor(a.Alert) || !slices.Contains(anchors, link) {
			t.Errorf("%s leads to %q", a.Alert, a.Annotations["runbook_url"])
		}
	}
	for section, want := range map[string][]string{
		"Errors of the sidecar's own": texts(everyReason()),
		"Why a call was not repeated": texts(resilience.EveryNotRetried()),
		"Alerts":                      alerts,
	} {
		slices.Sort(want)
		if got := titles(section); !slices.Equal(got, want) {
			t.Errorf("%s:\nin the runbook %q\nin the code    %q", section, got, want)
		}
	}
	text, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(anchors, link[1]) {
			t.Errorf("a link leads to #%s, which is not there", link[1])
		}
	}
}

// quoted is what stands between backticks.
var quoted = regexp.MustCompile("`([^`]*)`")

// TestRunbookIsTrue holds what entries name to what there is: metrics, log lines,
// commands, settings.
func TestRunbookIsTrue(t *testing.T) {
	entries, _ := readRunbook(t)
	families, source := known(), sources(t)
	settings, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	// Of commands that take flags of their own.
	flags := []string{"--slower-than", "--code", "--failed"}
	commands := []string{"top", "tap", "pool", "breakers", "doctor", "probe", "check-config", "version"}
	for _, e := range entries {
		for _, part := range []string{"Metric", "Log", "Command", "Do"} {
			_, text, found := strings.Cut(e.text, "* **"+part+":**")
			text, _, _ = strings.Cut(text, "\n* **")
			if !found || strings.TrimSpace(text) == "" {
				t.Errorf("%s lacks %s", e.title, part)
				continue
			}
			values := quoted.FindAllStringSubmatch(text, -1)
			if len(values) == 0 && part != "Do" {
				t.Errorf("%s: %s names nothing", e.title, part)
				continue
			}
			switch part {
			case "Metric":
				metrics := 0
				for _, value := range values {
					if strings.Contains(value[1], "qdrant_") || strings.Contains(value[1], "grpc_server_") {
						metrics++
						for _, problem := range wrong(value[1], families) {
							t.Errorf("%s: %s", e.title, problem)
						}
					}
				}
				if metrics == 0 {
					t.Errorf("%s names no metric", e.title)
				}
			case "Log":
				if !strings.Contains(source, `"`+values[0][1]+`"`) {
					t.Errorf("%s: nothing logs %q", e.title, values[0][1])
				}
			case "Command":
				words := strings.Fields(values[0][1])
				if len(words) < 2 || words[0] != "qdrant-sidecar" || !slices.Contains(commands, words[1]) {
					t.Errorf("%s: there is no command %q", e.title, values[0][1])
				}
			}
		}
		for _, flag := range regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(e.text, -1) {
			if !slices.Contains(flags, flag) && !strings.Contains(string(settings), "`"+flag+"`") {
				t.Errorf("%s: there is no setting %s", e.title, flag)
			}
		}
	}
}

// sources is the code of the binary.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"../cmd", "../pool", "../proxy", "../resilience"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
