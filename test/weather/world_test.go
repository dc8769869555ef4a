package weather_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// prefix begins the names of all namespaces of these tests. The process's number
// follows, so that runs beside each other do not sweep each other's away.
const prefix = "qsweather"

// worlds counts those of this process: each has names of its own.
var worlds atomic.Int64

// world is a network of its own: a namespace for the sidecar, and one for each node at
// the end of a cable. Node i, from 1, has the addresses of [world.address].
type world struct {
	t    testing.TB
	name string
	// home is the sidecar's namespace.
	home string
	// etc is where home has its resolv.conf.
	etc string
}

// newWorld makes a network with cables for that many nodes. It skips the test where
// that cannot be done.
func newWorld(t testing.TB, nodes int) *world {
	t.Helper()
	if missing := missing(); missing != "" {
		t.Skipf("NOT TESTED: what happens to a cluster in real networks. That takes %s.", missing)
	}
	w := &world{t: t, name: fmt.Sprintf("%s-%d-%d", prefix, os.Getpid(), worlds.Add(1))}
	w.home = w.name + "-home"
	w.etc = filepath.Join("/etc/netns", w.home)
	w.add(w.home, nil)
	for i := 1; i <= nodes; i++ {
		ns := w.namespace(i)
		cable := fmt.Sprintf("n%d", i)
		w.add(ns, w.smallTables)
		w.ip("-n", w.home, "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", ns)
		for _, end := range []struct {
			ns, link string
			side     byte
		}{{w.home, cable, 1}, {ns, "eth0", 2}} {
			w.ip("-n", end.ns, "addr", "add", fmt.Sprintf("10.77.%d.%d/30", i, end.side), "dev", end.link)
			w.ip("-n", end.ns, "addr", "add", fmt.Sprintf("fd77:%d::%d/64", i, end.side), "dev", end.link, "nodad")
			w.ip("-n", end.ns, "link", "set", end.link, "up")
		}
	}
	return w
}

// missing says what these tests need and is not here; "" for nothing.
func missing() string {
	var missing []string
	if runtime.GOOS != "linux" {
		missing = append(missing, "Linux")
	}
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	return strings.Join(missing, ", ")
}

// namespace is that of a node.
func (w *world) namespace(i int) string { return fmt.Sprintf("%s-n%d", w.name, i) }

// address is that of a node, of either family.
func (w *world) address(i int, six bool) netip.Addr {
	if six {
		return netip.MustParseAddr(fmt.Sprintf("fd77:%d::2", i))
	}
	return netip.AddrFrom4([4]byte{10, 77, byte(i), 2})
}

// add makes a namespace; how, if set, is where and how that is done.
func (w *world) add(ns string, how func(add func() error) error) {
	w.t.Helper()
	add := func() error { return run("ip", "netns", "add", ns) }
	if how == nil {
		how = func(add func() error) error { return add() }
	}
	if err := how(add); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := remove(ns); err != nil {
			w.t.Error(err)
		}
	})
	w.ip("-n", ns, "link", "set", "lo", "up")
}

// smallTables has a namespace made with a table of connections of its own. To read
// that of the machine takes 10 ms however few there are in it.
func (w *world) smallTables(add func() error) error {
	return inNamespace(w.home, func() error {
		const entries = "/proc/sys/net/ipv4/tcp_child_ehash_entries"
		if err := os.WriteFile(entries, []byte("64"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err // kernels before 6.1 have none, and take the time
		}
		return add()
	})
}

// resolver has processes of the sidecar's namespace ask the DNS server at an address.
func (w *world) resolver(server string) {
	w.t.Helper()
	if err := os.MkdirAll(w.etc, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.etc, "resolv.conf"), []byte("nameserver "+server+"\n"), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// ip runs ip(8), which must work.
func (w *world) ip(args ...string) {
	w.t.Helper()
	if err := run("ip", args...); err != nil {
		w.t.Fatal(err)
	}
}

// lose has a namespace lose what comes in and matches; "" is everything. It vanishes
// as on the way, without anybody being told.
func (w *world) lose(ns, match string) {
	w.t.Helper()
	const ingress = "add table inet weather; add chain inet weather in { type filter hook prerouting priority -300; }; "
	if err := run("ip", "netns", "exec", ns, "nft", ingress+"add rule inet weather in "+match+" drop"); err != nil {
		w.t.Fatal(err)
	}
}

// clear ends what lose began.
func (w *world) clear(ns string) {
	w.t.Helper()
	if err := run("ip", "netns", "exec", ns, "nft", "delete table inet weather"); err != nil {
		w.t.Fatal(err)
	}
}

func run(program string, args ...string) error {
	if output, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, output)
	}
	return nil
}

// remove removes a namespace of these tests with what is left in it.
func remove(ns string) error {
	output, err := exec.Command("ip", "netns", "pids", ns).Output()
	if err != nil {
		return fmt.Errorf("ip netns pids %s: %w", ns, err)
	}
	for field := range strings.FieldsSeq(string(output)) {
		if pid, err := strconv.Atoi(field); err == nil && pid != os.Getpid() {
			syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
	}
	return errors.Join(run("ip", "netns", "del", ns), os.RemoveAll(filepath.Join("/etc/netns", ns)))
}

// sweep removes what runs have left that did not come to their end.
func sweep() {
	if missing() != "" {
		return
	}
	found, err := filepath.Glob("/run/netns/" + prefix + "-*")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, path := range found {
		ns := filepath.Base(path)
		owner, _, _ := strings.Cut(strings.TrimPrefix(ns, prefix+"-"), "-")
		if _, err := os.Stat("/proc/" + owner); err == nil {
			continue // it is still running
		}
		if err := remove(ns); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
