package pool_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"pgregory.net/rapid"

	"qdrant-sidecar/pool"
)

const (
	// modelStreams is how many calls the model's nodes allow on a connection at once.
	modelStreams = 3
	// modelAge is the age of connections in the model, and oldest the most that a tenth
	// more and the looks at it make of it.
	modelAge = 10 * time.Minute
	oldest   = modelAge + modelAge/10 + 5*time.Second
)

// act is one thing that happens in the model's script, to member n, or to the n-th of
// what there is.
type act struct {
	kind string
	n    int
}

func (a act) String() string { return fmt.Sprintf("%s(%d)", a.kind, a.n) }

// acts are weighted by how often they are named.
var acts = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) act {
	return act{
		rapid.SampledFrom([]string{
			"lend", "lend", "lend", "fill", "call", "call", "release", "release", "release", "release twice", "give up",
			"kill", "restart", "hang", "heal", "heal", "remove", "return", "wait", "wait a minute", "wait long",
		}).Draw(t, "kind"),
		rapid.IntRange(0, 5).Draw(t, "n"),
	}
}), 1, 80)

// place is one of a node's for a connection.
type place struct {
	address string
	id      int
}

// waiter is a Lend that has not returned.
type waiter struct {
	address string
	cancel  context.CancelFunc
}

// model is a pool as it looks from outside: the leases that were given and not
// returned, and who waits for one.
type model struct {
	*cluster
	pool    *pool.Pool
	size    int
	calls   sync.WaitGroup
	present []bool // of the members, by DNS

	mu      sync.Mutex
	leases  []*pool.Lease
	waiting map[*waiter]bool
}

func (m *model) node(i int) *pool.Node {
	nodes := m.pool.Nodes()
	return nodes[i%len(nodes)]
}

// do makes something happen, and returns what was wrong about it.
func (m *model) do(a act) string {
	member := m.member(a.n % len(m.present))
	switch a.kind {
	case "lend":
		return m.lend(m.node(a.n))
	case "fill": // and one has to wait
		for range m.size*modelStreams + 1 {
			if wrong := m.lend(m.node(a.n)); wrong != "" {
				return wrong
			}
		}
	case "call":
		m.call(m.node(a.n))
	case "release":
		if l := m.take(a.n); l != nil {
			l.Release()
		}
	case "release twice":
		if l := m.take(a.n); l != nil {
			l.Release()
			return releaseAgain(l)
		}
	case "give up":
		m.giveUp()
	case "kill":
		member.refusing.Store(true)
		member.server.Stop()
	case "restart":
		if old := member.server; !member.refusing.Load() {
			member.start()
			m.calls.Go(old.GracefulStop)
		}
	case "hang":
		member.hung.Store(true)
	case "heal":
		m.heal(member)
	case "remove", "return":
		m.present[a.n%len(m.present)] = a.kind == "return"
		m.tell()
	}
	return ""
}

// heal makes all well with a member.
func (m *model) heal(member *member) {
	member.hung.Store(false)
	if member.refusing.Load() {
		member.start()
		member.refusing.Store(false)
	}
}

// tell has DNS say who is present.
func (m *model) tell() {
	var there []int
	for i, is := range m.present {
		if is {
			there = append(there, i)
		}
	}
	m.says(nil, there...)
}

// lend asks a node for a lease. The one that it is to give is the first with room.
func (m *model) lend(n *pool.Node) string {
	before := m.state(n.Address())
	ctx, cancel := context.WithCancel(context.Background())
	w := &waiter{n.Address(), cancel}
	m.mu.Lock()
	m.waiting[w] = true
	m.mu.Unlock()
	var got *pool.Lease
	m.calls.Go(func() {
		defer cancel()
		l, err := n.Lend(ctx, nil, true)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.waiting, w)
		if err == nil {
			m.leases, got = append(m.leases, l), l
		}
	})
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	first := slices.IndexFunc(before.Connections, hasRoom)
	switch {
	case first >= 0 && got == nil:
		return fmt.Sprintf("%s gave no lease, and connection %d has room", w.address, first)
	case first >= 0 && got.Connection() != first:
		return fmt.Sprintf("%s lent connection %d, and %d was the first with room", w.address, got.Connection(), first)
	}
	return ""
}

func hasRoom(c pool.Connection) bool { return c.State == pool.Ready && c.InFlight < modelStreams }

// call makes a call that takes 30 s, unless the weather ends it.
func (m *model) call(n *pool.Node) {
	m.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		l, err := n.Lend(ctx, nil, true)
		if err != nil {
			return
		}
		m.mu.Lock()
		m.leases = append(m.leases, l)
		m.mu.Unlock()
		var response pool.Response
		if l.Unary(ctx, request("slow"), &response) == nil {
			response.Close()
		}
		m.mu.Lock()
		i := slices.Index(m.leases, l)
		if i >= 0 {
			m.leases = slices.Delete(m.leases, i, i+1)
		}
		m.mu.Unlock()
		if i >= 0 { // else it was released under its call, which is none of the pool's business
			l.Release()
		}
	})
}

// take takes a lease out of the model.
func (m *model) take(n int) *pool.Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.leases) == 0 {
		return nil
	}
	i := n % len(m.leases)
	l := m.leases[i]
	m.leases = slices.Delete(m.leases, i, i+1)
	return l
}

func releaseAgain(l *pool.Lease) (wrong string) {
	defer func() {
		if recover() == nil {
			wrong = "a second release did not panic"
		}
	}()
	l.Release()
	return ""
}

// giveUp cancels one who waits.
func (m *model) giveUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for w := range m.waiting {
		w.cancel()
		return
	}
}

