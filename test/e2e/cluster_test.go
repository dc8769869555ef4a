package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/test/sidecar"
)

// node is a process of its own that serves the embedded Qdrant. Nodes share no
// data: what one of them does not find is an answer all the same.
type node struct {
	t    *testing.T
	addr string
	cmd  *exec.Cmd
	done chan error
}

// newNode starts a node on a free port of an address of its own, where no outgoing
// connection takes the port while it is restarted.
func newNode(t *testing.T, ip string) *node {
	t.Helper()
	lis, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, addr: lis.Addr().String()}
	lis.Close()
	n.start()
	t.Cleanup(func() { n.end(syscall.SIGKILL) })
	return n
}

// start runs the process and waits until it listens.
func (n *node) start() {
	n.t.Helper()
	n.cmd = exec.Command(sidecar.Binary(n.t), "serve", "--url=memory://", "--listen="+n.addr, "--rest-listen=off", "--metrics-listen=off", "--admin-listen=off", "--drain-timeout=5s")
	n.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=50")
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.done = make(chan error, 1)
	go func() { n.done <- n.cmd.Wait() }()
	eventually(n.t, n.addr+" listens", func() error {
		conn, err := net.Dial("tcp", n.addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// end ends the process and waits for that.
func (n *node) end(signal syscall.Signal) {
	n.t.Helper()
	if n.cmd == nil {
		return
	}
	if err := n.cmd.Process.Signal(signal); err != nil {
		n.t.Errorf("%s: %v", n.addr, err)
	}
	if err := receive(n.t, "the end of "+n.addr, n.done); err != nil && signal == syscall.SIGTERM {
		n.t.Errorf("%s ended with %v", n.addr, err)
	}
	n.cmd = nil
}

// sockets counts the connections that the node has, from its side.
func (n *node) sockets() (int, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	at, err := net.ResolveTCPAddr("tcp", n.addr)
	if err != nil {
		return 0, err
	}
	ip := at.IP.To4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], at.Port)
	count := 0
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == local && f[3] == "01" {
			count++
		}
	}
	return count, nil
}

// load are callers who never stop, each with a connection of its own.
type load struct {
	t           *testing.T
	stop        context.CancelFunc
	callers     sync.WaitGroup
	reads       atomic.Int64
	writes      atomic.Int64
	failedRead  atomic.Int64
	failedWrite atomic.Int64
	slowest     atomic.Int64 // nanoseconds
}

// answered reports whether the outcome is an answer of a node's.
func answered(err error) bool {
	switch statusOf(err).Code() {
	case codes.OK, codes.NotFound, codes.InvalidArgument:
		return true
	default:
		return false
	}
}

func newLoad(t *testing.T, address string, callers int) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, stop: stop}
	for range callers {
		client := newClient(t, address)
		l.callers.Go(func() { l.run(ctx, client) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) run(ctx context.Context, client *qdrant.Client) {
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		start := time.Now()
		var err error
		failed := &l.failedRead
		if i%2 == 0 {
			l.reads.Add(1)
			_, err = client.Count(l.t.Context(), &qdrant.CountPoints{CollectionName: "c"})
		} else {
			l.writes.Add(1)
			failed = &l.failedWrite
			_, err = client.Upsert(l.t.Context(), &qdrant.UpsertPoints{
				CollectionName: "c",
				Points:         []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1)}},
			})
		}
		l.slowest.Store(max(l.slowest.Load(), int64(time.Since(start))))
		if !answered(err) {
			failed.Add(1)
			l.t.Logf("a call failed: %v", err)
		}
	}
}

// end stops the callers. Calling it twice is fine.
func (l *load) end() {
	l.stop()
	l.callers.Wait()
}

// more waits for as many more reads.
func (l *load) more(n int64) {
	l.t.Helper()
	until := l.reads.Load() + n
	eventually(l.t, "calls", func() error {
		if l.reads.Load() < until {
			return errors.New("too few")
		}
		return nil
	})
}

// standing waits until the sidecar says that a node stands so.
func standing(t *testing.T, s *sidecar.Sidecar, n *node, standing string) {
	t.Helper()
	want := fmt.Sprintf(`qdrant_sidecar_endpoint{endpoint=%q,standing=%q} 1`, n.addr, standing)
	start := time.Now()
	eventually(t, n.addr+" is "+standing, func() error {
		if !strings.Contains(mustGet(t, s.Metrics, "/metrics").text, want) {
			return errors.New("not yet")
		}
		return nil
	})
	t.Logf("%s was %s after %v", n.addr, standing, time.Since(start))
}

// threeNodes starts those of a cluster, at addresses that format makes of their numbers.
func threeNodes(t *testing.T, format string) (nodes []*node, urls []string) {
	t.Helper()
	for i := range 3 {
		n := newNode(t, fmt.Sprintf(format, i+1))
		nodes, urls = append(nodes, n), append(urls, n.addr)
	}
	return nodes, urls
}

// TestCluster restarts the nodes of a cluster one by one in good order, kills one,
// and stops one so that its sockets stay open, all under load.
func TestCluster(t *testing.T) {
	t.Parallel()
	const size = 2
	nodes, urls := threeNodes(t, "127.6.%d.1")
	s := sidecar.Start(t, sidecar.Options{
		Upstream: "http://" + strings.Join(urls, ","),
		Env:      []string{fmt.Sprintf("QDRANT_POOL_SIZE=%d", size)},
		Args:     []string{"--try-timeout=1s", "--timeout=1m"},
	})
	for _, n := range nodes {
		standing(t, s, n, "good")
	}
	l := newLoad(t, s.GRPC, 4)
	watch, stopWatch := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { watchSockets(watch, t, nodes, size) })
	defer watching.Wait()
	defer stopWatch()

	l.more(50)
	for _, n := range nodes {
		n.end(syscall.SIGTERM)
		l.more(50)
		n.start()
		standing(t, s, n, "good")
		l.more(50)
	}
	if r, w := l.failedRead.Load(), l.failedWrite.Load(); r+w > 0 {
		t.Errorf("a rolling restart failed %d reads and %d idempotent writes", r, w)
	}

	nodes[1].end(syscall.SIGKILL)
	standing(t, s, nodes[1], "down")
	l.more(50)
	nodes[1].start()
	standing(t, s, nodes[1], "good")
	if r, w := l.failedRead.Load(), l.failedWrite.Load(); r+w > 0 {
		t.Errorf("after a kill %d reads and %d idempotent writes have failed", r, w)
	}

	l.slowest.Store(0)
	if err := nodes[2].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	standing(t, s, nodes[2], "sick")
	l.more(50)
	nodes[2].cmd.Process.Signal(syscall.SIGCONT)
	standing(t, s, nodes[2], "good")
	l.end()
	if r := l.failedRead.Load(); r > 0 {
		t.Errorf("a node that hung failed %d reads", r)
	}
	t.Logf("%d reads, %d writes, %d writes failed; the slowest call while a node hung took %v",
		l.reads.Load(), l.writes.Load(), l.failedWrite.Load(), time.Duration(l.slowest.Load()))
}

// watchSockets holds that no node ever sees more connections than there may be.
func watchSockets(ctx context.Context, t *testing.T, nodes []*node, most int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	seen := 0
	defer func() {
		if seen == 0 {
			t.Error("no connection was ever seen: this tests nothing")
		}
	}()
	for {
		for _, n := range nodes {
			found, err := n.sockets()
			// The test itself asks with one more whether a node listens.
			if err != nil || found > most+1 {
				t.Errorf("%s has %d connections (%v), want %d at most", n.addr, found, err, most)
				return
			}
			seen = max(seen, found)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
