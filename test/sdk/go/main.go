// Command go is the scenario of the Go SDK, written as one of its users would write it. The runner in test/sdk starts
// it with the address in SDK_TARGET and reads a JSON line for each step from its standard output.
package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

const (
	items = "sdk-items" // 10,000 points of one vector
	named = "sdk-named" // three points of several vectors
	ghost = "sdk-ghost" // never exists

	dimensions = 32
	points     = 10_000
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	host, portText, err := net.SplitHostPort(os.Getenv("SDK_TARGET"))
	if err != nil {
		return fmt.Errorf("SDK_TARGET: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("SDK_TARGET: %w", err)
	}
	idle, err := time.ParseDuration(cmp.Or(os.Getenv("SDK_IDLE_SECONDS"), "2") + "s")
	if err != nil {
		return fmt.Errorf("SDK_IDLE_SECONDS: %w", err)
	}
	client, err := qdrant.NewClient(&qdrant.Config{Host: host, Port: port})
	if err != nil {
		return err
	}
	defer client.Close()

	s, err := newScenario(ctx, client, os.Stdout)
	if err != nil {
		return err
	}
	if os.Getenv("SDK_MODE") == "attempts" {
		s.attempts()
		return nil
	}
	s.clear()
	s.schema()
	s.load()
	s.queries()
	s.moreQueries()
	s.scrolls()
	s.payloads()
	s.vectors()
	s.batches()
	s.aliases()
	s.snapshots()
	s.mistakes()
	s.parallel()
	s.patience(idle)
	s.farewell()
	return nil
}

// version is the SDK's, as it is linked into this program.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/qdrant/go-client" {
			return module.Version
		}
	}
	return "unknown"
}
