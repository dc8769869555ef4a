package weather_test

import (
	"fmt"
	"slices"
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

// cluster is nodes that a sidecar has in a list, and a load.
type cluster struct {
	*world
	*load
	t *referee
	// nodes are own processes, and processes all that the test may end.
	nodes     []*node
	processes []process
	sidecar   watched
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
		n := c.node(i + 1)
		c.nodes, c.processes = append(c.nodes, n), append(c.processes, n)
	}
	c.start(urls(c.nodes), c.home, size, b)
	watchSockets(c.t.T, size, c.nodes...) // what the kernel says needs no excuse
	c.begin()
	return c
}

// start starts a sidecar before the nodes of a --url, which it finds to be good.
func (c *cluster) start(upstream, namespace string, size int, b build) {
	c.t.Helper()
	c.sidecar = watched{sidecar.Start(c.t, sidecar.Options{
		Upstream: upstream, Namespace: namespace, Plain: bool(b),
		Args: []string{fmt.Sprintf("--pool-size=%d", size)},
	}), c.t}
	for address := range strings.SplitSeq(strings.TrimPrefix(upstream, "http://"), ",") {
		c.sidecar.await(patience, address, "good")
	}
}

// begin begins the load.
func (c *cluster) begin() {
	c.began = time.Now()
	c.load = newLoad(c.t, c.sidecar.GRPC, demand{callers, c.real()})
	c.runFor(calm)
}

// real reports whether the nodes are somebody else's, of a real cluster. They share what
// they know.
func (c *cluster) real() bool { return len(c.nodes) == 0 }

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

// safe fails the test if calls have failed that may be made again. Nodes of a real cluster
// answer a write that one of them has not carried out with an error of their own, which is
// passed on.
func (c *cluster) safe(what string, since time.Time) {
	c.t.Helper()
	c.none(what, since, read, hasty)
	if !c.real() {
		c.none(what, since, write)
		return
	}
	for _, o := range failures(c.since(since, write)) {
		if s := status.Convert(o.err); strings.HasPrefix(s.Message(), "qdrant-sidecar: ") || !slices.Contains(qdrants, s.Code()) {
			c.t.Errorf("%s: a write failed with %v", what, o.err)
		}
	}
}

// qdrants are the codes of those answers.
var qdrants = []codes.Code{codes.Internal, codes.FailedPrecondition}

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

// settle is the end of a test.
func (c *cluster) settle() {
	c.t.Helper()
	if c.end(); !c.real() {
		once(c.t.T, c.nodes...)
	}
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
