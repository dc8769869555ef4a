package weather_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// TestAddressReuse gives a node's address to servers that are not Qdrant, as happens to
// the addresses of pods. Nobody must notice.
func TestAddressReuse(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5, checked)
	n := c.nodes[0]
	n.end(syscall.SIGTERM)
	for _, other := range []struct {
		name  string
		serve func(t testing.TB, lis net.Listener) (stop func())
		want  string
	}{
		{"HTTP/1", serveHTTP, "down"},
		{"gRPC", serveGRPC, "sick"},
		{"nothing that is known", serveSilence, "down"},
	} {
		stop := other.serve(c.t, listen(c.t, n.namespace, n.address()))
		c.sidecar.await(returned, n.address(), other.want)
		c.runFor(3 * calm)
		stop()
		c.none("its address serves "+other.name, c.began)
	}
	n.start()
	c.used(n.address(), returned)
	c.end()
	c.none("addresses used again by others", c.began)
	c.settle()
}

func serveHTTP(t testing.TB, lis net.Listener) (stop func()) {
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return func() {
		server.Close()
		serving.Wait()
	}
}

// serveGRPC knows no method at all.
func serveGRPC(t testing.TB, lis net.Listener) (stop func()) {
	server := grpc.NewServer()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(lis); err != nil {
			t.Error(err)
		}
	})
	return func() {
		server.Stop()
		serving.Wait()
	}
}

// serveSilence takes what comes, and says nothing.
func serveSilence(_ testing.TB, lis net.Listener) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return // it was closed
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			serving.Go(func() { io.Copy(io.Discard, conn) })
		}
	})
	return func() {
		cancel()
		lis.Close()
		serving.Wait()
	}
}
