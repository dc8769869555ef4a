package weather_test

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"qdrant-sidecar/test/sidecar"
)

// resolved is how soon a change of DNS is known.
const resolved = 11*time.Second + clockwork

var errNotAsked = errors.New("it was not asked")

// newService starts nodes, a DNS server that says where some of them are, and a sidecar
// that asks it.
func newService(t *testing.T, nodes, first int, b build) (*cluster, *dnsServer) {
	t.Helper()
	c := &cluster{t: newReferee(t)}
	c.world = newWorld(c.t, nodes)
	for i := range nodes {
		c.nodes = append(c.nodes, c.node(i+1))
	}
	d := c.newDNS(answer{addresses: c.addresses(first)})
	s := sidecar.Start(c.t, sidecar.Options{
		Upstream: "dns:///" + service, Namespace: c.home, Plain: bool(b),
		Env: []string{"GODEBUG=netdns=go"}, // as in the image, which has no C library
	})
	c.sidecar = watched{s, c.t}
	for _, n := range c.nodes[:first] {
		c.sidecar.await(patience, n.address(), "good")
	}
	watchSockets(c.t.T, 5, c.nodes...)
	c.began = time.Now()
	// As many as can be shared out evenly among 2, 3 and 5.
	c.load = newLoad(c.t, s.GRPC, demand{callers: 30})
	c.runFor(calm)
	return c, d
}

// addresses are those of the first nodes.
func (c *cluster) addresses(count int) (ips []netip.Addr) {
	for _, n := range c.nodes[:count] {
		ips = append(ips, n.addresses[0])
	}
	return ips
}

// even waits until the first nodes, and no others, share the load evenly.
func (c *cluster) even(count int, limit time.Duration) {
	c.t.Helper()
	const window = 2 * time.Second
	counts := func() (counts []int) {
		for _, n := range c.nodes {
			counts = append(counts, n.calls())
		}
		return counts
	}
	within(c.t, limit, fmt.Sprintf("%d nodes share the load", count), func() error {
		before := counts()
		c.runFor(window)
		sum, shares := 0, counts()
		for i := range shares {
			shares[i] -= before[i]
			sum += shares[i]
		}
		mean := float64(sum) / float64(count)
		for i, share := range shares {
			if want := mean; i >= count && share > 0 || i < count && math.Abs(float64(share)-want) > want/5 {
				return fmt.Errorf("of %d calls they had %v", sum, shares)
			}
		}
		return nil
	})
}

// TestScale has a cluster grow and shrink. The fifth node is known by an address of the
// other family.
func TestScale(t *testing.T) {
	t.Parallel()
	c, d := newService(t, 5, 3, shipped)
	fifth := c.nodes[4]
	fifth.addresses[0], fifth.addresses[1] = fifth.addresses[1], fifth.addresses[0]

	const warm = 10 * time.Second
	c.even(3, warm+patience)
	d.says(c.t, resolved, "3 and 2 more", answer{addresses: c.addresses(5)})
	c.even(5, warm+patience)
	d.says(c.t, resolved, "2 of the 5", answer{addresses: c.addresses(2)})
	c.even(2, patience)
	c.end()
	c.none("growing and shrinking", c.began)
	c.settle()
}

// TestLies has DNS say what is not so, and nothing.
func TestLies(t *testing.T) {
	t.Parallel()
	c, d := newService(t, 3, 3, checked)
	nobody := []netip.Addr{netip.MustParseAddr("10.77.1.1"), netip.MustParseAddr("10.99.0.1"), netip.MustParseAddr("127.0.0.2")}
	// From here on it is asked every second, for there is somebody who is not there.
	d.says(c.t, resolved, "somebody who is not there", answer{addresses: append(c.addresses(3), nobody[0])})
	for _, lie := range []struct {
		what string
		answer
	}{
		{"that there is nobody", answer{}},
		{"that there is no such name", answer{code: dns.RcodeNameError}},
		{"that it cannot say", answer{code: dns.RcodeServerFailure}},
		{"nothing", answer{silent: true}},
		{"only who is not there", answer{addresses: nobody}},
		{"one who is there", answer{addresses: append(c.addresses(1), nobody...)}},
	} {
		d.says(c.t, resolved, lie.what, lie.answer)
		c.runFor(2 * calm)
		c.none("DNS said "+lie.what, c.began)
	}
	d.says(c.t, resolved, "the truth", answer{addresses: c.addresses(3)})
	for _, n := range c.nodes {
		c.sidecar.await(patience, n.address(), "good")
	}
	c.end()
	c.none("lies", c.began)
	c.settle()
}
