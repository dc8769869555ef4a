// Package e2e_test runs the built binary as its users do: through its command
// line, its environment, its ports and its signals, with an unmodified SDK on
// one side and a Qdrant, or what stands in for one, on the other.
package e2e_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/test/sidecar"
)

func TestMain(m *testing.M) { sidecar.Main(m) }

// patience bounds every wait for something that must happen. It is generous:
// race builds share two cores with whatever else is being tested.
const patience = time.Minute

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually asks again and again until check is content.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: still not so after %v: %v", what, patience, err)
		}
	}
}

// receive takes one value from a channel that something must send on or close.
func receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen within %v", what, patience)
		panic("unreachable")
	}
}

// newClient is an SDK as an application makes it, on one connection.
func newClient(t testing.TB, address string, change ...func(*qdrant.Config)) *qdrant.Client {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	config := &qdrant.Config{Host: host, Port: number, PoolSize: 1, SkipCompatibilityCheck: true}
	for _, c := range change {
		c(config)
	}
	client, err := qdrant.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	// Some tests close it themselves.
	t.Cleanup(func() { client.Close() })
	return client
}

// newConn is a bare channel, for what the SDK has no method for; target is as
// grpc-go takes it, "127.0.0.1:6334" or "unix:///path".
func newConn(t testing.TB, target string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// statusOf unwraps what the SDK puts around a status.
func statusOf(err error) *status.Status {
	if err == nil {
		return status.New(0, "")
	}
	if wrapped, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		return wrapped.GRPCStatus()
	}
	return status.Convert(err)
}

// page is an HTTP answer.
type page struct {
	code int
	text string
}

// get asks the metrics listener at host:port or unix:///path for a page.
func get(t testing.TB, address, path string) (page, error) {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if socket, ok := strings.CutPrefix(address, "unix://"); ok {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	request, err := http.NewRequestWithContext(bounded(t), http.MethodGet, "http://sidecar"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return page{answer.StatusCode, string(text)}, err
}

// mustGet is get for a listener that must answer.
func mustGet(t testing.TB, address, path string) page {
	t.Helper()
	p, err := get(t, address, path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return p
}
