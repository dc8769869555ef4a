package run

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"qdrant-sidecar/bench/internal/load"
	"qdrant-sidecar/bench/internal/process"
	"qdrant-sidecar/bench/internal/target"
)

// Runner measures cells.
type Runner struct {
	// Targets that are installed.
	Targets []target.Target
	// Upstream is the program cmd/upstream.
	Upstream string
	// Dir is where programs leave their files.
	Dir string
	// Rounds, and how long each warms up and measures a target.
	Rounds         int
	Warmup, Window time.Duration
	// Progress gets a line now and then.
	Progress io.Writer
}

// startTime bounds how long a program may take until it answers a call.
const startTime = 15 * time.Second

// proxy is a target that runs, or Direct, which has no process.
type proxy struct {
	name    string
	addr    string
	metrics string
	process *process.Process
	pids    []int
}

func (p *proxy) stop() {
	if p.process != nil {
		p.process.Stop()
	}
}

// Measure runs a cell. Targets that fail are rows that say so; the error is
// about the harness itself.
func (r *Runner) Measure(ctx context.Context, c Cell) (Table, error) {
	dir, err := os.MkdirTemp(r.Dir, c.Name+"-")
	if err != nil {
		return Table{}, err
	}
	up, upstream, err := r.startUpstream(ctx, dir, c)
	if err != nil {
		return Table{}, err
	}
	defer up.Stop()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.endThreads()))
	table := Table{Cell: c}
	own := *r
	own.Targets = slices.DeleteFunc(slices.Clone(r.Targets), func(t target.Target) bool {
		return t.Cell != "" && t.Cell != c.Name
	})
	switch c.Kind {
	case Idle, Many:
		err = own.memories(ctx, &table, dir, upstream)
	default:
		err = own.rounds(ctx, &table, dir, upstream)
	}
	return table, err
}

func (r *Runner) startUpstream(ctx context.Context, dir string, c Cell) (*process.Process, string, error) {
	up, err := process.Start(process.Spec{
		Name: "upstream", Dir: dir, Env: []string{"GOMAXPROCS=" + strconv.Itoa(c.endThreads())},
		Args: []string{r.Upstream, "-answer", strconv.Itoa(c.Answer), "-delay", c.Delay.String()},
	})
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	addr, err := up.FirstLine(ctx)
	if err != nil {
		up.Stop()
		return nil, "", err
	}
	return up, addr, nil
}

// start starts a target and waits until it answers a call of the cell's path.
func (r *Runner) start(ctx context.Context, t target.Target, c Cell, dir, upstream string) (*proxy, error) {
	p := &proxy{name: t.Name}
	var err error
	if p.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	if p.metrics, err = freeAddress(); err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, t.Name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	command := t.Command(target.Setup{
		Dir: dir, Program: t.Find(), Listen: p.addr, Upstream: upstream, Metrics: p.metrics, Threads: c.Threads,
	})
	for name, content := range command.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	p.process, err = process.Start(process.Spec{Name: t.Name, Args: command.Args, Env: command.Env, Dir: dir})
	if err != nil {
		return nil, err
	}
	if err = r.ready(ctx, p, c); err == nil {
		p.pids, err = p.process.Members()
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (r *Runner) ready(ctx context.Context, p *proxy, c Cell) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	plan := c.plan(p.addr, 0, 0)
	plan.Request = load.SearchRequest()
	for {
		err := load.Try(ctx, plan)
		if err == nil {
			return nil
		}
		if ended := p.process.Err(); ended != nil {
			return ended
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s answers no call: %w", p.name, err)
		}
		_ = load.Wait(ctx, 20*time.Millisecond) // the loop looks at ctx
	}
}

// freeAddress returns a loopback address that nobody listens on now.
func freeAddress() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer lis.Close()
	return lis.Addr().String(), nil
}

// rounds fills a table by alternation: in each round every target in turn, each
// round beginning with another one, so that a state of the machine that lasts for
// seconds falls on all of them.
func (r *Runner) rounds(ctx context.Context, table *Table, dir, upstream string) error {
	proxies := []*proxy{{name: Direct, addr: upstream}}
	table.Rows = []Row{{Target: Direct}}
	for _, t := range r.Targets {
		p, err := r.start(ctx, t, table.Cell, dir, upstream)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		row := Row{Target: t.Name}
		if err != nil {
			row.Failure = err.Error()
		} else {
			defer p.stop()
		}
		proxies, table.Rows = append(proxies, p), append(table.Rows, row)
	}
	for round := range r.Rounds {
		for i := range proxies {
			n := (i + round) % len(proxies)
			row := &table.Rows[n]
			if row.Failure != "" {
				continue
			}
			measured, err := r.round(ctx, proxies[n], table.Cell)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				row.Failure = err.Error()
				continue
			}
			row.Rounds = append(row.Rounds, measured)
		}
		fmt.Fprintf(r.Progress, "%s: round %d of %d\n", table.Cell.Name, round+1, r.Rounds)
	}
	return nil
}

func (r *Runner) round(ctx context.Context, p *proxy, c Cell) (Round, error) {
	plan := c.plan(p.addr, r.Warmup, r.Window)
	var used []time.Duration
	var failed error
	plan.Edge = func() {
		cpu, err := process.CPU(p.pids)
		if err != nil {
			failed = err
		}
		used = append(used, cpu)
	}
	result, err := load.Run(ctx, plan)
	switch {
	case err != nil:
		return Round{}, err
	case failed != nil:
		return Round{}, failed
	case result.Failed > 0:
		return Round{}, fmt.Errorf("%d calls failed: %s", result.Failed, result.Why)
	case result.Calls == 0:
		return Round{}, fmt.Errorf("no call ended within %v", plan.Window)
	}
	return Round{
		Calls: result.Calls, Rate: result.Rate(),
		MB:  result.Rate() * float64(c.payload()) / 1e6,
		CPU: (used[1] - used[0]) / time.Duration(result.Calls),
		P50: result.Quantile(0.5), P99: result.Quantile(0.99),
	}, nil
}
