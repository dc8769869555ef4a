package resilience_test

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/resilience"
)

// A call that meets an upstream which fails twice: where each part has its place.
func Example() {
	var (
		started   = time.Now()
		budget    = resilience.NewBudget(started)
		admission = resilience.NewAdmission(resilience.DefaultAdmissionConfig(500))
		breakers  = resilience.NewBreakers(resilience.BreakerConfig{Threshold: 10}, "db:6334", []string{"/qdrant.Points/Query"})
		policy    = resilience.Policy{Max: 3, Base: time.Millisecond, Cap: time.Millisecond}
		answers   = []codes.Code{codes.Unavailable, codes.Unavailable, codes.OK}
	)
	deadline, _ := resilience.DefaultDeadlines().For(resilience.Read, resilience.Ordinary, started, time.Time{})
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()

	attempt := func(n int) (v resilience.Verdict) {
		if err := admission.Acquire(ctx); err != nil {
			return resilience.Classify(resilience.Outcome{Cause: resilience.Refused})
		}
		defer admission.Release()
		permit, err := breakers.Allow(0)
		if err != nil {
			return resilience.Classify(resilience.Outcome{Cause: resilience.Refused})
		}
		defer func() { permit.Done(v.Fault) }()
		return resilience.Classify(resilience.Outcome{Cause: resilience.Answered, Code: answers[n]})
	}

	budget.Begin(started)
	defer budget.End(true)
	var tries resilience.Tries
	v := attempt(0)
	for v.Cause != resilience.OK {
		now := time.Now()
		d := policy.Decide(&tries, v, resilience.Situation{Class: resilience.Read, Left: deadline.Sub(now)})
		if d.Again && !d.Free && !budget.Take(now) {
			d = resilience.Decision{Reason: resilience.OverBudget}
		}
		if !d.Again {
			fmt.Println("given up:", d.Reason)
			return
		}
		fmt.Println("again after", v.Cause)
		tries.Start(d)
		<-time.After(d.Wait) // or until ctx ends
		v = attempt(tries.Retries())
		if !d.Free {
			budget.Return()
		}
	}
	fmt.Println(v.Cause, "after", tries.Retries(), "retries")
	// Output:
	// again after unavailable
	// again after unavailable
	// ok after 2 retries
}
