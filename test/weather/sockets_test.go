package weather_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The states of sockets, as the kernel's tables have them.
const (
	connected = "01"
	listening = "0A"
)

// sockets calls each with the TCP sockets in a state, of either family, in the namespace
// of the caller's thread. Addresses are as in the tables, in hexadecimal. The kernel lists
// a socket more than once when others come and go meanwhile.
func sockets(state string, each func(local, remote, inode string)) error {
	seen := make(map[[2]string]bool)
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + table)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
			if f := strings.Fields(line); len(f) > 9 && f[3] == state && !seen[[2]string(f[1:3])] {
				seen[[2]string(f[1:3])] = true
				each(f[1], f[2], f[9])
			}
		}
	}
	return nil
}

// established counts the connections to a port, at all addresses.
func established(port int) (count int, err error) {
	end := fmt.Sprintf(":%04X", port)
	err = sockets(connected, func(local, _, _ string) {
		if strings.HasSuffix(local, end) {
			count++
		}
	})
	return count, err
}

// watchSockets holds, until the test ends, that no node has more connections than most,
// as seen from its own side.
func watchSockets(t testing.TB, most int, nodes ...*node) {
	for _, n := range nodes {
		watch(t, n.address(), most, func(see func(count func() (int, error)) error) error {
			return inNamespace(n.namespace, func() error {
				return see(func() (int, error) { return established(n.port) })
			})
		})
	}
}

// watchConnections is watchSockets for who counts himself. It returns what tells the
// most there have been.
func watchConnections(t testing.TB, address string, most int, count func() (int, error)) (peak *atomic.Int64) {
	return watch(t, address, most, func(see func(count func() (int, error)) error) error { return see(count) })
}

// watch looks at a number of connections again and again, in the place where run does
// what it is given.
func watch(t testing.TB, address string, most int, run func(see func(count func() (int, error)) error) error) (peak *atomic.Int64) {
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	peak = new(atomic.Int64)
	watching.Go(func() {
		err := run(func(count func() (int, error)) error {
			tick := time.NewTicker(glance)
			defer tick.Stop()
			for above := 0; above < 2; { // one that has just ended may be counted once
				found, err := count()
				if err != nil {
					return err
				}
				peak.Store(max(peak.Load(), int64(found)))
				if above++; found <= most {
					above = 0
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return nil
				}
			}
			return fmt.Errorf("it had %d connections, want %d at most", peak.Load(), most)
		})
		if err != nil {
			t.Errorf("%s: %v", address, err)
		}
	})
	t.Cleanup(func() {
		stop()
		watching.Wait()
		if peak.Load() == 0 {
			t.Errorf("%s: no connection was ever seen: this tests nothing", address)
		}
	})
	return peak
}
