package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// configure loads and checks the whole configuration for a command. When it
// cannot go on it has said why, and returns the exit code and false.
func configure(inv invocation, extra func(*flag.FlagSet)) (*config, int, bool) {
	c, found, err := load(inv, settings, extra)
	if err == nil {
		c.check(&found)
		c.readTracing(inv.getenv, &found)
	}
	return usable(inv, c, found, err)
}

// usable tells the user what load and check have found.
func usable(inv invocation, c *config, found problems, err error) (*config, int, bool) {
	if errors.Is(err, flag.ErrHelp) {
		printHelp(inv.stdout)
		return nil, exitOK, false
	}
	if len(found) > 0 {
		for _, p := range found {
			fmt.Fprintln(inv.stderr, "qdrant-sidecar: "+p)
		}
		return nil, exitUsage, false
	}
	return c, exitOK, true
}

const about = `qdrant-sidecar forwards the gRPC calls of Qdrant SDKs to Qdrant over a small,
bounded pool of connections. Run it beside an application and let the SDK's gRPC
connect to localhost:6334, without TLS; nothing else changes.
`

// printHelp prints the manual.
func printHelp(w io.Writer) {
	fmt.Fprintf(w, "%s\nUsage: qdrant-sidecar [COMMAND] [FLAGS]\n\nCommands:\n", about)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-13s %s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, "\ndemo takes also\n  --once\n%s", wrap(demoOnceHelp, "      ", 80))
	fmt.Fprintf(w, "\nprobe takes only --metrics-listen, --config and\n  --live\n%s", wrap(probeLiveHelp, "      ", 80))
	fmt.Fprintf(w, "\npause, resume, drain, undrain and reconnect ask the running sidecar at its\n"+
		"--admin-listen, which they take, and --config. ENDPOINT is a node's host:port.\n"+
		"pause takes also\n  --for DURATION\n%sdrain takes also\n  --force\n%sreconnect takes also\n  --within DURATION\n%s",
		wrap(pauseForHelp, "      ", 80), wrap(drainForceHelp, "      ", 80), wrap(reconnectWithinHelp, "      ", 80))
	printWatchingHelp(w)
	fmt.Fprint(w, "\nSettings, each a flag, an environment variable and a key of the --config file\n"+
		"(but QDRANT_API_KEY, which is a variable only).\n"+
		"Flags win over the environment, the environment over the file.\n\n")
	printSettings(w, generalSettings)
	fmt.Fprintf(w, "\n%s:\n%s\n", connectionsHeading, wrap(aboutConnections, "", 80))
	printSettings(w, connectionSettings)
	fmt.Fprintf(w, "\n%s:\n%s\n", restHeading, wrap(aboutREST, "", 80))
	printSettings(w, restSettings)
	fmt.Fprintf(w, "\n%s:\n%s\n", policyHeading, wrap(aboutPolicy, "", 80))
	printSettings(w, policySettings)
	fmt.Fprintf(w, "\n%s:\n%s\n", limitsHeading, wrap(aboutLimits, "", 80))
	printSettings(w, limitSettings)
	fmt.Fprintf(w, "\n%s:\n%s\n", tracingHeading, wrap(aboutTracing, "", 80))
	for _, v := range tracingVariables {
		fmt.Fprintf(w, "  %s %s\n%s", v.name, v.value, wrap(v.help, "      ", 80))
	}
	fmt.Fprint(w, "\nExit codes: 0 ended as asked, 1 did not start or broke, 64 wrong configuration.\n")
}

// printWatchingHelp is about the commands that show what goes on.
func printWatchingHelp(w io.Writer) {
	fmt.Fprint(w, "\ntop, tap, pool, breakers and info ask the running sidecar at its --admin-listen,\n"+
		"which they take, and --config. A browser shows the same at http://, and that\n"+
		"address. All of them take also\n")
	option := func(name, help string) { fmt.Fprintf(w, "  %s\n%s", name, wrap(help, "      ", 80)) }
	option("--json", jsonHelp)
	fmt.Fprint(w, "top takes also\n")
	option("--once", topOnceHelp)
	option("--interval DURATION", topIntervalHelp)
	fmt.Fprint(w, "tap takes also\n")
	option("--method NAME", tapMethodHelp)
	option("--collection NAME", tapCollectionHelp)
	option("--code CODE", tapCodeHelp)
	option("--slower-than DURATION", tapSlowerHelp)
	option("--failed", tapFailedHelp)
	option("--bodies", tapBodiesHelp)
	option("--count N", tapCountHelp)
	fmt.Fprintf(w, "\n%s", wrap("doctor takes all settings, as serve does, and needs no running sidecar.", "", 80))
}

