// Command qdrant-sidecar is a transparent gRPC proxy in front of Qdrant.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"google.golang.org/grpc/grpclog"
)

// version is set by the linker.
var version = "dev"

// Exit codes. A wrong configuration is told from a failure to start, since only
// the second can go away by itself; 64 is EX_USAGE of sysexits.h.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 64
)

func main() {
	// What grpc-go has to say it says in errors as well; its own log would put
	// plain text between our JSON lines.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	tuneRuntime(os.Getenv)
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// command is what the first argument can name.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, inv invocation) int
	// operand is what the command takes besides flags: "NAME", or "[NAME]" where that
	// may be left out; "" for nothing.
	operand string
}

func commands() []command {
	return []command{
		{name: "serve", summary: "forward calls until SIGTERM (the default)", run: serve},
		{name: "demo", summary: "show an unmodified SDK at work on real data, then keep serving", run: runDemo},
		{name: "probe", summary: "ask the running sidecar whether it is ready; exit 0 when it is", run: probe},
		{name: "pause", summary: "have calls wait instead of going to Qdrant, for planned work", run: pause},
		{name: "resume", summary: "let them go on", run: resume},
		{name: "drain", operand: "ENDPOINT", summary: "take a node of Qdrant out without losing a call: drain ENDPOINT", run: drain},
		{name: "undrain", operand: "ENDPOINT", summary: "bring it back: undrain ENDPOINT", run: undrain},
		{name: "reconnect", operand: "[ENDPOINT]", summary: "replace the connections one by one: reconnect [ENDPOINT]", run: reconnect},
		{name: "top", summary: "is it Qdrant, the network, or the app? and how calls go, live", run: runTop},
		{name: "tap", summary: "show calls as they pass", run: runTap},
		{name: "pool", summary: "show the nodes of Qdrant and the connections to them", run: showPool},
		{name: "breakers", summary: "show the circuit breakers", run: showBreakers},
		{name: "info", summary: "show what is running, where it listens, and its settings", run: showInfo},
		{name: "doctor", summary: "try the way to Qdrant step by step; exit 1 when one fails", run: runDoctor},
		{name: "check-config", summary: "report all problems of the configuration, or print it", run: checkConfig},
		{name: "version", summary: "print the version", run: printVersion},
	}
}

// invocation is one use of the program: all that it takes from its process.
type invocation struct {
	command command
	args    []string // after the command's name, operand included
	getenv  func(string) string
	stdout  io.Writer
	stderr  io.Writer
}

// run is the program. Cancelling ctx is the same as SIGTERM.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	inv := invocation{command: commands()[0], args: args, getenv: getenv, stdout: stdout, stderr: stderr}
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		if args[0] == "help" {
			printHelp(stdout)
			return exitOK
		}
		found := false
		for _, c := range commands() {
			if c.name == args[0] {
				inv.command, inv.args, found = c, args[1:], true
			}
		}
		if !found {
			fmt.Fprintf(stderr, "qdrant-sidecar: there is no command %q; see qdrant-sidecar --help.\n", args[0])
			return exitUsage
		}
	}
	return inv.command.run(ctx, inv)
}

func printVersion(_ context.Context, inv invocation) int {
	fmt.Fprintf(inv.stdout, "qdrant-sidecar %s\n", version)
	return exitOK
}

// commit returns the commit that was built, as the toolchain recorded it; ""
// when it did not.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var revision, suffix string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			suffix = "-dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + suffix
}
