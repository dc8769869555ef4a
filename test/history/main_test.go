// Package history_test proves what docs/guarantees.md promises: while the wire
// misbehaves at random, nothing acknowledged is lost, no unsafe write is doubled,
// and nothing is attempted for a caller who has his answer.
//
// Clients write and read registers through the built sidecar: points, collections,
// aliases, snapshots. Behind it an upstream of faultwire applies what arrives to a
// small state machine (operation.go) and fails calls by a plan that is drawn from a
// seed. Clients and upstream are one process, so both write into one history with
// one clock, a counter: what the clock orders, the program ordered.
//
// Two judges read that history. The witness (witness.go) knows both ends, and
// checks each call against what the upstream knows of its attempts. The outsider
// (linear.go) knows little more than the clients, and asks whether any order of
// their operations explains what they saw.
//
//	go test ./test/history                                 # one run of 10,000 calls, a new seed
//	HISTORY_SEED=7 go test -v ./test/history               # the faults of seed 7 again
//	HISTORY_DURATION=2h go test -timeout 0 -v ./test/history
package history_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"qdrant-sidecar/test/sidecar"
)

func TestMain(m *testing.M) { sidecar.Main(m) }

// settings say how much to test; the zero duration is one run.
type settings struct {
	seed     uint64
	duration time.Duration
}

func settingsFrom(t *testing.T) settings {
	t.Helper()
	s := settings{seed: rand.Uint64N(1e9)} // short enough to be typed again
	if text := os.Getenv("HISTORY_SEED"); text != "" {
		var err error
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("HISTORY_SEED: %v", err)
		}
	}
	if text := os.Getenv("HISTORY_DURATION"); text != "" {
		var err error
		if s.duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("HISTORY_DURATION: %v", err)
		}
	}
	return s
}
