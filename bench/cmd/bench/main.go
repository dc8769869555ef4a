// Command bench measures the sidecar beside HAProxy, nginx, Envoy and a proxy
// made of grpc-go, all on this machine and on loopback. Run it in its module:
//
//	go run ./cmd/bench [-targets …] [-cells …] [-rounds N] [-o FILE]
//	go run ./cmd/bench smoke [-max-allocs N]
//
// The first prints tables, and writes them to FILE as Markdown. The second takes
// seconds, measures no time, and fails when a call through the sidecar allocates
// more than it may.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	command, args := compare, os.Args[1:]
	if len(args) > 0 && args[0] == "smoke" {
		command, args = smoke, args[1:]
	}
	if err := command(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}

// raiseFiles lets this process and what it starts have as many connections as
// the system allows. Set explicitly, the limit is also that of the children.
func raiseFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

var errUnknown = errors.New("unknown name")

// choose returns the items whose names are listed, in their own order; all of
// them when the list is empty.
func choose[T any](items []T, name func(T) string, list []string) ([]T, error) {
	if len(list) == 0 {
		return items, nil
	}
	wanted := map[string]bool{}
	for _, n := range list {
		wanted[n] = true
	}
	var chosen []T
	for _, item := range items {
		if n := name(item); wanted[n] {
			chosen = append(chosen, item)
			delete(wanted, n)
		}
	}
	for n := range wanted {
		return nil, fmt.Errorf("%w %q", errUnknown, n)
	}
	return chosen, nil
}
