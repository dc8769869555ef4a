// Package target knows the proxies that are compared: how each is found,
// configured and started. All are tuned for small unary gRPC calls by what their
// manuals offer: no access log, kept upstream connections, 1 MiB windows, no
// limit on calls that the load could meet, and as many threads as the cell says.
package target

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Setup is what a proxy is started with.
type Setup struct {
	// Dir is an empty directory for its files.
	Dir string
	// Program is what Find found.
	Program string
	// Listen, Upstream and Metrics are host:port. Metrics may be unused.
	Listen, Upstream, Metrics string
	// Threads is how many may do the work.
	Threads int
}

// Command is what to run. Files are written to Setup.Dir first.
type Command struct {
	Args  []string
	Env   []string
	Files map[string]string
}

// Target is a proxy.
type Target struct {
	Name string
	// Cell is the only one in which it takes part; "" is all of them.
	Cell string
	// Find returns the program, or "" when it is not installed.
	Find func() string
	// Install is the line that installs it.
	Install string
	// Version are the arguments that make the program print its version.
	Version []string
	Command func(Setup) Command
}

// Names that reports look for.
const (
	HAProxy = "haproxy" // the others are compared with it
	Envoy   = "envoy"
	Nginx   = "nginx"
	Sidecar = "sidecar"
	// Forwarder is the sidecar without its policy.
	Forwarder = "forwarder"
)

// All returns the proxies in the order of reports. The programs sidecar and
// grpcproxy are built by the caller; envoy is where it may be, beside PATH.
func All(sidecar, grpcproxy, envoy string) []Target {
	return []Target{
		haproxy(), nginx(), envoyProxy(envoy), grpcProxy(grpcproxy), sidecarProxy(sidecar), forwarder(sidecar),
	}
}

// find returns the first program that exists.
func find(candidates ...string) func() string {
	return func() string {
		for _, name := range candidates {
			if name == "" {
				continue
			}
			if path, err := exec.LookPath(name); err == nil {
				if absolute, err := filepath.Abs(path); err == nil {
					return absolute
				}
			}
		}
		return ""
	}
}

// PrintVersion returns the first line that the program says of its version.
func (t Target) PrintVersion(program string) string {
	if len(t.Version) == 0 {
		return "built from this tree"
	}
	cmd := exec.Command(program, t.Version...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil && line == "" {
		return err.Error()
	}
	return strings.TrimSpace(strings.TrimPrefix(line, program))
}
