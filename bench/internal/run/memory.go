package run

import (
	"context"
	"fmt"
	"time"

	"qdrant-sidecar/bench/internal/load"
	"qdrant-sidecar/bench/internal/process"
)

const (
	// settle is how long a proxy has to come to rest before its memory is read.
	settle = 2 * time.Second
	// sample is how often memory is read while calls are in flight.
	sample = 50 * time.Millisecond
	// manyWarmup and manyWindow hold all calls in flight for some answers each.
	manyWarmup = 2 * time.Second
	manyWindow = 4 * time.Second
	// touches is how many calls a proxy has served before its base is read: what it
	// sets up once is not the price of a connection.
	touches = 200
)

// memories fills a table about memory, a target after the other and once each:
// memory does not depend on what else the machine does. They stay until the end,
// so that the time in which they may give memory back is waited for once.
func (r *Runner) memories(ctx context.Context, table *Table, dir, upstream string) error {
	table.Rows = make([]Row, len(r.Targets))
	proxies := make([]*proxy, len(r.Targets))
	for i, t := range r.Targets {
		row := &table.Rows[i]
		row.Target = t.Name
		p, err := r.start(ctx, t, table.Cell, dir, upstream)
		if err == nil {
			defer p.stop()
			proxies[i] = p
			row.Memory, err = memory(ctx, p, table.Cell)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			row.Failure = err.Error()
		}
		fmt.Fprintf(r.Progress, "%s: %s done\n", table.Cell.Name, t.Name)
	}
	if err := load.Wait(ctx, table.Cell.Release); err != nil {
		return err
	}
	for i := range table.Rows {
		row := &table.Rows[i]
		if row.Failure != "" {
			continue
		}
		var err error
		if row.Memory.After, err = process.RSS(proxies[i].pids); err != nil {
			row.Failure = err.Error()
		}
	}
	return nil
}

func memory(ctx context.Context, p *proxy, c Cell) (*Memory, error) {
	touch := c.plan(p.addr, 0, 0)
	touch.Conns = conns
	held, err := load.Hold(ctx, touch)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	for range touches / conns {
		if c.Delay > 0 {
			break // readiness was the first call; more would take minutes
		}
		if err := held.CallEach(ctx); err != nil {
			return nil, err
		}
	}
	m := new(Memory)
	if m.Base, err = rest(ctx, p, settle); err != nil {
		return nil, err
	}
	if c.Kind == Idle {
		err = m.idle(ctx, p, c)
	} else {
		err = m.many(ctx, p, c)
	}
	return m, err
}

// rest waits and returns the memory then.
func rest(ctx context.Context, p *proxy, d time.Duration) (int64, error) {
	if err := load.Wait(ctx, d); err != nil {
		return 0, err
	}
	return process.RSS(p.pids)
}

func (m *Memory) idle(ctx context.Context, p *proxy, c Cell) error {
	held, err := load.Hold(ctx, c.plan(p.addr, 0, 0))
	if err != nil {
		return err
	}
	defer held.Close()
	if m.Opened, err = rest(ctx, p, settle); err != nil {
		return err
	}
	if err := held.CallEach(ctx); err != nil {
		return err
	}
	m.Peak, err = rest(ctx, p, settle)
	return err
}

func (m *Memory) many(ctx context.Context, p *proxy, c Cell) error {
	watch, cancel := context.WithCancel(ctx)
	peak := make(chan int64)
	go func() {
		var most int64
		for {
			now, err := rest(watch, p, sample)
			if err != nil { // the end, or a proxy that is gone, which the load notices
				break
			}
			most = max(most, now)
		}
		peak <- most
	}()
	result, err := load.Run(ctx, c.plan(p.addr, manyWarmup, manyWindow))
	cancel()
	m.Peak = <-peak
	if err == nil && result.Failed > 0 {
		err = fmt.Errorf("%d calls failed: %s", result.Failed, result.Why)
	}
	m.Rate = result.Rate()
	return err
}
