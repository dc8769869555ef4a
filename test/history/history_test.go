package history_test

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/test/sidecar"
)

// Rounds of a run with everything on, and of one with repetition off. A round is
// 2,560 calls.
const (
	manyRounds = 4
	someRounds = 1
)

// mode is a way to run the sidecar.
type mode struct {
	name string
	args []string
	// once is the first class whose calls are never repeated, but when nothing was
	// done: read is for all of them.
	once   class
	rounds int
}

// modes are those that the binary has.
func modes(t *testing.T) []mode {
	t.Helper()
	help, err := exec.Command(sidecar.Binary(t), "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("serve --help: %v\n%s", err, help)
	}
	list := []mode{{name: "default", once: read, rounds: manyRounds}}
	if strings.Contains(string(help), "--retry-max") {
		list[0].once = unsafeWrite
		list = append(list, mode{"retry-max=0", []string{"--retry-max=0"}, read, someRounds})
	}
	if strings.Contains(string(help), "--retry-writes") {
		list = append(list, mode{"retry-writes=false", []string{"--retry-writes=false"}, idempotentWrite, someRounds})
	}
	if strings.Contains(string(help), "--resilience") {
		list = append(list, mode{"resilience=off", []string{"--resilience=off"}, read, someRounds})
	}
	return list
}

func TestHistories(t *testing.T) {
	t.Parallel() // most of a run is waiting
	s := settingsFrom(t)
	deadline := time.Now().Add(s.duration)
	for seed := s.seed; ; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			for _, m := range modes(t) {
				t.Run(m.name, func(t *testing.T) {
					t.Parallel()
					m.run(t, seed)
				})
			}
		})
		if t.Failed() || !time.Now().Before(deadline) {
			return
		}
	}
}

func (m mode) run(t *testing.T, seed uint64) {
	h := newHistory()
	up := startUpstream(t, h, seed)
	s := sidecar.Start(t, sidecar.Options{
		Upstream: "http://" + up.server.Addr(),
		Args:     m.args,
		Env: []string{
			// Shorter pauses than the default's make more repetitions in the same time.
			"QDRANT_RETRY_BASE_DELAY=0.01",
			// A place in the pool rests when its connection did not live long, and
			// here few do.
			"QDRANT_POOL_SIZE=12",
		},
	})
	r := play(t, up, s.GRPC, seed, m.rounds, callsEach)
	sum := summarize(r)
	t.Logf("seed %d: %v", seed, sum)
	report(t, "the witness", witness(r, m.once))
	report(t, "the outsider", outsider(r))
	sum.check(t, m)
	if t.Failed() {
		t.Logf("again with: HISTORY_SEED=%d go test -race -run TestHistories ./test/history", seed)
	}
}

// report fails the test with the first breaches; thousands say no more than these.
func report(t *testing.T, judge string, breaches []string) {
	t.Helper()
	const enough = 10
	for _, breach := range breaches[:min(enough, len(breaches))] {
		t.Errorf("%s: %s", judge, breach)
	}
	if more := len(breaches) - enough; more > 0 {
		t.Errorf("%s: and %d more", judge, more)
	}
}

// play has clients make calls to addr, behind which is up, and returns what
// happened.
func play(t *testing.T, up *upstream, addr string, seed uint64, rounds, each int) record {
	t.Helper()
	crowd := newCrowd(t, up.history, addr, seed)
	for round := range rounds {
		crowd.round(t.Context(), round, each)
		up.rest(t)
		crowd.readAll(t, round)
		up.calm.Store(false)
	}
	up.rest(t)
	return up.history.close()
}

// summary says how much a run has shown.
type summary struct {
	calls, told, attempts, retries, applications int
	// Calls by class: that were made again after a doubtful attempt, and that were
	// applied more than once.
	repeated, doubled [classes]int
	// overtaken counts applications that came after their caller had the answer of
	// another one: the price of repeated writes.
	overtaken int
	faults    map[string]int
}

func summarize(r record) summary {
	s := summary{calls: len(r.calls), attempts: len(r.attempts), applications: len(r.applications), faults: map[string]int{}}
	for _, c := range r.calls {
		if c.application != 0 {
			s.told++
		}
	}
	doubtful, applied := map[int]int{}, map[int]int{}
	for _, a := range r.attempts {
		s.faults[a.fault]++
		if a.retry {
			s.retries++
		}
		if a.disclaimed {
			continue
		}
		if doubtful[a.call]++; doubtful[a.call] == 2 {
			s.repeated[r.calls[a.call].operation.kind.class()]++
		}
	}
	for _, a := range r.applications {
		c := r.calls[a.call]
		if applied[a.call]++; applied[a.call] == 2 {
			s.doubled[c.operation.kind.class()]++
		}
		if c.application != 0 && a.at > c.returned {
			s.overtaken++
		}
	}
	return s
}

func (s summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d calls, of which the upstream answered %d; %d attempts reached it, %d named retries; %d applications, %d after their caller had another's answer",
		s.calls, s.told, s.attempts, s.retries, s.applications, s.overtaken)
	for c := range classes {
		fmt.Fprintf(&b, "\n\t%v: %d repeated, %d applied more than once", c, s.repeated[c], s.doubled[c])
	}
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		fmt.Fprintf(&b, "\n\t%6d %s", s.faults[name], name)
	}
	return b.String()
}

// check fails a run that has shown too little.
func (s summary) check(t *testing.T, m mode) {
	t.Helper()
	if s.calls < m.rounds*clients*callsEach {
		t.Errorf("%d calls, want %d", s.calls, m.rounds*clients*callsEach)
	}
	if s.told*2 < s.calls {
		t.Errorf("of %d calls only %d were answered by the upstream: a history of errors shows nothing", s.calls, s.told)
	}
	for _, f := range misfortunes() {
		// At 15 expected draws, none at all is one chance in three million.
		if f.Weight*s.attempts > 15*weights && s.faults[f.Name] == 0 {
			t.Errorf("the fault %q never happened", f.Name)
		}
	}
	for c := range m.once {
		if s.repeated[c] == 0 {
			t.Errorf("no %v was repeated", c)
		}
		if c != read && s.doubled[c] == 0 {
			t.Errorf("no %v was applied more than once: what that does was not tested", c)
		}
	}
	if m.once > read && s.retries == 0 {
		t.Error("no attempt named itself a retry")
	}
}
