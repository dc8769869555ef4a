package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"qdrant-sidecar/bench/internal/report"
	"qdrant-sidecar/bench/internal/run"
	"qdrant-sidecar/bench/internal/target"
)

// options of a comparison.
type options struct {
	targets, cells []string
	rounds         int
	window, warmup time.Duration
	timeout        time.Duration
	output, note   string
	sidecar, envoy string
	list           bool
}

func parse(args []string) (options, error) {
	var o options
	var targets, cells string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&targets, "targets", "", "proxies to compare, with commas (all that are installed)")
	flags.StringVar(&cells, "cells", "", "cells to measure, with commas (all)")
	flags.BoolVar(&o.list, "list", false, "list targets and cells")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of each cell")
	flags.DurationVar(&o.window, "window", 1200*time.Millisecond, "how long a target is measured in a round")
	flags.DurationVar(&o.warmup, "warmup", 300*time.Millisecond, "how long it has calls before that")
	flags.DurationVar(&o.timeout, "timeout", 40*time.Minute, "give up after")
	flags.StringVar(&o.output, "o", "", "Markdown file to write")
	flags.StringVar(&o.note, "note", "", "a sentence for the head of the report")
	flags.StringVar(&o.sidecar, "sidecar", "", "sidecar's program (built from the tree around this module)")
	flags.StringVar(&o.envoy, "envoy", "", "Envoy's program (PATH, then ../.cache/envoy/bin/envoy)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.rounds < 1 || o.window <= 0 || o.warmup < 0 {
		return o, errors.New("-rounds and -window must be positive, -warmup not negative")
	}
	o.targets, o.cells = split(targets), split(cells)
	return o, nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func compare(ctx context.Context, args []string) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.list {
		printList(os.Stdout)
		return nil
	}
	cells, err := choose(run.Cells(), func(c run.Cell) string { return c.Name }, o.cells)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "qdrant-sidecar-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	about := describe(o)
	runner, err := prepare(ctx, o, dir, &about)
	if err != nil {
		return err
	}
	var tables []run.Table
	for _, c := range cells {
		t, err := runner.Measure(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		report.Table(os.Stdout, t)
		tables = append(tables, t)
	}
	report.Limits(os.Stdout, tables)
	if o.output == "" {
		return nil
	}
	var out strings.Builder
	report.Markdown(&out, about, tables)
	return os.WriteFile(o.output, []byte(out.String()), 0o644)
}

// prepare builds, finds and chooses what takes part.
func prepare(ctx context.Context, o options, dir string, about *report.About) (*run.Runner, error) {
	if err := raiseFiles(); err != nil {
		return nil, err
	}
	built, err := build(ctx, dir, o.sidecar)
	if err != nil {
		return nil, err
	}
	envoy := o.envoy
	if envoy == "" {
		envoy = filepath.Join(filepath.Dir(built.root), ".cache", "envoy", "bin", "envoy")
	}
	chosen, err := choose(target.All(built.sidecar, built.grpcproxy, envoy), func(t target.Target) string { return t.Name }, o.targets)
	if err != nil {
		return nil, err
	}
	r := &run.Runner{
		Upstream: built.upstream, Dir: dir, Rounds: o.rounds, Warmup: o.warmup, Window: o.window, Progress: os.Stderr,
	}
	for _, t := range chosen {
		program := t.Find()
		if program == "" {
			fmt.Fprintf(os.Stderr, "skipped: %s is not installed: %s\n", t.Name, t.Install)
			about.Skipped = append(about.Skipped, report.Skipped{Target: t.Name, Install: t.Install})
			continue
		}
		r.Targets = append(r.Targets, t)
		about.Versions = append(about.Versions, report.Version{Target: t.Name, Version: t.PrintVersion(program)})
	}
	return r, nil
}

func describe(o options) report.About {
	read := func(name string) string {
		raw, err := os.ReadFile(name)
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(raw))
	}
	model := "unknown processor"
	for line := range strings.Lines(read("/proc/cpuinfo")) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			model = strings.Trim(name, " \t:\n")
			break
		}
	}
	load := strings.Fields(read("/proc/loadavg"))
	return report.About{
		Date: time.Now().UTC().Format(time.DateOnly),
		Machine: fmt.Sprintf("%d cores of %s, Linux %s, %s", runtime.NumCPU(), model,
			read("/proc/sys/kernel/osrelease"), runtime.Version()),
		Load: load[0], Note: o.note, Rounds: o.rounds, Window: o.window.String(),
	}
}

func printList(w io.Writer) {
	for _, t := range target.All("", "", "") {
		fmt.Fprintln(w, "target", t.Name)
	}
	for _, c := range run.Cells() {
		fmt.Fprintf(w, "cell   %-9s %s\n", c.Name, c.Title)
	}
}
