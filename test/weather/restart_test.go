package weather_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestRollingRestart upgrades a cluster.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, checked)
	c.rollingRestart()
	c.settle()
}

// TestRollingRestartOnQdrant does that to a real one.
func TestRollingRestartOnQdrant(t *testing.T) {
	c := newReal(t, 2, checked)
	c.rollingRestart()
	c.settle()
}

// rollingRestart has one node after the other end in good order and come back.
func (c *cluster) rollingRestart() {
	c.t.Helper()
	for _, p := range c.processes {
		p.end(syscall.SIGTERM)
		c.runFor(calm)
		p.start()
		c.sidecar.await(returned, p.address(), "good")
		c.runFor(calm)
	}
	c.end()
	c.none("a rolling restart", c.began)
}

// TestKill kills a node, with as few connections as there may be, so that one too many
// would be seen.
func TestKill(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, shipped)
	c.kill()
	c.settle()
}

// TestKillOnQdrant does that to a node of a real cluster.
func TestKillOnQdrant(t *testing.T) {
	c := newReal(t, 1, shipped)
	c.t.watchNodes(c.processes[0].(*peer).read)
	c.kill()
	c.settle()
}

// kill kills a node, and starts it again.
func (c *cluster) kill() {
	c.t.Helper()
	p := c.processes[1]
	killed := time.Now()
	p.end(syscall.SIGKILL)
	c.sidecar.await(time.Second, p.address(), "down")
	c.runFor(calm)
	p.start()
	c.used(p.address(), returned)
	c.end()
	c.safe("a kill", c.began)
	c.onlyLost("a kill", killed)
}

// TestClusterDown has no node at all for a while.
func TestClusterDown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, shipped)
	c.outage(read, hasty, write, unsafe)
	c.settle()
}

// TestClusterDownOnQdrant does that to a real cluster, where writes have to wait for a
// second node.
func TestClusterDownOnQdrant(t *testing.T) {
	c := newReal(t, 2, shipped)
	c.outage(read, hasty)
	c.settle()
}

// outage kills all nodes, and brings one after the other back a while later. Calls of the
// kinds need no more than the first.
func (c *cluster) outage(kinds ...kind) {
	c.t.Helper()
	const outage = 20 * time.Second
	// tries is how long the few calls wait that the budget has repeated: 0.5, 1 and 2 s.
	const tries = 3500 * time.Millisecond
	c.none("before", c.began)
	for _, p := range c.processes {
		p.end(syscall.SIGKILL)
	}
	down := time.Now()
	for _, p := range c.processes {
		c.sidecar.await(time.Second, p.address(), "down")
	}
	c.runFor(outage)
	c.processes[0].start()
	c.runFor(2 * time.Second)
	well := time.Now()
	c.runFor(2 * calm)
	for _, p := range c.processes[1:] {
		p.start()
		c.used(p.address(), returned)
	}
	c.end()
	c.none("2 s after the first node's return", well, kinds...)
	var times []time.Duration
	for _, o := range failures(c.since(down, kinds...)) {
		times = append(times, o.took)
		message := status.Convert(o.err).Message()
		named := slices.ContainsFunc(c.processes, func(p process) bool { return strings.Contains(message, p.address()) })
		if status.Code(o.err) != codes.Unavailable || !strings.HasPrefix(message, "qdrant-sidecar: ") || !named {
			c.t.Errorf("without a node a %v failed with %v", o.kind, o.err)
		}
	}
	slices.Sort(times)
	if len(times) < rate {
		c.t.Fatalf("only %d calls have failed: this tests nothing", len(times))
	}
	most, all := times[len(times)*8/10], times[len(times)-1]
	c.t.Logf("of %d calls without a node most failed within %v, and all within %v", len(times), most, all)
	if most > 250*time.Millisecond || all > tries+clockwork {
		c.t.Errorf("without a node it takes up to %v, and mostly up to %v, to fail", all, most)
	}
}
