package weather_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/test/live"
)

// relayed is a cluster behind relays: of own processes, or of those that QDRANT_E2E_URL
// lists. It takes no rights.
type relayed struct {
	*cluster
	relays []*relay
	// peaks are the most connections that there have been.
	peaks []*atomic.Int64
}

// newRelayed starts what is needed, a sidecar before the relays, and the load.
func newRelayed(t *testing.T, size int, b build) *relayed {
	t.Helper()
	c := &relayed{cluster: &cluster{t: newReferee(t)}}
	targets := realNodes(c.t)
	prepare(c.t, targets)
	if targets == nil {
		for range 3 {
			n := localNode(c.t)
			c.nodes, targets = append(c.nodes, n), append(targets, n.address())
		}
	}
	var addresses []string
	for i, target := range targets {
		r := newRelay(c.t, fmt.Sprintf("127.7.%d.1", i+1), target)
		c.peaks = append(c.peaks, watchConnections(c.t, r.address, size, r.connections))
		c.relays, addresses = append(c.relays, r), append(addresses, r.address)
	}
	c.start("http://"+strings.Join(addresses, ","), "", size, b)
	for _, target := range targets {
		client := qdrant.NewPointsClient(channel(c.t, target))
		c.t.watchNodes(func(ctx context.Context) {
			client.Upsert(ctx, &qdrant.UpsertPoints{
				CollectionName: collection, Wait: new(true), Points: []*qdrant.PointStruct{point(2 * points)},
			}) // an error is an answer, too
		})
	}
	c.begin()
	return c
}

// localNode starts a node on a free port of an address where no outgoing connection
// takes the port.
func localNode(t testing.TB) *node {
	t.Helper()
	n := &node{t: t, addresses: []netip.Addr{netip.MustParseAddr("127.8.0.1")}, dir: t.TempDir()}
	n.port = freePort(t, n.addresses[0])
	n.start()
	t.Cleanup(func() { n.end(syscall.SIGKILL) })
	return n
}

// realNodes are those that the environment lists; nil for none, and for one, which is
// no cluster.
func realNodes(t testing.TB) []string {
	t.Helper()
	q, err := live.Named(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if len(q.Nodes) < 2 {
		return nil
	}
	return q.Nodes
}

// apart has a test run beside others, unless they share real nodes.
func apart(t *testing.T) {
	if realNodes(t) == nil {
		t.Parallel()
	}
}

// prepare makes the collection for a test, on whichever of the nodes knows nothing of it,
// and the points in it that are not deleted.
func prepare(t testing.TB, nodes []string) {
	t.Helper()
	for _, node := range nodes {
		err := ask(t, node, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := qdrant.NewCollectionsClient(conn).Create(ctx, &qdrant.CreateCollection{
				CollectionName: collection, ReplicationFactor: new(uint32(len(nodes))),
				VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
			})
			return err
		})
		if err != nil && status.Code(err) != codes.AlreadyExists {
			t.Fatalf("%s: %v", node, err)
		}
		t.Cleanup(func() {
			err := ask(t, node, func(ctx context.Context, conn grpc.ClientConnInterface) error {
				_, err := qdrant.NewCollectionsClient(conn).Delete(ctx, &qdrant.DeleteCollection{CollectionName: collection})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		err = ask(t, node, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			var all []*qdrant.PointStruct
			for number := range points {
				all = append(all, point(number))
			}
			_, err := qdrant.NewPointsClient(conn).Upsert(ctx, &qdrant.UpsertPoints{CollectionName: collection, Wait: new(true), Points: all})
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", node, err)
		}
	}
}

// ask talks to a node itself, and leaves no connection behind.
func ask(t testing.TB, address string, f func(ctx context.Context, conn grpc.ClientConnInterface) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn := channel(t, address)
	defer conn.Close()
	return f(ctx, conn)
}

// TestRelayedRefusal has a node refuse, which is how a process ends that is killed, and
// then all of them.
func TestRelayedRefusal(t *testing.T) {
	apart(t)
	c := newRelayed(t, 5, shipped)
	r := c.relays[1]
	r.refuse()
	c.sidecar.await(time.Second, r.address, "down")
	c.runFor(calm)
	r.accept(r.address)
	c.used(r.address, returned)
	c.none("one node refuses", c.began, read, hasty, write)

	for _, r := range c.relays {
		r.refuse()
	}
	c.runFor(3 * calm)
	c.relays[0].accept(c.relays[0].address)
	c.runFor(2 * time.Second)
	well := time.Now()
	c.runFor(calm)
	c.end()
	c.none("2 s after the first node's return", well)
	c.settle()
}

// TestRelayedReset resets the connections to a node, and then those to all, again and
// again.
func TestRelayedReset(t *testing.T) {
	apart(t)
	c := newRelayed(t, 5, checked)
	for range 3 {
		c.relays[0].reset()
		c.runFor(calm)
	}
	for range 3 {
		for _, r := range c.relays {
			r.reset()
		}
		c.runFor(calm)
	}
	c.end()
	c.none("connections are reset", c.began, read, hasty, write)
	c.onlyLost("connections are reset", c.began)
	c.settle()
}

// TestRelayedSilence keeps what is said to a node and by it.
func TestRelayedSilence(t *testing.T) {
	apart(t)
	c := newRelayed(t, 5, shipped)
	r := c.relays[2]
	c.silence(r.address, r.hold, r.pass)
	c.settle()
}

// TestRelayedDelay has all answers take 200 ms more, so that a caller with many of them
// at once needs all connections that there may be, and no more.
func TestRelayedDelay(t *testing.T) {
	apart(t)
	const delay, size, burst = 200 * time.Millisecond, 2, 250
	c := newRelayed(t, size, shipped)
	for _, r := range c.relays {
		r.slow(delay)
	}
	slow := time.Now()
	conn := channel(c.t, c.sidecar.GRPC)
	for range 8 {
		var calls sync.WaitGroup
		for range burst {
			calls.Go(func() { c.one(conn, int(c.number.Add(1))) })
		}
		calls.Wait()
	}
	c.end()
	c.none("answers take their time", c.began)
	if fastest := quickest(c.since(slow.Add(clockwork), read)); fastest.took < delay {
		c.t.Errorf("a read took %v: the relay does not work", fastest.took)
	}
	most := int64(0)
	for _, peak := range c.peaks {
		most = max(most, peak.Load())
	}
	if most != size {
		c.t.Errorf("there were %d connections to a node for %d calls at once, want %d", most, burst, size)
	}
	c.settle()
}
