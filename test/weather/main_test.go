// Package weather_test runs the built binary before a cluster whose network and
// processes fail: cables are pulled, packets are lost, nodes hang, die and come back
// under load, and DNS lies.
//
// Most of it happens in network namespaces that the tests make and remove, which takes
// root on Linux, ip and nft; without them those tests are skipped. The others put a
// relay before each node, and run against the nodes that QDRANT_E2E_URL lists
// (http://a:6334,http://b:6334) instead of own processes.
package weather_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"qdrant-sidecar/test/sidecar"
)

func TestMain(m *testing.M) {
	sweep()
	flag.Parse()
	// They wait, and hardly compute: as many at once as there are cores would take long.
	if err := flag.Set("test.parallel", "3"); err != nil {
		panic(err)
	}
	sidecar.Main(m)
}

const (
	// patience bounds every wait for something that must happen, where no promise is
	// sharper.
	patience = 30 * time.Second
	// glance is the time between looks at what costs little, and look at what a process
	// has to be asked for.
	glance, look = 20 * time.Millisecond, 50 * time.Millisecond
	// clockwork is what a promise about seconds may be late by on a machine that is
	// busy with other tests.
	clockwork = time.Second
)

// standstill counts the time in which the machine let this process do nothing, which no
// promise is about: it is how late a tick was that should have come every few
// milliseconds. It counts until end is called.
func standstill() (lost *atomic.Int64, end func()) {
	lost = new(atomic.Int64)
	const pause = 5 * time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	var counting sync.WaitGroup
	counting.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			now := time.Now()
			if late := now.Sub(last) - 2*pause; late > 0 {
				lost.Add(int64(late))
			}
			last = now
		}
	})
	return lost, func() {
		stop()
		counting.Wait()
	}
}

// within asks again and again until check is content, and returns how long that took.
// It fails the test when that is longer than limit, standstills aside.
func within(t testing.TB, limit time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	tick := time.NewTicker(look)
	defer tick.Stop()
	lost, end := standstill()
	defer end()
	start := time.Now()
	for {
		err := check()
		took := time.Since(start)
		limit := limit + time.Duration(lost.Load())
		switch {
		case err == nil && took > limit+look:
			t.Errorf("%s: only after %v, and not within %v", what, took, limit)
			return took
		case err == nil:
			t.Logf("%s: after %v", what, took.Round(time.Millisecond))
			return took
		case took > limit:
			t.Fatalf("%s: still not so after %v: %v", what, limit, err)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// watched is a sidecar whose view of its nodes is asked for.
type watched struct {
	*sidecar.Sidecar
	t testing.TB
}

// standing returns how the sidecar says that the node at the address stands.
func (s watched) standing(address string) string {
	s.t.Helper()
	text, err := s.Scrape()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, standing := range []string{"good", "ejected", "connecting", "sick", "down"} {
		if strings.Contains(text, fmt.Sprintf("qdrant_sidecar_endpoint{endpoint=%q,standing=%q} 1\n", address, standing)) {
			return standing
		}
	}
	return "gone"
}

// await waits until a node stands as wanted, and returns how long that took.
func (s watched) await(limit time.Duration, address string, wanted ...string) time.Duration {
	s.t.Helper()
	return within(s.t, limit, address+" is "+strings.Join(wanted, " or "), func() error {
		now := s.standing(address)
		if slices.Contains(wanted, now) {
			return nil
		}
		return fmt.Errorf("it is %s", now)
	})
}

// channel is a caller's connection to "host:port" or unix:///path.
func channel(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// sample returns the sum of the samples that begin so in a page of metrics served on a
// socket of the file system.
func sample(t testing.TB, socket string, wanted func(line string) bool) (sum float64) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	answer, err := client.Get("http://node/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if !wanted(line) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += value
	}
	return sum
}