func (m *model) state(address string) pool.EndpointState {
	for _, e := range m.pool.State().Endpoints {
		if e.Address == address {
			return e
		}
	}
	return pool.EndpointState{Address: address}
}

// wrong returns what does not hold although nothing moves. quiet says that nothing has
// been done for a minute.
func (m *model) wrong(quiet bool) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := make(map[place]int)
	for _, l := range m.leases {
		held[place{l.Address(), l.Connection()}]++
	}
	for _, e := range m.pool.State().Endpoints {
		if len(e.Connections) != m.size {
			return fmt.Sprintf("%s has %d places, want %d", e.Address, len(e.Connections), m.size)
		}
		for _, c := range e.Connections {
			at := place{e.Address, c.ID}
			if c.InFlight != held[at] {
				return fmt.Sprintf("%v counts %d calls, and has lent %d leases", at, c.InFlight, held[at])
			}
			delete(held, at)
			if wrong := wrongConnection(c, e.Ready(), quiet && m.isWell(e.Address)); wrong != "" {
				return fmt.Sprintf("%v: %s", at, wrong)
			}
		}
		for w := range m.waiting {
			if w.address == e.Address && slices.ContainsFunc(e.Connections, hasRoom) {
				return fmt.Sprintf("somebody waits for %s, which has room", e.Address)
			}
		}
	}
	if len(held) > 0 {
		return fmt.Sprintf("leases of %v are out, and nobody counts them", held)
	}
	for i := range m.present {
		if most := m.member(i).most.Load(); most > int64(m.size) {
			return fmt.Sprintf("%s had %d connections at once", address(i), most)
		}
		if now := m.member(i).underWay.Load(); now > int64(m.size*modelStreams) {
			return fmt.Sprintf("%s has %d calls at once", address(i), now)
		}
	}
	return ""
}

func wrongConnection(c pool.Connection, ready int, quiet bool) string {
	open := c.State == pool.Ready || c.State == pool.Draining
	switch {
	case c.InFlight > 0 && !open:
		return fmt.Sprintf("%d calls on a connection that is %v", c.InFlight, c.State)
	case c.InFlight > modelStreams:
		return fmt.Sprintf("%d calls on a connection", c.InFlight)
	case open == c.Opened.IsZero():
		return fmt.Sprintf("it is %v, and was opened at %v", c.State, c.Opened)
	case quiet && c.State == pool.Ready && time.Since(c.Opened) > oldest && (ready > 1 || c.InFlight == 0):
		return fmt.Sprintf("it is %v old, and could go", time.Since(c.Opened))
	case quiet && c.State == pool.Draining && c.InFlight == 0:
		return "it drains, and carries nothing"
	}
	return ""
}

// isWell reports whether nothing is the matter with a member.
func (m *model) isWell(address string) bool {
	at := netip.MustParseAddrPort(address).Addr()
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	member := m.nodes[at]
	return !member.refusing.Load() && !member.hung.Load()
}

// waits are the acts that are only that.
var waits = map[string]time.Duration{"wait": time.Second, "wait a minute": time.Minute, "wait long": 7 * time.Minute}

// play plays a script and returns what went wrong.
func (m *model) play(script []act) string {
	for i, a := range script {
		wrong := m.do(a)
		pause, quiet := waits[a.kind], waits[a.kind] >= time.Minute
		time.Sleep(pause)
		synctest.Wait()
		if wrong == "" {
			wrong = m.wrong(quiet)
		}
		if wrong != "" {
			return fmt.Sprintf("after %d acts, the last being %v: %s", i+1, a, wrong)
		}
	}
	return ""
}

// clearUp has all end, and returns what is not as it was in the beginning.
func (m *model) clearUp() string {
	for i := range m.present {
		m.heal(m.member(i))
		m.present[i] = true
	}
	m.tell()
	m.mu.Lock()
	for w := range m.waiting {
		w.cancel()
	}
	m.mu.Unlock()
	time.Sleep(2 * time.Minute) // calls have ended by now
	for l := m.take(0); l != nil; l = m.take(0) {
		l.Release()
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	for i := range m.present {
		if s := standing(m.pool, m.member(i)); s != pool.Good {
			return fmt.Sprintf("%s is %v in the end", address(i), s)
		}
	}
	return m.wrong(true)
}

// TestModel plays random scripts and holds after every act that the pool's account of
// its places is that of who uses them: leases, bounds, states, ages, and nobody who
// waits for what is there.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size, script := rapid.IntRange(1, 3).Draw(rt, "size"), acts.Draw(rt, "script")
		var wrong string
		var log strings.Builder
		synctest.Test(t, func(t *testing.T) {
			const members = 2
			m := &model{cluster: newCluster(t, members, grpc.MaxConcurrentStreams(modelStreams)), size: size, waiting: make(map[*waiter]bool)}
			for range members {
				m.present = append(m.present, true)
			}
			m.pool = m.cluster.pool(func(conf *pool.Config) {
				conf.Size, conf.MaxAge, conf.IdleTimeout = size, modelAge, 5*time.Minute
				conf.HealthInterval, conf.PingInterval = 20*time.Second, 30*time.Second
				conf.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			time.Sleep(time.Second)
			if wrong = m.play(script); wrong == "" {
				wrong = m.clearUp()
			}
			m.pool.Close()
			for i := range members {
				m.member(i).server.Stop()
			}
			m.calls.Wait()
		})
		if wrong != "" {
			rt.Fatalf("%s\n%s", wrong, log.String())
		}
	})
}
