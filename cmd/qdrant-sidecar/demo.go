package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/demo"
)

const demoOnceHelp = "End after the show instead of serving on."

// runDemo is the command: a whole sidecar, and a show that uses it as any SDK
// user would.
func runDemo(ctx context.Context, inv invocation) int {
	var once bool
	inv.getenv = withDefault(inv.getenv, "QDRANT_URL", "memory://")
	// The show is for people; what the sidecar logs in passing would spoil it.
	inv.getenv = withDefault(inv.getenv, "QDRANT_LOG_LEVEL", "warn")
	c, code, ok := configure(inv, func(set *flag.FlagSet) { set.BoolVar(&once, "once", false, demoOnceHelp) })
	if !ok {
		return code
	}
	// The SDK warns through the default logger of what its errors say as well.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ctx, signals := shutdownSignals(ctx)
	defer signals.stop()
	s, err := start(inv, c)
	if err != nil {
		fmt.Fprintf(inv.stderr, "qdrant-sidecar: %v.\n", err)
		return exitFailure
	}
	defer s.stop(signals.second)
	if err := s.show(ctx, inv, once); err != nil {
		fmt.Fprintf(inv.stderr, "qdrant-sidecar: %v.\n", err)
		return exitFailure
	}
	return exitOK
}

// show plays the demo and, unless it is to end at once, keeps serving until ctx
// ends. Its collection is gone afterwards.
func (s *sidecar) show(ctx context.Context, inv invocation, once bool) (err error) {
	data := s.listenersOf(adminv1.Listener_ROLE_DATA)[0]
	if data.Addr().Network() != "tcp" {
		return fmt.Errorf("the demo needs a host:port as its first --listen, not %s", data.Address())
	}
	conf := demo.Config{
		Address: data.Address(),
		Out:     inv.stdout,
		Color:   isTerminal(inv.stdout) && inv.getenv("NO_COLOR") == "",
		Keep:    !once,
	}
	if metrics := s.listenersOf(adminv1.Listener_ROLE_METRICS); len(metrics) > 0 {
		conf.MetricsURL = "http://" + address{"tcp", metrics[0].Address()}.dialable() + "/metrics"
	}
	if once {
		return demo.Show(ctx, conf)
	}
	defer func() {
		// Also after a show that failed or was interrupted; but then nobody needs
		// to hear twice that Qdrant cannot be reached.
		if removal := demo.Remove(context.WithoutCancel(ctx), conf); err == nil {
			err = removal
		}
	}()
	if err := demo.Show(ctx, conf); err != nil {
		return err
	}
	fmt.Fprintf(inv.stdout, "\nServing on %s until Ctrl-C.\n", data.Address())
	select {
	case <-ctx.Done():
	case err := <-s.broken:
		return err
	}
	return nil
}

// withDefault answers for a variable that is not set.
func withDefault(getenv func(string) string, name, value string) func(string) string {
	return func(asked string) string {
		if v := getenv(asked); v != "" || asked != name {
			return v
		}
		return value
	}
}

// isTerminal reports whether w is one.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
