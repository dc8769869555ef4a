// Command sdk runs the conformance matrix: one scenario, written in the language of each official Qdrant SDK as its
// users write, against Qdrant directly and through the sidecar. What differs is a bug of the sidecar.
//
//	go run ./test/sdk                        Go, Python, JavaScript and curl
//	go run ./test/sdk -sdks all              every SDK whose toolchain is here
//	go run ./test/sdk -sdks go -faults       with the wire failing, too
//
// Its upstream is the embedded Qdrant, or with QDRANT_E2E_URL a real one, as for the tests (package test/live). SDKs come
// from their public registries in the versions that the folders here pin, into .cache/sdk. Run it in the module's root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"qdrant-sidecar/test/live"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	sdks        string
	live        live.Qdrant // one without nodes is the embedded one
	sidecar     string
	output      string
	readme      string
	idle        time.Duration
	slower      bool
	faults      bool
	rate        float64
	seed        uint64
	attempts    bool
	maxAttempts int
	snippets    bool
	verbose     bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("sdk", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.sdks, "sdks", "go,python,js,curl", "comma list of `names`, or all")
	f.StringVar(&o.sidecar, "sidecar", "", "a `binary` to test instead of building one")
	f.StringVar(&o.output, "o", "", "`file` that the matrix is written to, as well as printed")
	f.StringVar(&o.readme, "readme", "README.md", "`file` whose snippets are run")
	f.DurationVar(&o.idle, "idle", 2*time.Second, "how `long` the scenario pauses; a minute is what shows most")
	f.BoolVar(&o.slower, "slower", true, "play the scenario again if steps were slower through the sidecar, to be sure of it")
	f.BoolVar(&o.faults, "faults", false, "also run through the sidecar while connections to Qdrant break")
	f.Float64Var(&o.rate, "rate", 0.05, "the `part` of requests whose connection breaks with -faults")
	f.Uint64Var(&o.seed, "seed", 1, "`number` that decides which requests those are")
	f.BoolVar(&o.attempts, "attempts", true, "count the attempts that reach a Qdrant that always fails")
	f.IntVar(&o.maxAttempts, "max-attempts", 0, "fail above this `number` of attempts a call; 0 is no limit")
	f.BoolVar(&o.snippets, "snippets", true, "run the snippets of -readme through the sidecar")
	f.BoolVar(&o.verbose, "v", false, "print every step")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("no arguments are taken, only flags: %q", f.Args())
	}
	if o.rate <= 0 || o.rate > 1 {
		return o, fmt.Errorf("-rate is %v and must be above 0 and at most 1", o.rate)
	}
	var err error
	o.live, err = live.Named(os.Getenv)
	switch {
	case err != nil:
		return o, err
	case len(o.live.Nodes) > 1:
		return o, fmt.Errorf("%s names a cluster, and the scenarios need a single node", live.URL)
	case o.live.APIKey != "":
		return o, fmt.Errorf("%s is set, and the scenarios have no key to show", live.APIKey)
	}
	return o, nil
}

// run returns the exit code: 1 when anything differed or failed, 2 when nothing could be tried.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "sdk:", err)
		return 2
	}
	cache, err := filepath.Abs(filepath.Join(".cache", "sdk"))
	if err == nil {
		err = os.MkdirAll(cache, 0o755)
	}
	if err != nil {
		fmt.Fprintln(stderr, "sdk:", err)
		return 2
	}
	chosen, err := choose(o.sdks)
	if err != nil {
		fmt.Fprintln(stderr, "sdk:", err)
		return 2
	}
	l := &laboratory{options: o, cache: cache, log: stderr}
	if l.binary = o.sidecar; l.binary == "" {
		if l.binary, err = buildSidecar(ctx, cache); err != nil {
			fmt.Fprintln(stderr, "sdk:", err)
			return 2
		}
	}
	m := l.examine(ctx, chosen)
	report := m.markdown()
	fmt.Fprint(stdout, report)
	if o.output != "" {
		if err := os.WriteFile(o.output, []byte(report), 0o644); err != nil {
			fmt.Fprintln(stderr, "sdk:", err)
			return 2
		}
	}
	return m.verdict(stderr)
}
