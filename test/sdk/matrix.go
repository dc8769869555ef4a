package main

import (
	"fmt"
	"io"
	"strings"
)

// matrix is the result of a run.
type matrix struct {
	options
	findings []finding
	problems []error
}

func (f finding) summary() string {
	switch {
	case f.skipped != "" && f.broken == nil:
		return "SKIPPED: " + f.skipped
	case f.broken != nil:
		return fmt.Sprintf("BROKEN: %v", f.broken)
	case f.command == nil:
		return fmt.Sprintf("%d snippets", len(f.snippets))
	}
	text := fmt.Sprintf("%s: %d steps, %d equal, %d different, %d slower",
		f.direct.Version, f.through.steps, f.through.equal, len(f.through.different), len(f.through.slower))
	if t := f.faults; t != nil {
		text += fmt.Sprintf("; with %d faults: %d equal, %d repeated by the caller, %d failed", t.cuts, t.equal, len(t.repeated), len(t.failed))
	}
	return text
}

// verdict reports what must not be, and returns the exit code.
func (m matrix) verdict(stderr io.Writer) int {
	code := 0
	bad := func(format string, args ...any) {
		code = 1
		fmt.Fprintln(stderr, "sdk: FAILED:", brief(fmt.Sprintf(format, args...)))
	}
	for _, err := range m.problems {
		bad("%v", err)
	}
	for _, f := range m.findings {
		if f.skipped != "" {
			fmt.Fprintf(stderr, "sdk: SKIPPED: %s: %s\n", f.label, f.skipped)
		}
		for _, d := range f.once {
			fmt.Fprintf(stderr, "sdk: ONCE: %s: %s: %s\n", f.label, d.step, brief(d.text))
		}
		for _, problem := range f.problems(m.options) {
			bad("%s: %s", f.label, problem)
		}
	}
	return code
}

// problems are what must not be of an SDK.
func (f finding) problems(o options) (list []string) {
	bad := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if f.broken != nil {
		bad("%v", f.broken)
	}
	for _, d := range f.through.different {
		bad("%s: %s", d.step, d.text)
	}
	if f.faults != nil {
		for _, d := range f.faults.failed {
			bad("with faults: %s: %s", d.step, d.text)
		}
	}
	for _, a := range f.attempts {
		if o.maxAttempts > 0 && a.through > o.maxAttempts {
			bad("%s reached Qdrant %d times, which is more than %d", a.call, a.through, o.maxAttempts)
		}
	}
	for _, s := range f.snippets {
		if s.err != nil {
			bad("the snippet in line %d of %s: %v", s.line, o.readme, s.err)
		}
	}
	return list
}

// markdown is docs/compatibility.md.
func (m matrix) markdown() string {
	var b strings.Builder
	upstream := "the embedded Qdrant (`memory://`)"
	if m.isLive() {
		upstream = "a real Qdrant"
	}
	fmt.Fprintf(&b, `# Compatibility

<!-- Made by "make test-sdks". -->

Every SDK plays the same scenario, written as its users write: directly against %s, and
through the sidecar. A step is equal when its result, or the type, code and message of its error, is the
same. It is different, or slower, which is more than twice the time and %d ms more, when it is twice in a row. The pause in
the scenario was %v. The sidecar has its defaults, but for `+"`QDRANT_TIMEOUT=1m`"+`: directly, reads have any time there is, and
on a slow machine some of the scenario need more than 5 s.

`, upstream, slack, m.idle)
	m.writeTable(&b)
	m.writeRemarks(&b, "Different", func(f finding) []remark { return f.through.different })
	m.writeRemarks(&b, "Different once, and not when it was played again", func(f finding) []remark { return f.once })
	m.writeRemarks(&b, "Different from run to run, without the sidecar", func(f finding) []remark { return f.unsteady })
	m.writeRemarks(&b, "Slower", func(f finding) []remark { return f.through.slower })
	m.writeFaults(&b)
	m.writeAttempts(&b)
	m.writeSnippets(&b)
	m.writeUnimplemented(&b)
	return b.String()
}

