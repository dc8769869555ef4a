// Package resilience_test proves what the sidecar does about failures where its
// callers see it: at the front door of the built binary. An upstream of faultwire
// fails attempts as each call's script says, and knows how many there were.
//
//   - retry_test.go has the table "what may be repeated", a row for each way to fail
//     and a column for each class of methods, and breaker_test.go the one of what a
//     breaker counts.
//   - storm_test.go, blip_test.go, mistakes_test.go and streak_test.go have what lasts:
//     an upstream that is gone, connections that break, callers who are wrong. What
//     would take minutes runs in process and on fake time (rig_test.go).
//   - reasons_test.go finds reasons that no test has seen.
//
// Of what may be lost and doubled, test/history is the judge.
package resilience_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"qdrant-sidecar/test/sidecar"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of these tests wait most of the time, so they run together whatever the
	// number of processors.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	sidecar.Main(m)
}

// A method of each class, and the one that is of none.
const (
	readPath    = "/qdrant.Points/Query"
	writePath   = "/qdrant.Points/Upsert"
	unsafePath  = "/qdrant.Collections/Create"
	unknownPath = "/acme.Thing/Do"
	healthPath  = "/qdrant.Qdrant/HealthCheck"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

// unhurried are flags by which nothing is given up for want of time, for tests that are
// about something else, on the slowest of machines.
func unhurried(flags ...string) []string {
	return append([]string{"--timeout=1m", "--try-timeout=0", "--pool-ping-interval=1h"}, flags...)
}

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// until polls for what nobody announces.
func until(t testing.TB, what string, happened func() bool) {
	t.Helper()
	if !within(patience, happened) {
		t.Fatalf("waited %v for %s", patience, what)
	}
}

// within polls until it happened, or not in time.
func within(limit time.Duration, happened func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}
