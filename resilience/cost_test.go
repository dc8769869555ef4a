package resilience_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/resilience"
)

// chain is all that this package does to a call that succeeds at first.
type chain struct {
	deadlines resilience.Deadlines
	budget    *resilience.Budget
	admission *resilience.Admission
	breakers  *resilience.Breakers
	policy    resilience.Policy
}

func newChain() *chain {
	return &chain{
		deadlines: resilience.DefaultDeadlines(),
		budget:    resilience.NewBudget(epoch),
		admission: resilience.NewAdmission(resilience.DefaultAdmissionConfig(500)),
		breakers:  resilience.NewBreakers(resilience.BreakerConfig{Threshold: 10}, "db:6334", []string{"/qdrant.Points/Query"}),
		policy:    resilience.DefaultPolicy(),
	}
}

func (c *chain) call(ctx context.Context, now time.Time) bool {
	var tries resilience.Tries
	deadline, err := c.deadlines.For(resilience.Read, resilience.Ordinary, now, time.Time{})
	if err != nil {
		return false
	}
	c.budget.Begin(now)
	defer c.budget.End(true)
	if c.admission.Acquire(ctx) != nil {
		return false
	}
	defer c.admission.Release()
	permit, err := c.breakers.Allow(0)
	if err != nil {
		return false
	}
	try := c.deadlines.ForTry(resilience.Read, resilience.Ordinary, now, deadline)
	v := resilience.Classify(resilience.Outcome{Cause: resilience.Answered, Code: codes.OK, Try: try, Elapsed: time.Millisecond})
	permit.Done(v.Fault)
	return !c.policy.Decide(&tries, v, resilience.Situation{Class: resilience.Read, Left: deadline.Sub(now)}).Again
}

func TestSuccessAllocatesNothing(t *testing.T) {
	c, ctx := newChain(), t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if !c.call(ctx, epoch) {
			t.Fatal("the call did not pass")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestFailureAllocatesNothing: the path of a failed attempt is walked most when
// there is least to spare.
func TestFailureAllocatesNothing(t *testing.T) {
	p := resilience.DefaultPolicy()
	budget := resilience.NewBudget(epoch)
	o := answer(codes.Internal, oneOfOne+connectRefused)
	o.RetryAfter = "2"
	if n := testing.AllocsPerRun(1000, func() {
		var tries resilience.Tries
		d := p.Decide(&tries, resilience.Classify(o), waiting(resilience.Read))
		if d.Again && budget.Take(epoch) {
			tries.Start(d)
			budget.Return()
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkSuccess(b *testing.B) {
	c, ctx := newChain(), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		c.call(ctx, epoch)
	}
}

// BenchmarkSuccessParallel is calls of one method at one endpoint from all sides.
func BenchmarkSuccessParallel(b *testing.B) {
	c, ctx := newChain(), b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.call(ctx, epoch)
		}
	})
}

func BenchmarkBreaker(b *testing.B) {
	s := newChain().breakers
	b.ReportAllocs()
	for b.Loop() {
		p, _ := s.Allow(0)
		p.Done(resilience.NoFault)
	}
}

func BenchmarkAdmission(b *testing.B) {
	a, ctx := newChain().admission, b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_ = a.Acquire(ctx)
		a.Release()
	}
}

func BenchmarkBudget(b *testing.B) {
	budget := newChain().budget
	b.ReportAllocs()
	for b.Loop() {
		budget.Begin(epoch)
		budget.End(true)
	}
}

func BenchmarkClassifyInternal(b *testing.B) {
	o := answer(codes.Internal, oneOfOne+connectRefused)
	b.ReportAllocs()
	for b.Loop() {
		resilience.Classify(o)
	}
}
