package sidecar

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// binary builds the program on its first use and returns its path; plain does
// without the race detector, for tests that measure. They are package variables
// because "once a test process" is their meaning.
var (
	binary = sync.OnceValues(func() (string, error) { return buildTo(binaryPath(), "-race") })
	plain  = sync.OnceValues(func() (string, error) { return buildTo(binaryPath() + "-plain") })
)

func buildTo(path string, flags ...string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	arguments := append([]string{"build", "-o", path}, flags...)
	build := exec.Command("go", append(arguments, "./cmd/qdrant-sidecar")...)
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the sidecar: %w\n%s", err, output)
	}
	return path, nil
}

// Binary returns the path of the built program, for tests that run it in ways
// that Start does not know. It is built once a test process.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// PlainBinary is Binary without the race detector, for processes that are there to
// be talked to.
func PlainBinary(t testing.TB) string {
	t.Helper()
	path, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// binaryPath is a name of this process's own, known without state, so that Main
// can remove what binary may have made.
func binaryPath() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("qdrant-sidecar-test-%d", os.Getpid()), "qdrant-sidecar")
}

// moduleRoot is where go.mod is, whatever directory the test runs in.
func moduleRoot() (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module root: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(mod))), nil
}

// Main runs the tests of a package, removes the binary, and fails when a
// goroutine is left.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(filepath.Dir(binaryPath())); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}))
}
