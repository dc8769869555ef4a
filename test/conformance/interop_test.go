package conformance_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"qdrant-sidecar/test/sidecar"
)

// The version is that of our own grpc requirement.
const interop = "google.golang.org/grpc/interop/"

// interopCases are those of gRPC's interop suite that need no credentials.
var interopCases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
	"timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response",
	"status_code_and_message", "special_status_message", "custom_metadata",
	"unimplemented_method", "unimplemented_service",
}

// gRPC's own interop client meets gRPC's own interop server through the sidecar.
func TestInterop(t *testing.T) {
	if testing.Short() {
		t.Skip("gRPC's interop programs take a while to build")
	}
	dir := install(t, interop+"client@v1.85.0", interop+"server@v1.85.0")
	port := freePort(t)
	server := exec.Command(filepath.Join(dir, "server"), "-port", port)
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("log of the interop server:\n%s", &log)
		}
	})
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://127.0.0.1:" + port})
	host, sidecarPort, err := net.SplitHostPort(s.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range interopCases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client := exec.CommandContext(ctx, filepath.Join(dir, "client"),
				"-server_host", host, "-server_port", sidecarPort, "-test_case", name)
			if output, err := client.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// freePort finds a port that is free now.
func freePort(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	_, port, err := net.SplitHostPort(lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// install builds programs from the module proxy, as the Makefile does with its
// tools, or skips the test where that is not possible.
func install(t *testing.T, programs ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	build := exec.CommandContext(ctx, "go", append([]string{"install"}, programs...)...)
	build.Dir = dir // outside of our module
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
	if output, err := build.CombinedOutput(); err != nil {
		t.Skipf("%v cannot be built here, which needs the module proxy: %v\n%s", programs, err, output)
	}
	return dir
}
