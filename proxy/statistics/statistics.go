// Package statistics tells how calls have gone lately. Nothing is counted for it:
// it looks at what the metrics page would show, now and again, and tells the
// difference.
package statistics

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/tap"
	"qdrant-sidecar/resilience"
)

const (
	// interval is the time between two looks. What was seen is kept for as long as the
	// longest window, because it may be much: each has a histogram for every method and
	// collection. What it came to is little, and kept for five minutes.
	interval  = 5 * time.Second
	keptLooks = int(MaxWindow / interval)
	keptPast  = int(5 * time.Minute / interval)
	// MaxWindow is the longest.
	MaxWindow = time.Minute
	// DefaultWindow is how long one is where nobody says.
	DefaultWindow = 10 * time.Second
	// fresh is how old a look may be to do for another one who asks.
	fresh = 100 * time.Millisecond
)

// Source is where a [Recorder] looks. All of it is called concurrently.
type Source struct {
	// Gather returns what the metrics page shows.
	Gather func() ([]*dto.MetricFamily, error)
	Pool   func() pool.State
	// Queue and Budget return false while there is none.
	Queue  func() (resilience.AdmissionState, bool)
	Budget func() (resilience.BudgetState, bool)
	// Breakers are by node.
	Breakers func() map[string][]resilience.Status
	// Failures are the last ones, the newest first.
	Failures func() []tap.Call
	InFlight func() int
	Draining func() bool
	// PausedSince is when calls were paused, zero while they are not.
	PausedSince func() time.Time
	// Ready returns why the sidecar is not.
	Ready func() error
}

// Recorder remembers what had been counted. Its methods may be called concurrently.
type Recorder struct {
	source Source

	mu sync.Mutex
	// Both are in their order, the oldest first, and what is in them does not change.
	samples []*sample
	past    []*adminv1.Statistics // each between two looks
	newest  *sample
}

// NewRecorder returns one that knows of nothing before now.
func NewRecorder(source Source) *Recorder {
	// At the start there was nothing.
	first := &sample{at: time.Now()}
	return &Recorder{source: source, samples: []*sample{first}}
}

// Run looks now and again until ctx ends, and each time tells what was in the
// [DefaultWindow], without findings.
func (r *Recorder) Run(ctx context.Context, tell func(*adminv1.Statistics)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if s, err := r.look(); err == nil { // otherwise the next one has it
				r.keep(s)
				tell(r.window(s, DefaultWindow))
			}
		case <-ctx.Done():
			return
		}
	}
}

// keep remembers a look, and what has changed since the one before.
func (r *Recorder) keep(s *sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := between(r.samples[len(r.samples)-1], s)
	since.Collections, since.RestRoutes = nil, nil
	r.past = lastOf(r.past, since, keptPast)
	r.samples = lastOf(r.samples, s, keptLooks+1)
}

// lastOf returns a list with one more at its end, and so many at most. Whoever has the
// list of before may go on to read it.
func lastOf[T any](list []T, one T, most int) []T {
	return append(slices.Clone(list[max(0, len(list)+1-most):]), one)
}

// look returns what has been counted up to now.
func (r *Recorder) look() (*sample, error) {
	r.mu.Lock()
	newest := r.newest
	r.mu.Unlock()
	if newest != nil && time.Since(newest.at) < fresh {
		return newest, nil
	}
	families, err := r.source.Gather()
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	s := newSample()
	s.read(families)
	for _, e := range r.source.Pool().Endpoints {
		s.nodes[e.Address] = nodeCounts{e.GoAways + e.TooManyResets + e.OtherGoAways, e.TooManyResets, e.Ejections, e.FailedChecks}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = s
	return s, nil
}

// Now returns what was in the window up to now, without findings. The window may be
// up to five seconds longer, and is shorter at the start and beyond [MaxWindow].
func (r *Recorder) Now(window time.Duration) (*adminv1.Statistics, error) {
	s, err := r.look()
	if err != nil {
		return nil, err
	}
	return r.window(s, window), nil
}

// window returns what was in the one up to a look.
func (r *Recorder) window(s *sample, window time.Duration) *adminv1.Statistics {
	base := r.before(s.at.Add(-window))
	stats := between(base, s)
	r.present(stats, base, s)
	return stats
}

// before returns the newest sample that is as old, or else the oldest.
func (r *Recorder) before(at time.Time) *sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	base := r.samples[0]
	for _, s := range r.samples {
		if !s.at.After(at) {
			base = s
		}
	}
	return base
}

// Past returns what was between each two looks of the last minutes, the oldest first:
// total and methods.
func (r *Recorder) Past() []*adminv1.Statistics {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.past
}

// present adds how things are.
func (r *Recorder) present(stats *adminv1.Statistics, base, now *sample) {
	state := r.source.Pool()
	stats.Nodes = nodes(state, base, now)
	if state.Unresolved != nil {
		stats.Unresolved = &adminv1.Failure{Message: state.Unresolved.Error(), Time: stats.GetTime()}
	}
	stats.CallsInFlight = int64(r.source.InFlight())
	stats.Draining = r.source.Draining()
	if since := r.source.PausedSince(); !since.IsZero() {
		stats.PausedSince = timestamppb.New(since)
	}
	if err := r.source.Ready(); err != nil {
		stats.Unready = err.Error()
	}
	if queue, ok := r.source.Queue(); ok {
		waited := now.queue.sub(base.queue)
		stats.Queue = &adminv1.Queue{
			Admitted: int64(queue.InFlight), Limit: int64(queue.Limit), Waiting: int64(queue.Waiting),
			Waited: int64(waited.count), MeanWait: durationpb.New(waited.mean()),
			Refused: int64(now.refused - base.refused),
		}
	}
	if budget, ok := r.source.Budget(); ok {
		stats.RetryBudget = &adminv1.RetryBudget{
			Retrying: int64(budget.Retrying), RecentRetries: int64(budget.RecentRetries), RecentCalls: int64(budget.RecentCalls),
			Refused: int64(now.unaffordable - base.unaffordable), Repeated: int64(now.repeated - base.repeated),
		}
	}
	for _, e := range state.Endpoints {
		for _, b := range r.source.Breakers()[e.Address] {
			if b.State != resilience.Closed || b.Failures > 0 {
				stats.Breakers = append(stats.Breakers, breaker(e.Address, b))
			}
		}
	}
	for _, c := range r.source.Failures() {
		stats.LastFailures = append(stats.LastFailures, failure(&c))
	}
}

func failure(c *tap.Call) *adminv1.FailedCall {
	f := &adminv1.FailedCall{
		Time:   timestamppb.New(c.Started.Add(c.Duration)),
		Method: c.Method, Collection: c.Collection,
		Code: c.Code.String(), Reason: c.Reason, Outcome: c.Outcome, Message: c.Message,
		Node: c.Node, Connection: int32(c.Connection), Attempts: int32(c.Attempts), NotRetried: c.NotRetried,
		Duration: durationpb.New(c.Duration),
	}
	if c.Timed {
		f.Deadline = durationpb.New(c.Deadline)
	}
	return f
}
