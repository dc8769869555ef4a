package weather_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/test/sidecar"
)

const (
	// calm is how long the load runs before, between and after what happens.
	calm = time.Second
	// callers is how many there are, so that every node has some.
	callers = 12
	// returned is how soon a node has to be used again.
	returned = 10 * time.Second
)

// cluster is a world with nodes that a sidecar has in a list, and a load.
type cluster struct {
	*world
	*load
	t       *referee
	nodes   []*node
	sidecar watched
	// began is when the load did.
	began time.Time
}

// build is how the sidecar is built.
type build bool

const (
	shipped build = true  // for promises about seconds
	checked build = false // with the race detector
)

// newCluster starts three nodes, a sidecar with pools of that size and otherwise the
// defaults, and the load.
func newCluster(t *testing.T, size int, b build) *cluster {
	t.Helper()
	c := &cluster{t: newReferee(t)}
	c.world = newWorld(c.t, 3)
	for i := range 3 {
		c.nodes = append(c.nodes, c.node(i+1))
	}
	s := sidecar.Start(c.t, sidecar.Options{
		Upstream: urls(c.nodes), Namespace: c.home, Plain: bool(b),
		Args: []string{fmt.Sprintf("--pool-size=%d", size)},
	})
	c.sidecar = watched{s, c.t}
	for _, n := range c.nodes {
		c.sidecar.await(patience, n.address(), "good")
	}
	watchSockets(c.t, size, c.nodes...)
	c.began = time.Now()
	c.load = newLoad(c.t, s.GRPC, callers)
	c.runFor(calm)
	return c
}

// used waits until callers are at home at a node.
func (c *cluster) used(address string, limit time.Duration) {
	c.t.Helper()
	clients := fmt.Sprintf("qdrant_sidecar_endpoint_clients{endpoint=%q} ", address)
	within(c.t, limit, address+" is used again", func() error {
		text, err := c.sidecar.Scrape()
		if err != nil {
			return err
		}
		_, count, _ := strings.Cut(text, clients)
		if count, _, _ = strings.Cut(count, "\n"); count == "" || count == "0" {
			return fmt.Errorf("it has %q callers", count)
		}
		return nil
	})
}

// onlyLost fails the test if unsafe writes failed for another reason than that they
// were sent and no answer came.
func (c *cluster) onlyLost(what string, since time.Time) {
	c.t.Helper()
	for _, o := range failures(c.since(since, unsafe)) {
		if s := status.Convert(o.err); s.Code() != codes.Unavailable || !strings.Contains(s.Message(), "ended the call without an answer") {
			c.t.Errorf("%s: an unsafe write failed with %v", what, o.err)
		}
	}
}

// settle is the end of a test of own processes.
func (c *cluster) settle() {
	c.t.Helper()
	c.end()
	once(c.t, c.nodes...)
	c.t.settle()
}

// once fails the test if an unsafe write was made by two of the nodes: then it was
// repeated although it had been done.
func once(t testing.TB, nodes ...*node) {
	t.Helper()
	at := make(map[string]*node)
	for _, n := range nodes {
		for _, alias := range n.aliases() {
			if before := at[alias]; before != nil {
				t.Errorf("the unsafe write %s was carried out at %s and at %s", alias, before.address(), n.address())
			}
			at[alias] = n
		}
	}
	if len(at) == 0 {
		t.Error("no unsafe write was carried out: this tests nothing")
	}
}
