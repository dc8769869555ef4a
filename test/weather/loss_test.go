package weather_test

import (
	"testing"
	"time"
)

// TestLoss loses a fifth of all packets, each way.
func TestLoss(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5, checked)
	const fifth = "numgen random mod 100 < 20"
	c.lose(c.home, fifth)
	for _, n := range c.nodes {
		c.lose(n.namespace, fifth)
	}
	began := time.Now()
	c.runFor(10 * time.Second)
	c.clear(c.home)
	for _, n := range c.nodes {
		c.clear(n.namespace)
	}
	healed := time.Now()
	for _, n := range c.nodes {
		c.sidecar.await(returned, n.address(), "good")
	}
	// TCP waits seconds before it sends again what was lost several times, and a connection
	// that is silent for five is closed with what is on it.
	const settled = 5*time.Second + clockwork
	c.runFor(settled + calm)
	c.end()
	c.none("every fifth packet was lost", c.began, read, write)
	c.onlyLost("every fifth packet was lost", began)
	c.none("after it has cleared up", healed.Add(clockwork), read, write)
	c.none("long after it has cleared up", healed.Add(settled))
	worst := slowest(c.since(began, read, hasty))
	t.Logf("the slowest read took %v: %v", worst.took, worst.err)
	c.settle()
}