func (m matrix) writeTable(b *strings.Builder) {
	b.WriteString("| SDK | Version | Runs on | Steps | Equal | Different | Slower |\n|---|---|---|--:|--:|--:|--:|\n")
	for _, f := range m.findings {
		if f.skipped != "" {
			fmt.Fprintf(b, "| %s | | | **skipped: %s** | | | |\n", f.label, f.skipped)
			continue
		}
		if f.command == nil && f.broken == nil {
			continue // its snippets are below
		}
		note := ""
		if f.broken != nil {
			note = " (broke off)"
		}
		fmt.Fprintf(b, "| %s | %s %s | %s | %d%s | %d | %d | %d |\n", f.label, f.direct.SDK, f.direct.Version, f.direct.Runtime,
			f.through.steps, note, f.through.equal, len(f.through.different), len(f.through.slower))
	}
	b.WriteString("\n")
}

func (m matrix) writeRemarks(b *strings.Builder, title string, of func(finding) []remark) {
	begun := false
	for _, f := range m.findings {
		for _, r := range of(f) {
			if !begun {
				fmt.Fprintf(b, "## %s\n\n| SDK | Step | |\n|---|---|---|\n", title)
				begun = true
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", f.label, r.step, cell(r.text))
		}
	}
	if begun {
		b.WriteString("\n")
	}
}

func (m matrix) writeFaults(b *strings.Builder) {
	if !m.faults {
		return
	}
	fmt.Fprintf(b, `## While the wire fails

The scenario through the sidecar while %.0f %% of the requests lose their connection to Qdrant, together with whatever
else it carries: before they reach it, after they were carried out, or within the answer. Reads and idempotent writes must not fail. An unsafe write may fail
with an error of the sidecar's own, and then the scenario makes it again; the sidecar never does.

| SDK | Connections broken | Steps | Equal | Unsafe, failed and repeated by the caller | Failed |
|---|--:|--:|--:|--:|--:|
`, 100*m.rate)
	for _, f := range m.findings {
		if t := f.faults; t != nil {
			fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d |\n", f.label, t.cuts, t.steps, t.equal, len(t.repeated), len(t.failed))
		}
	}
	b.WriteString("\n")
	m.writeRemarks(b, "Failed while the wire failed", func(f finding) []remark {
		if f.faults == nil {
			return nil
		}
		return f.faults.failed
	})
}

func (m matrix) writeAttempts(b *strings.Builder) {
	if !m.attempts {
		return
	}
	b.WriteString(`## Attempts

How often one call of a user reaches a Qdrant that always answers UNAVAILABLE: the SDK's own repetitions and the
sidecar's together.

| SDK | Call | Directly | Through the sidecar |
|---|---|--:|--:|
`)
	for _, f := range m.findings {
		for _, a := range f.attempts {
			fmt.Fprintf(b, "| %s | %s | %d | %d |\n", f.label, a.call, a.direct, a.through)
		}
	}
	b.WriteString("\n")
}

func (m matrix) writeSnippets(b *strings.Builder) {
	if !m.snippets {
		return
	}
	b.WriteString("## Snippets of the README\n\nEach is run as it is there, through the sidecar.\n\n| Language | Result |\n|---|---|\n")
	for _, f := range m.findings {
		for _, s := range f.snippets {
			result := "runs"
			if s.err != nil {
				result = "**fails**"
			}
			fmt.Fprintf(b, "| %s | %s |\n", f.label, result)
		}
		if f.skipped == "" && f.mark != "" && len(f.snippets) == 0 {
			fmt.Fprintf(b, "| %s | none there |\n", f.label)
		}
	}
	b.WriteString("\n")
}

// writeUnimplemented lists what the upstream refused, which says little about the sidecar.
func (m matrix) writeUnimplemented(b *strings.Builder) {
	by := map[string][]string{}
	var order []string
	for _, f := range m.findings {
		for _, s := range f.direct.Steps {
			if s.Error == nil || !strings.EqualFold(strings.ReplaceAll(s.Error.Code, "_", ""), "unimplemented") {
				continue
			}
			if by[s.Name] == nil {
				order = append(order, s.Name)
			}
			by[s.Name] = append(by[s.Name], f.label)
		}
	}
	if len(order) == 0 {
		return
	}
	b.WriteString("## Not shown\n\nThese the upstream refuses with UNIMPLEMENTED, so all that is shown is that the error is the same.\n\n")
	for _, name := range order {
		fmt.Fprintf(b, "* %s\n", name)
	}
}

// cell is text for a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(brief(text))
}

// brief cuts a text where a reader has understood.
func brief(text string) string {
	const most = 600
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
