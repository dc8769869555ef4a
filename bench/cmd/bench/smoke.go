package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"qdrant-sidecar/bench/internal/run"
	"qdrant-sidecar/bench/internal/target"
)

// smokeTime bounds a smoke run, with its builds.
const smokeTime = 3 * time.Minute

var errAllocs = errors.New("a call allocates more than it may")

// smoke fails when a call through the sidecar allocates more than it may.
func smoke(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench smoke", flag.ContinueOnError)
	most := flags.Float64("max-allocs", 0, "objects that a call may allocate (required)")
	calls := flags.Int("calls", 20_000, "calls that are made")
	sidecar := flags.String("sidecar", "", "sidecar's program (built from the tree around this module)")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *most <= 0 || *calls < 100 {
		return errors.New("smoke needs -max-allocs above 0, and -calls of 100 at least")
	}
	ctx, cancel := context.WithTimeout(ctx, smokeTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "qdrant-sidecar-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	built, err := build(ctx, dir, *sidecar)
	if err != nil {
		return err
	}
	name := func(t target.Target) string { return t.Name }
	product, err := choose(target.All(built.sidecar, built.grpcproxy, ""), name, []string{target.Sidecar})
	if err != nil {
		return err
	}
	runner := run.Runner{Upstream: built.upstream, Dir: dir}
	failed := false
	for _, c := range run.Cells() {
		if c.Kind != run.Small || c.Threads != 1 || c.InFlight == 0 {
			continue
		}
		a, err := runner.Allocs(ctx, product[0], c, *calls)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		fmt.Fprintf(os.Stdout, "%-7s %.1f allocations, %.0f bytes a call (of %d); limit %.1f\n", c.Name, a.PerCall, a.Bytes, a.Calls, *most)
		failed = failed || a.PerCall > *most
	}
	if failed {
		return errAllocs
	}
	return nil
}
