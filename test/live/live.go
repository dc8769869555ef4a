// Package live says which Qdrant that really is one the tests may play with.
// Without any they are skipped; everything they hold is then held against
// scripts and the embedded Qdrant only.
//
//	QDRANT_E2E_URL=http://host:6334 go test -p 1 ./test/e2e ./test/transparency
//
// The Qdrant should be empty and nobody else's: tests make collections and
// delete them, and two packages at once would see each other's. The nodes of a
// cluster are a list, as in --url.
package live

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
)

// The variables that name it. Only the first is needed.
const (
	URL     = "QDRANT_E2E_URL"      // gRPC, http://host:6334 or http://a:6334,b:6334
	RESTURL = "QDRANT_E2E_REST_URL" // REST, http://host:6333; by default there
	APIKey  = "QDRANT_E2E_API_KEY"  // what it wants to be shown, if anything
	Restart = "QDRANT_E2E_RESTART"  // "yes": its processes are on this machine, and may be stopped, killed and started again
)

// Qdrant is one, or a cluster.
type Qdrant struct {
	// Nodes are the gRPC addresses, host:port. There is at least one.
	Nodes []string
	// REST is host:port of the first node's REST API.
	REST string
	// APIKey is empty when none is needed.
	APIKey string
}

// URL is the upstream for a sidecar.
func (q Qdrant) URL() string { return "http://" + strings.Join(q.Nodes, ",") }

// Want returns the Qdrant to play with. Without one the test is skipped; one
// that is named wrongly fails it.
func Want(t testing.TB) Qdrant {
	t.Helper()
	q, err := Named(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if len(q.Nodes) == 0 {
		t.Skipf("set %s=http://host:6334 to run this against a real, empty Qdrant", URL)
	}
	return q
}

// WantOne is [Want] for tests that a cluster fails, because it answers by which node
// is asked and where its shards are.
func WantOne(t testing.TB) Qdrant {
	t.Helper()
	q := Want(t)
	if len(q.Nodes) > 1 {
		t.Skipf("%s names a cluster, and this needs a single node", URL)
	}
	return q
}

// WantCluster is [Want] for tests that end the processes of a cluster and start them
// again.
func WantCluster(t testing.TB) Qdrant {
	t.Helper()
	q := Want(t)
	if len(q.Nodes) < 2 || os.Getenv(Restart) != "yes" {
		t.Skipf("%s has to name a cluster, and %s=yes to allow that its processes are stopped, killed and started again", URL, Restart)
	}
	return q
}

// Named reads the variables. Without [URL] there are no nodes.
func Named(getenv func(string) string) (Qdrant, error) {
	value := getenv(URL)
	if value == "" {
		return Qdrant{}, nil
	}
	list, ok := strings.CutPrefix(value, "http://")
	if !ok {
		return Qdrant{}, fmt.Errorf("%s is %q, want http://host:port", URL, value)
	}
	q := Qdrant{Nodes: strings.Split(list, ","), APIKey: getenv(APIKey)}
	for i, node := range q.Nodes {
		node = strings.TrimPrefix(node, "http://")
		q.Nodes[i] = node
		if host, port, err := net.SplitHostPort(node); err != nil || host == "" || port == "" {
			return Qdrant{}, fmt.Errorf("%s is %q, want http://host:port, or more of them behind commas", URL, value)
		}
	}
	host, _, _ := net.SplitHostPort(q.Nodes[0]) // it was one just now
	rest, err := url.Parse(cmp.Or(getenv(RESTURL), "http://"+net.JoinHostPort(host, "6333")))
	if err != nil || rest.Scheme != "http" || rest.Port() == "" || strings.Trim(rest.Path, "/") != "" {
		return Qdrant{}, fmt.Errorf("%s is %q, want http://host:port", RESTURL, getenv(RESTURL))
	}
	q.REST = rest.Host
	return q, nil
}
