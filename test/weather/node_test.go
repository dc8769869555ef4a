package weather_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"

	"qdrant-sidecar/test/sidecar"
)

// collection is what callers use. Nodes share no data, and one that was restarted has
// none: what they do not find is an answer all the same.
const collection = "weather"

// node is a process of its own that serves the embedded Qdrant.
type node struct {
	t         testing.TB
	namespace string
	addresses []netip.Addr
	port      int
	// dir has the sockets on which it answers the test, whatever the network does.
	dir  string
	cmd  *exec.Cmd
	done chan error
}

// node starts node i of a world, on Qdrant's usual ports.
func (w *world) node(i int) *node {
	w.t.Helper()
	n := &node{
		t: w.t, namespace: w.namespace(i), port: 6334, dir: w.t.TempDir(),
		addresses: []netip.Addr{w.address(i, false), w.address(i, true)},
	}
	n.start()
	w.t.Cleanup(func() { n.end(syscall.SIGKILL) })
	return n
}

// address is how the sidecar knows the node: by its first address.
func (n *node) address() string { return netip.AddrPortFrom(n.addresses[0], uint16(n.port)).String() }

// start runs the process and waits until it answers.
func (n *node) start() {
	n.t.Helper()
	args := []string{
		"serve", "--url=memory://", "--resilience=off", "--drain-timeout=5s", "--admin-listen=off",
		"--listen=unix://" + filepath.Join(n.dir, "grpc"), "--metrics-listen=unix://" + filepath.Join(n.dir, "metrics"),
	}
	for _, ip := range n.addresses {
		args = append(args, fmt.Sprintf("--listen=%v", netip.AddrPortFrom(ip, uint16(n.port))))
	}
	if n.namespace != "" {
		args = append(args, fmt.Sprintf("--rest-listen=%v:6333", n.addresses[0]))
	} else {
		args = append(args, "--rest-listen=off")
	}
	n.cmd = sidecar.Command(n.namespace, sidecar.PlainBinary(n.t), args...)
	n.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.dir}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.done = make(chan error, 1)
	go func() { n.done <- n.cmd.Wait() }()
	n.ask(func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := qdrant.NewCollectionsClient(conn).Create(ctx, &qdrant.CreateCollection{
			CollectionName: collection,
			VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
		}, grpc.WaitForReady(true))
		return err
	})
}

// ask talks to the node past all weather.
func (n *node) ask(f func(ctx context.Context, conn grpc.ClientConnInterface) error) {
	n.t.Helper()
	if err := ask(n.t, "unix://"+filepath.Join(n.dir, "grpc"), f); err != nil {
		n.t.Fatalf("asking %s itself: %v", n.address(), err)
	}
}

// signal sends the process a signal.
func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatalf("%s: %v", n.address(), err)
	}
}

// end ends the process and waits for that. Where there is none it does nothing.
func (n *node) end(s syscall.Signal) {
	n.t.Helper()
	if n.cmd == nil {
		return
	}
	n.signal(s)
	select {
	case err := <-n.done:
		if err != nil && s == syscall.SIGTERM {
			n.t.Errorf("%s ended with %v", n.address(), err)
		}
	case <-time.After(patience):
		n.t.Fatalf("%s did not end", n.address())
	}
	n.cmd = nil
}

// calls returns how many calls have come to the process, less HealthChecks.
func (n *node) calls() int {
	n.t.Helper()
	return int(sample(n.t, filepath.Join(n.dir, "metrics"), func(line string) bool {
		return strings.HasPrefix(line, "grpc_server_started_total{") && !strings.Contains(line, `grpc_method="HealthCheck"`)
	}))
}

// aliases returns those of the node, of which each was made by one unsafe write.
func (n *node) aliases() (names []string) {
	n.t.Helper()
	n.ask(func(ctx context.Context, conn grpc.ClientConnInterface) error {
		list, err := qdrant.NewCollectionsClient(conn).ListAliases(ctx, &qdrant.ListAliasesRequest{})
		for _, a := range list.GetAliases() {
			names = append(names, a.GetAliasName())
		}
		return err
	})
	return names
}

// urls joins the addresses of nodes to a --url.
func urls(nodes []*node) string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.address())
	}
	return "http://" + strings.Join(list, ",")
}

// listen opens a port in a namespace.
func listen(t testing.TB, namespace, address string) net.Listener {
	t.Helper()
	var lis net.Listener
	err := inNamespace(namespace, func() (err error) {
		lis, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

// freePort returns a port that nobody listens on at the address.
func freePort(t testing.TB, ip netip.Addr) int {
	t.Helper()
	lis, err := net.Listen("tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return int(netip.MustParseAddrPort(lis.Addr().String()).Port())
}
