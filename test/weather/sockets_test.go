package weather_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
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

// watchSockets looks from the nodes' side at how many connections there are, until the
// test ends, and fails it if there are ever more than most to one of them. It returns
// what tells the most there have been at one node.
func watchSockets(t *testing.T, most int, nodes ...*node) (peak func() int) {
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	var mu sync.Mutex
	highest := 0
	for _, n := range nodes {
		watching.Go(func() {
			err := inNamespace(n.namespace, func() error {
				tick := time.NewTicker(glance)
				defer tick.Stop()
				for {
					found, err := established(n.port)
					if err != nil {
						return err
					}
					mu.Lock()
					highest = max(highest, found)
					mu.Unlock()
					if found > most {
						return fmt.Errorf("it has %d connections, want %d at most", found, most)
					}
					select {
					case <-tick.C:
					case <-ctx.Done():
						return nil
					}
				}
			})
			if err != nil {
				t.Errorf("%s: %v", n.address(), err)
			}
		})
	}
	peak = func() int {
		mu.Lock()
		defer mu.Unlock()
		return highest
	}
	t.Cleanup(func() {
		stop()
		watching.Wait()
		if peak() == 0 {
			t.Error("no connection was ever seen: this tests nothing")
		}
	})
	return peak
}
