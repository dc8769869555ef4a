package rest_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/rest"
)

// nodes are a cluster: each is a gRPC server that is well, and a REST API that does as it is told.
func nodes(t *testing.T, rests ...*upstream) (*pool.Pool, func(*rest.Config)) {
	t.Helper()
	conf := pool.Config{Size: 1, Logger: slog.New(slog.DiscardHandler)}
	by := map[string]pool.Endpoint{}
	for i, u := range rests {
		lis := bufconn.Listen(1 << 10)
		server := grpc.NewServer()
		go server.Serve(lis)
		t.Cleanup(server.Stop)
		address := "node" + itoa(i) + ":6334"
		conf.Endpoints = append(conf.Endpoints, pool.Endpoint{Address: address, Dial: func(ctx context.Context) (net.Conn, error) { return lis.DialContext(ctx) }})
		by[address] = pool.Endpoint{Address: u.address()}
	}
	p := pool.New(conf)
	t.Cleanup(p.Close)
	for _, n := range p.Nodes() {
		tick, late := time.NewTicker(time.Millisecond), time.After(patience)
		for n.Standing() != pool.Good {
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("%s is %v", n.Address(), n.Standing())
			}
		}
		tick.Stop()
	}
	return p, func(c *rest.Config) {
		c.Upstream = pool.Endpoint{}
		c.Nodes = &rest.Nodes{Pool: p, Upstream: func(address string) pool.Endpoint { return by[address] }}
	}
}

// client is one connection of a client's.
type client struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
}

func connect(t *testing.T, address string) client {
	conn, reader := dial(t, address, "")
	t.Cleanup(func() { conn.Close() })
	return client{t, conn, reader}
}

func (c client) ask(method, path string) answer {
	c.t.Helper()
	body := ""
	if method != http.MethodGet {
		body = "{}"
	}
	if _, err := io.WriteString(c.conn, plain(method, path, body)); err != nil {
		c.t.Fatal(err)
	}
	return readAnswer(c.t, c.reader, method)
}

// TestClientsStayWithANode: what comes over one connection goes to one node, and connections spread.
func TestClientsStayWithANode(t *testing.T) {
	t.Parallel()
	a, b := newUpstream(t, always(reply(200, "a"))), newUpstream(t, always(reply(200, "b")))
	_, clustered := nodes(t, a, b)
	r := newRig(t, "", clustered)
	at := map[string]int{}
	for range 8 {
		c := connect(t, r.addr)
		home := c.ask("GET", "/collections").body
		at[home]++
		for range 5 {
			if got := c.ask("POST", query).body; got != home {
				t.Errorf("a client went from %s to %s", home, got)
			}
		}
	}
	if len(at) != 2 {
		t.Errorf("clients are at %v", at)
	}
}

// TestAnotherNode has a client's node fail.
func TestAnotherNode(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method, path string
		answer       string // of the first node
		down         bool   // it listens no more
		code         int
		moves        bool
	}{
		"nothing listens":              {method: "POST", path: query, down: true, code: 200, moves: true},
		"nothing listens for a write":  {method: "PUT", path: "/collections/c/points", down: true, code: 200, moves: true},
		"a read is lost":               {method: "POST", path: query, code: 200, moves: true},
		"a read is refused":            {method: "POST", path: query, answer: reply(503, "{}"), code: 200, moves: true},
		"a write is lost":              {method: "PUT", path: "/collections/c/points", code: 503},
		"a snapshot is on one node":    {method: "GET", path: "/collections/c/snapshots/x", answer: reply(503, "{}"), code: 503},
		"and so are a node's numbers":  {method: "GET", path: "/metrics", down: true, code: 503},
		"what a caller does wrong":     {method: "POST", path: query, answer: reply(400, "{}"), code: 400},
		"what nobody knows, not there": {method: "POST", path: "/new", down: true, code: 200, moves: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := newUpstream(t, always(tt.answer)), newUpstream(t, always(reply(200, "good")))
			_, clustered := nodes(t, bad, good)
			r := newRig(t, "", clustered)
			if tt.down {
				bad.stop()
			}
			// Clients that are at home at the first node, which local routes always go to.
			hit := 0
			for range 20 {
				before := len(bad.seen())
				got := connect(t, r.addr).ask(tt.method, tt.path)
				if tt.moves && got.code != tt.code {
					t.Errorf("%+v", got)
				}
				if len(bad.seen()) > before {
					hit++
					if got.code != tt.code {
						t.Errorf("%+v, want %d", got, tt.code)
					}
				}
				if local := strings.Contains(tt.path, "snapshots") || tt.path == "/metrics"; local && got.code != tt.code {
					t.Errorf("%+v, want that of the first node", got)
				}
			}
			if hit == 0 && !tt.down {
				t.Error("no client was at the first node")
			}
			if moved := len(good.seen()) > 20-hit; moved != tt.moves && !tt.down {
				t.Errorf("%d requests went to the second node, %d clients to the first", len(good.seen()), hit)
			}
		})
	}
}

// TestFailuresEjectANode: what fails over REST counts for the node, as what fails over gRPC.
func TestFailuresEjectANode(t *testing.T) {
	t.Parallel()
	bad, good := newUpstream(t, always(reply(500, "{}"))), newUpstream(t, always(reply(200, "good")))
	p, clustered := nodes(t, bad, good)
	r := newRig(t, "", clustered)
	var c client
	for len(bad.seen()) == 0 {
		c = connect(t, r.addr)
		c.ask("PUT", "/collections/c/points")
	}
	for range 10 {
		c.ask("PUT", "/collections/c/points")
	}
	if got := p.Nodes()[0].Standing(); got != pool.Ejected {
		t.Errorf("after %d failures the node is %v", len(bad.seen()), got)
	}
	if got := c.ask("PUT", "/collections/c/points"); got.code != 200 {
		t.Errorf("its client is still there: %+v", got)
	}
}

// TestClosedPool is a sidecar that ends.
func TestClosedPool(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always(reply(200, "")))
	p := pool.New(pool.Config{Size: 1, Logger: slog.New(slog.DiscardHandler), Resolver: &pool.Resolver{
		Name: "qdrant", Port: 6334, Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, io.EOF },
	}})
	r := newRig(t, u.address(), func(c *rest.Config) {
		c.Nodes = &rest.Nodes{Pool: p, Upstream: func(string) pool.Endpoint { return pool.Endpoint{Address: u.address()} }}
	})
	p.Close()
	checkOwnError(t, exchange(t, r.addr, plain("GET", "/collections", "")), 503, "")
}
