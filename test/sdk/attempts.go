package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// attempt is how often a user's call reached a Qdrant that always answers UNAVAILABLE.
type attempt struct {
	call            string // the SDK's name of the call
	direct, through int
	// outcome is what the user got through the sidecar.
	outcome string
}

// countAttempts has a scenario make one call of each kind, of different methods, and counts by method.
func (l *laboratory) countAttempts(ctx context.Context, f *finding) error {
	upstream, err := startFailing()
	if err != nil {
		return err
	}
	defer upstream.stop()
	t, err := play(ctx, f.sdk, l.cache, upstream.at, l.options, "attempts")
	if err != nil {
		return err
	}
	direct := upstream.take()

	proxy, err := startSidecar(ctx, l.binary, upstream.at, anywhere)
	if err != nil {
		return err
	}
	t, err = play(ctx, f.sdk, l.cache, proxy.at, l.options, "attempts")
	proxy.stop()
	if err != nil {
		return err
	}
	through := upstream.take()
	for _, s := range t.Steps {
		f.attempts = append(f.attempts, attempt{
			call: s.Name, direct: of(direct, s.Name), through: of(through, s.Name), outcome: outcome(s),
		})
		delete(direct, pathOf(direct, s.Name))
		delete(through, pathOf(through, s.Name))
	}
	if len(through) > 0 {
		return fmt.Errorf("calls that no step made: %v", slices.Sorted(maps.Keys(through)))
	}
	return nil
}

// A step is named after the method that it calls, and may add how: "Upsert" or "Upsert, by upload".
func pathOf(counts map[string]int, call string) string {
	name, _, _ := strings.Cut(call, ",")
	for path := range counts {
		if strings.HasSuffix(path, "/"+name) {
			return path
		}
	}
	return ""
}

func of(counts map[string]int, call string) int { return counts[pathOf(counts, call)] }
