package weather_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// established counts the connections to a port that are established, of either family,
// in the namespace of the caller's thread.
func established(port int) (count int, err error) {
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + table)
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			// sl local_address rem_address st …, the addresses in hexadecimal
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != "01" {
				continue
			}
			_, local, _ := strings.Cut(f[1], ":")
			if n, err := strconv.ParseUint(local, 16, 16); err == nil && int(n) == port {
				count++
			}
		}
	}
	return count, nil
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
func watchConnections(t testing.TB, address string, most int, count func() int) (peak *atomic.Int64) {
	return watch(t, address, most, func(see func(count func() (int, error)) error) error {
		return see(func() (int, error) { return count(), nil })
	})
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
