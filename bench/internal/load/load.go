// Package load makes gRPC calls on raw frames, for about four microseconds
// each: so many in flight all the time, or so many a second whatever the answers
// do.
package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Plan is one measurement of one address.
type Plan struct {
	Addr string
	// Conns is the number of connections; calls go around.
	Conns int
	// InFlight calls are kept going, each followed by the next. 0: Rate holds.
	InFlight int
	// Rate is calls a second, due at even times. Their latency counts from then.
	Rate int
	// Path and Request (framed) are what is called; Answer is the size that an
	// answer must have, framed.
	Path    string
	Request []byte
	Answer  int
	// Warmup is before Window, the time that counts.
	Warmup, Window time.Duration
	// Calls, if set, ends a closed loop after so many calls instead. Those that are
	// in flight then count too.
	Calls int
	// Edge, if set, is called at the window's begin and end.
	Edge func()
}

// Result is what happened within the window.
type Result struct {
	Calls   int // well answered
	Failed  int // otherwise answered, at any time
	Elapsed time.Duration
	// Latencies of the calls, ascending.
	Latencies []time.Duration
	// Why describes the first failure.
	Why string
}

// Rate is calls a second.
func (r Result) Rate() float64 { return float64(r.Calls) / r.Elapsed.Seconds() }

// Quantile returns the latency that the part q of the calls does not exceed; 0
// without calls.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(int(q*float64(len(r.Latencies))), len(r.Latencies)-1)]
}

var errBroken = errors.New("load: a connection broke")

// drainTime bounds the wait for calls in flight when the window is over.
const drainTime = 15 * time.Second

// phase is what all sessions of a run look at.
type phase struct {
	measuring atomic.Bool
	stopping  atomic.Bool
	// left counts down to the end of a run by number; enough is closed there.
	left   atomic.Int64
	enough chan struct{}
}

func newPhase(calls int) *phase {
	s := &phase{enough: make(chan struct{})}
	s.left.Store(int64(calls))
	// By number every call counts, from the first to the last.
	s.measuring.Store(calls > 0)
	return s
}

// count takes note of a call that ended well.
func (s *phase) count() {
	if s.left.Load() > 0 && s.left.Add(-1) == 0 {
		s.stopping.Store(true)
		close(s.enough)
	}
}

// Run executes a plan.
func Run(ctx context.Context, p Plan) (Result, error) {
	state := newPhase(p.Calls)
	sessions, err := dialAll(ctx, p, state)
	defer closeAll(sessions)
	if err != nil {
		return Result{}, err
	}
	open := make(chan error, 1)
	if p.InFlight > 0 {
		for i := range p.InFlight {
			if err := sessions[i%len(sessions)].begin(time.Now()); err != nil {
				return Result{}, err
			}
		}
		open <- nil
	} else {
		go func() { open <- pace(p.Rate, sessions, state) }()
	}
	result, err := measure(ctx, p, sessions, state)
	state.stopping.Store(true)
	if paced := <-open; err == nil {
		err = paced
	}
	if err == nil {
		err = drain(ctx, sessions)
	}
	collect(&result, sessions)
	return result, err
}

// measure waits for the window and through it.
func measure(ctx context.Context, p Plan, sessions []*session, state *phase) (Result, error) {
	if p.Calls > 0 {
		return Result{}, untilEnough(ctx, sessions, state)
	}
	if err := Wait(ctx, p.Warmup); err != nil {
		return Result{}, err
	}
	edge := func() {
		if p.Edge != nil {
			p.Edge()
		}
	}
	edge()
	begin := time.Now()
	state.measuring.Store(true)
	err := Wait(ctx, p.Window)
	state.measuring.Store(false)
	elapsed := time.Since(begin)
	edge()
	for _, s := range sessions {
		if err == nil && s.ended() {
			err = s.broken()
		}
	}
	return Result{Elapsed: elapsed}, err
}

// untilEnough waits for the calls of a run by number.
func untilEnough(ctx context.Context, sessions []*session, state *phase) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-state.enough:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		alive := 0
		for _, s := range sessions {
			if s.ended() {
				return s.broken()
			}
			alive += s.inFlight()
		}
		select {
		case <-state.enough:
			return nil
		default:
			if alive == 0 {
				return fmt.Errorf("load: every call failed: %s", sessions[0].failure())
			}
		}
	}
}

// drain waits until no call is in flight.
func drain(ctx context.Context, sessions []*session) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for _, s := range sessions {
		for s.inFlight() > 0 {
			if s.ended() {
				return s.broken()
			}
			if err := Wait(ctx, time.Millisecond); err != nil {
				return fmt.Errorf("load: calls without an answer: %w", err)
			}
		}
	}
	return nil
}

func collect(r *Result, sessions []*session) {
	for _, s := range sessions {
		s.wire.Lock()
		r.Latencies = append(r.Latencies, s.samples...)
		r.Failed += s.failed
		if r.Why == "" {
			r.Why = s.why
		}
		s.wire.Unlock()
	}
	r.Calls = len(r.Latencies)
	slices.Sort(r.Latencies)
}

// Wait waits, or returns the error of ctx.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// dialAll connects as often as the plan says. It returns what it has on errors.
func dialAll(ctx context.Context, p Plan, state *phase) ([]*session, error) {
	var sessions []*session
	for range p.Conns {
		s, err := dial(ctx, p, state)
		if err != nil {
			return sessions, err
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

func closeAll(sessions []*session) {
	for _, s := range sessions {
		s.close()
	}
}
