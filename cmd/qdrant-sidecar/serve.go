package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// serve is the command.
func serve(ctx context.Context, inv invocation) int {
	// First of all, for it would end the process otherwise.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	c, code, ok := configure(inv, nil)
	if !ok {
		return code
	}
	ctx, signals := shutdownSignals(ctx)
	defer signals.stop()

	s, err := start(inv, c)
	if err != nil {
		fmt.Fprintf(inv.stderr, "qdrant-sidecar: %v.\n", err)
		return exitFailure
	}
	s.serving.Go(func() { s.reloadAsNeeded(ctx, inv, hangups) })
	select {
	case <-ctx.Done():
	case err = <-s.broken:
		s.log.Error("a listener broke down", "error", err)
	}
	signals.endFirst()
	s.stop(signals.second)
	if err != nil {
		return exitFailure
	}
	return exitOK
}

// signals are those that ask the program to end.
type signals struct {
	received chan os.Signal
	// endFirst is as if the first had come.
	endFirst func()
	// second ends when whoever asked has run out of patience.
	second context.Context
	stop   func()
}

// shutdownSignals returns a context that ends with the first SIGTERM or SIGINT,
// or with ctx.
func shutdownSignals(ctx context.Context) (context.Context, *signals) {
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGTERM, os.Interrupt)
	first, endFirst := context.WithCancel(ctx)
	second, endSecond := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for _, end := range []func(){endFirst, func() { endSecond(errSecondSignal) }} {
			select {
			case <-received:
				end()
			case <-done:
				return
			}
		}
	}()
	return first, &signals{received, endFirst, second, func() {
		signal.Stop(received)
		close(done)
		<-finished
		endFirst()
		endSecond(nil)
	}}
}

var (
	errSecondSignal = errors.New("a second signal asked for it")
	errDrainTimeout = errors.New("the drain timeout passed")
)
