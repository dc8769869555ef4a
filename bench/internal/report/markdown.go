package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"qdrant-sidecar/bench/internal/run"
	"qdrant-sidecar/bench/internal/target"
)

// About is what a report says of the machine and the run.
type About struct {
	Date     string
	Machine  string
	Load     string // load average before the run
	Note     string
	Rounds   int
	Window   string
	Versions []Version
	Skipped  []Skipped
}

// Version is a program that took part.
type Version struct{ Target, Version string }

// Skipped is a proxy that is not installed.
type Skipped struct{ Target, Install string }

// Markdown writes the whole report.
func Markdown(w io.Writer, about About, tables []run.Table) {
	head(w, about)
	for _, t := range tables {
		Table(w, t)
	}
	Limits(w, tables)
}

func head(w io.Writer, a About) {
	fmt.Fprintf(w, "# Performance\n\nMade by `make bench`, %s: %s. Load average before: %s.\n\n", a.Date, a.Machine, a.Load)
	if a.Note != "" {
		fmt.Fprintf(w, "**%s**\n\n", a.Note)
	}
	fmt.Fprintf(w, `Upstream, proxy and load share the machine, on loopback. A call is a search of 768 floats (3,120 bytes, 8 headers)
with an answer of 2,048 bytes, on 4 connections, unless a table says otherwise. Each target is measured for %s in each of
%d rounds; targets alternate within a round, and each round begins with another one. CPU is user and system time of the
proxy's processes over the window, divided by the calls that ended in it. Latency counts from when a call was due; what
is added is against %s in the same round. Ratios are medians of ratios within a round; the rest are medians over
rounds, with the minimum where it is named. Only numbers of one run compare.

`, a.Window, a.Rounds, run.Direct)
	var g grid
	g.add("target", "version")
	for _, v := range a.Versions {
		g.add(v.Target, v.Version)
	}
	g.write(w)
	for _, s := range a.Skipped {
		fmt.Fprintf(w, "Skipped: %s is not installed: `%s`\n\n", s.Target, s.Install)
	}
}

// Table writes one cell.
func Table(w io.Writer, t run.Table) {
	fmt.Fprintf(w, "## %s: %s\n\n", t.Cell.Name, t.Cell.Title)
	var g grid
	switch t.Cell.Kind {
	case run.Small:
		small(&g, t)
	case run.Large:
		large(&g, t)
	case run.Idle:
		idle(&g, t)
	case run.Many:
		many(&g, t)
	}
	g.write(w)
	for _, r := range t.Rows {
		if r.Failure != "" {
			fmt.Fprintf(w, "%s failed: %s\n\n", r.Target, strings.ReplaceAll(r.Failure, "\n", " "))
		}
	}
}

func small(g *grid, t run.Table) {
	g.add("target", "CPU µs/call", "min", "× HAProxy", "calls/s", "× HAProxy", "p50 µs added", "p99 µs added")
	direct, _ := t.Row(run.Direct)
	peer, _ := t.Row(target.HAProxy)
	for _, r := range t.Rows {
		if r.Failure != "" {
			continue
		}
		if r.Target == run.Direct {
			g.add(r.Target, none, none, none, number(median(each(r.Rounds, rate)), 0), number(ratio(r.Rounds, peer.Rounds, rate), 2),
				"("+number(median(each(r.Rounds, p50)), 0)+")", "("+number(median(each(r.Rounds, p99)), 0)+")")
			continue
		}
		used := each(r.Rounds, cpu)
		g.add(r.Target, number(median(used), 1), number(least(used), 1), number(ratio(r.Rounds, peer.Rounds, cpu), 2),
			number(median(each(r.Rounds, rate)), 0), number(ratio(r.Rounds, peer.Rounds, rate), 2),
			signed(added(r.Rounds, direct.Rounds, p50)), signed(added(r.Rounds, direct.Rounds, p99)))
	}
}

func large(g *grid, t run.Table) {
	g.add("target", "MB/s", "min", "× HAProxy", "CPU ms/call", "× HAProxy", "p50 ms")
	peer, _ := t.Row(target.HAProxy)
	for _, r := range t.Rows {
		if r.Failure != "" {
			continue
		}
		speed := each(r.Rounds, mb)
		used, ratioUsed := none, none
		if r.Target != run.Direct {
			used = number(median(each(r.Rounds, cpu))/1000, 2)
			ratioUsed = number(ratio(r.Rounds, peer.Rounds, cpu), 2)
		}
		g.add(r.Target, number(median(speed), 0), number(least(speed), 0), number(ratio(r.Rounds, peer.Rounds, mb), 2),
			used, ratioUsed, number(median(each(r.Rounds, p50))/1000, 1))
	}
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

func idle(g *grid, t run.Table) {
	g.add("target", "KiB each, opened", "KiB each, after a call", "MiB before", "MiB "+t.Cell.Release.String()+" after")
	for _, r := range t.Rows {
		if r.Failure == "" {
			g.add(r.Target, number(idleCost(t, r, r.Memory.Opened), 1), number(idleCost(t, r, r.Memory.Peak), 1),
				number(float64(r.Memory.Base)/mib, 1), number(float64(r.Memory.After)/mib, 1))
		}
	}
}

// idleCost is KiB per connection.
func idleCost(t run.Table, r run.Row, with int64) float64 {
	if r.Memory == nil || t.Cell.Conns == 0 {
		return math.NaN()
	}
	return float64(with-r.Memory.Base) / kib / float64(t.Cell.Conns)
}

func many(g *grid, t run.Table) {
	g.add("target", "MiB before", "MiB at most", "MiB "+t.Cell.Release.String()+" after", "calls/s")
	for _, r := range t.Rows {
		if r.Failure == "" {
			m := r.Memory
			g.add(r.Target, number(float64(m.Base)/mib, 1), number(float64(m.Peak)/mib, 1),
				number(float64(m.After)/mib, 1), number(m.Rate, 0))
		}
	}
}
