package weather_test

import (
	"syscall"
	"testing"
	"time"
)

const (
	// detection is how soon a node has to be out of the choice of which nothing comes,
	// not even that it is gone.
	detection = 6 * time.Second
	// tryTimeout is the default of --try-timeout.
	tryTimeout = 5 * time.Second
)

// TestHang has a node fall silent while its sockets stay open, which only time tells.
func TestHang(t *testing.T) {
	t.Parallel()
	for name, silence := range map[string]struct{ begin, end func(*cluster, *node) }{
		"black hole": {
			func(c *cluster, n *node) {
				c.lose(n.namespace, "")
				c.lose(c.home, "ip saddr "+n.addresses[0].String())
			},
			func(c *cluster, n *node) { c.clear(n.namespace); c.clear(c.home) },
		},
		"requests are lost": {
			func(c *cluster, n *node) { c.lose(n.namespace, "") },
			func(c *cluster, n *node) { c.clear(n.namespace) },
		},
		"answers are lost": {
			func(c *cluster, n *node) { c.lose(c.home, "ip saddr "+n.addresses[0].String()) },
			func(c *cluster, n *node) { c.clear(c.home) },
		},
		"cable pulled": {
			func(c *cluster, n *node) { c.ip("-n", n.namespace, "link", "set", "eth0", "down") },
			func(c *cluster, n *node) { c.ip("-n", n.namespace, "link", "set", "eth0", "up") },
		},
		"process stopped": {
			func(_ *cluster, n *node) { n.signal(syscall.SIGSTOP) },
			func(_ *cluster, n *node) { n.signal(syscall.SIGCONT) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 5, shipped)
			n := c.nodes[2]
			c.silence(n.address(), func() { silence.begin(c, n) }, func() { silence.end(c, n) })
			c.settle()
		})
	}
}

// TestHangOnQdrant stops a node of a real cluster. Writes at the others hang as well,
// until these have noticed.
func TestHangOnQdrant(t *testing.T) {
	c := newReal(t, 5, shipped)
	c.t.watchNodes(c.processes[0].(*peer).read)
	p := c.processes[2]
	c.silence(p.address(), func() { p.signal(syscall.SIGSTOP) }, func() { p.signal(syscall.SIGCONT) })
	c.settle()
}

// silence has a node fall silent, and holds that its callers leave it in time, and come
// back in time when it has ended.
func (c *cluster) silence(address string, begin, end func()) {
	c.t.Helper()
	began := time.Now()
	begin()
	c.sidecar.await(detection, address, "sick", "down")
	// What hangs by now gets its answer elsewhere.
	c.runFor(2*tryTimeout - time.Since(began))
	end()
	c.used(address, returned)
	c.runFor(calm)
	c.end()

	c.safe("a node that hangs", c.began)
	c.onlyLost("a node that hangs", began)
	for _, kind := range []kind{read, hasty} {
		worst := slowest(c.since(c.began, kind))
		c.t.Logf("the slowest %v took %v: %v", kind, worst.took, worst.err)
		if worst.took > 2*tryTimeout {
			c.t.Errorf("a %v took %v: %v", kind, worst.took, worst.err)
		}
	}
}