func printSettings(w io.Writer, table []*setting) {
	for _, s := range table {
		fmt.Fprintf(w, "  %s\n%s", s.synopsis(), wrap(s.help, "      ", 80))
		if s.initial != "" && !s.boolean() {
			fmt.Fprintf(w, "      Default: %s\n", s.initial)
		}
	}
}

// synopsis names the ways to give the setting.
func (s *setting) synopsis() string {
	if s.secret {
		return s.env()
	}
	name := "--" + s.name
	if !s.boolean() {
		name += " " + s.value
	}
	return name + ", " + s.env()
}

// wrap breaks text into lines no wider than width.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

// configurationPage is docs/configuration.md.
func configurationPage() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Made from the table in cmd/qdrant-sidecar/settings.go by "make generate". -->

Every setting is a flag, an environment variable, and a key of the YAML file that
` + "`--config`" + ` names; the API key is a variable only. Flags win over the environment, the
environment over the file. An empty variable counts as not set. Durations are written as ` + "`30s`" + `, ` + "`1m30s`" + `, or as
seconds: ` + "`2.5`" + `.

A wrong configuration is reported whole, one sentence a problem, and ends the
program with exit code 64. ` + "`qdrant-sidecar check-config`" + ` does only that, or prints
what is in effect and where each value came from.

`)
	tabulate(&b, generalSettings)
	fmt.Fprintf(&b, "\n## %s\n\n%s\n", connectionsHeading, wrap(aboutConnections, "", 90))
	tabulate(&b, connectionSettings)
	fmt.Fprintf(&b, "\n## %s\n\n%s\n", restHeading, wrap(aboutREST, "", 90))
	tabulate(&b, restSettings)
	fmt.Fprintf(&b, "\n## %s\n\n%s\n", policyHeading, wrap(aboutPolicy, "", 90))
	tabulate(&b, policySettings)
	fmt.Fprintf(&b, "\n## %s\n\n%s\n", limitsHeading, wrap(aboutLimits, "", 90))
	tabulate(&b, limitSettings)
	fmt.Fprintf(&b, "\n## %s\n\n%s\n", tracingHeading, wrap(aboutTracing, "", 90))
	b.WriteString("| Variable | Meaning |\n|---|---|\n")
	for _, v := range tracingVariables {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, v.help)
	}
	b.WriteString("\nMore in [tracing.md](tracing.md).\n")
	b.WriteString(reloadSection())
	b.WriteString(`
## A file

A file with the defaults, and the one setting that has none:

` + "```yaml\n")
	for _, s := range settings {
		switch {
		case s.name == "url":
			b.WriteString("url: http://qdrant:6334\n")
		case s.initial != "" && s.many:
			fmt.Fprintf(&b, "%s:\n  - %s\n", s.name, s.initial)
		case s.initial != "":
			fmt.Fprintf(&b, "%s: %s\n", s.name, s.initial)
		}
	}
	b.WriteString("```\n" + `
## Go's runtime

Go's own variables work as everywhere. Where they are not set, GOGC is 400, GOMEMLIMIT is
80 % of the container's memory limit, and GOMAXPROCS is 1 below a limit of two CPUs (with
cgroup version 2).
`)
	return b.String()
}

// reloadSection says what can change without a restart.
func reloadSection() string {
	var live []string
	for _, s := range settings {
		if s.live && !s.secret {
			live = append(live, "`"+s.name+"`")
		}
	}
	return "\n## Changes without a restart\n\n" + wrap("On SIGHUP, and within 5 seconds of a change of a file that the configuration is made of, all of it is read again. "+
		"If anything is wrong, nothing changes, and the log says everything that is. Otherwise these settings take effect, for calls and connections that come from then on: "+
		strings.Join(live, ", ")+". Of others that have changed the log says that they need a restart. "+
		"Flags and variables cannot change while the process runs, and win over the file as ever. "+
		"When TLS settings change, connections to Qdrant are replaced one by one, each after another has been opened.", "", 90)
}

// tabulate writes a table of settings in Markdown.
func tabulate(w io.Writer, table []*setting) {
	fmt.Fprint(w, "| Flag and YAML key | Variable | Default | Meaning |\n|---|---|---|---|\n")
	for _, s := range table {
		name, initial := "`--"+s.name+"`", ""
		if s.secret {
			name = "–"
		}
		if s.initial != "" {
			initial = "`" + s.initial + "`"
		}
		fmt.Fprintf(w, "| %s | `%s` | %s | %s |\n", name, s.env(), initial, s.help)
	}
}
