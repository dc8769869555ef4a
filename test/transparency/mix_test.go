package transparency_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"qdrant-sidecar/test/sidecar"
)

const (
	mixCalls = 2000
	// mixTime is when the mix ends although calls are left: a busy machine makes
	// fewer of them. What is under way then takes a few seconds at most.
	mixTime = 15 * time.Second
)

// TestMix makes the same random calls directly, through the sidecar, and through a
// proxy on grpc-go. Directly and through the sidecar both ends see the same; what
// grpc-go can carry of a call, it carries in the same way.
//
// MIX_SEED repeats the calls of a seed and MIX_CALL one of them alone, which each
// failure names.
func TestMix(t *testing.T) {
	m := newMix(t)
	direct := m.start(t, func(addr string) string { return addr })
	through := m.start(t, func(addr string) string { return startForMix(t, addr) })
	grpcgo := m.start(t, func(addr string) string { return startGRPCProxy(t, addr) })
	grpcgo.limited = true

	ctx := bounded(t)
	began := time.Now()
	for _, r := range m.rounds {
		if time.Since(began) > mixTime {
			break
		}
		var ways sync.WaitGroup
		for _, w := range []*way{direct, through, grpcgo} {
			ways.Go(func() { w.playRound(ctx, r) })
		}
		ways.Wait()
		for _, c := range m.calls[r.first:r.end] {
			m.judge(t, c, &direct.calls[c.n], &through.calls[c.n], &grpcgo.calls[c.n])
		}
	}
	m.tell(t)
	t.Logf("three ways each, in %v", time.Since(began).Round(time.Millisecond))
}

// startForMix starts a sidecar without the policy, which makes more of failures than
// to pass them on, and returns its address.
func startForMix(t *testing.T, upstream string) string {
	t.Helper()
	return sidecar.Start(t, sidecar.Options{
		Upstream: "http://" + upstream,
		Args:     []string{"--retry-max=0", "--circuit-breaker-threshold=0", "--timeout=3m"},
	}).GRPC
}

// mix is the calls of a seed, and in what company they are made.
type mix struct {
	seed   uint64
	ground []byte
	calls  []*mixCall
	rounds []round
	// What has become of them.
	played map[string]int // by shape
	beyond int            // that grpc-go did not get
	failed int
}

// round is calls that share connections.
type round struct{ first, end, connections, concurrency int }

func newMix(t *testing.T) *mix {
	t.Helper()
	m := &mix{seed: rand.Uint64() >> 1, played: make(map[string]int)}
	if value := os.Getenv("MIX_SEED"); value != "" {
		var err error
		if m.seed, err = strconv.ParseUint(value, 10, 63); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MIX_SEED=%d", m.seed)
	m.ground = newGround(m.seed)
	for n := range mixCalls {
		m.calls = append(m.calls, mixCallOf(m.seed, n, m.ground))
	}
	if value := os.Getenv("MIX_CALL"); value != "" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n >= mixCalls {
			t.Fatalf("MIX_CALL is %q, want 0 to %d", value, mixCalls-1)
		}
		t.Log(m.calls[n])
		m.rounds = []round{{first: n, end: n + 1, connections: 1, concurrency: 1}}
		return m
	}
	r := rand.New(rand.NewPCG(m.seed, 1<<62))
	for first := 0; first < mixCalls; {
		end := min(mixCalls, first+20+r.IntN(100))
		m.rounds = append(m.rounds, round{first: first, end: end, connections: 1 + r.IntN(3), concurrency: 1 + r.IntN(16)})
		first = end
	}
	return m
}

// judge compares the ways of a call, and forgets what they were.
func (m *mix) judge(t *testing.T, c *mixCall, direct, through, grpcgo *wayCall) {
	t.Helper()
	const most = 5 // to be told in full
	m.played[c.shape]++
	if len(c.beyond) > 0 {
		m.beyond++
	}
	if differences := c.judge(direct, through, grpcgo); len(differences) > 0 {
		if m.failed++; m.failed <= most {
			t.Errorf("MIX_SEED=%d MIX_CALL=%d\n%s (- direct, + otherwise):\n%s", m.seed, c.n, c, strings.Join(differences, "\n"))
		}
	}
	for _, w := range []*wayCall{direct, through, grpcgo} {
		w.exchange = exchange{} // so that messages are freed
	}
}

// tell says what was done.
func (m *mix) tell(t *testing.T) {
	t.Helper()
	if m.failed > 0 {
		t.Errorf("%d calls failed in all", m.failed)
	}
	all := 0
	for _, shape := range slices.Sorted(maps.Keys(m.played)) {
		t.Logf("%5d %s", m.played[shape], shape)
		all += m.played[shape]
	}
	t.Logf("%5d calls of %d, of which grpc-go can carry %d", all, len(m.calls), all-m.beyond)
}
