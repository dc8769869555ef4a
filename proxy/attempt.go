package proxy

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// attempt is what a [Call] says of the attempt under way, or of the last one.
type attempt struct {
	// begun is when the attempt was, before it had its connection.
	begun time.Time
	// try is the time it was given, where that was less than the call's.
	try time.Duration
	// trying says that it may be given up before the call's time is over, and forsaken
	// that it was, because its node hangs.
	trying, forsaken bool
	// permit is the breaker's.
	permit resilience.Permit
	// verdict is what it came to; [resilience.Refused] until it is begun.
	verdict resilience.Verdict
}

// beginAttempt is the layer's way in. The answer of the attempt before, if there
// was one, is of no use from here on.
func (s *Server) beginAttempt(_ context.Context, c *Call) error {
	c.Response.Close()
	c.Attempts++
	c.begun = time.Now()
	c.lending, c.first = 0, 0
	c.try, c.trying, c.forsaken = 0, false, false
	if c.repeatable && c.Attempts == 1 && c.rules.policy.Max > 0 && !c.Method.Health {
		c.try = c.tryTime()
		node := s.leaves(c)
		if c.trying = c.try > 0 || node != nil; c.trying {
			c.ctx.try(c.begun, c.try, node, s.budget)
		}
	}
	return nil
}

// leaves returns the node that the attempt is to leave when that is found to hang; nil
// for an attempt that stays. Only a read can be made elsewhere whatever has become of
// it, and there must be an elsewhere.
func (s *Server) leaves(c *Call) *pool.Node {
	if c.Method.Class != resilience.Read || c.Method.NodeLocal || len(s.pool.Nodes()) < 2 {
		return nil
	}
	return c.node
}

// tryTime returns how long the first attempt of a call may take, if that is less
// than the call may. There has to be time for another that long, and for the wait
// before it; the second attempt then has all that is left. So no call is shorter
// than its caller wanted it.
func (c *Call) tryTime() time.Duration {
	d := c.rules.deadlines.ForTry(c.Method.Class, kindOf(c.Method.Deadline), c.begun, c.ctx.deadline)
	if c.left(c.begun) < 2*d+c.rules.policy.Base {
		return 0
	}
	return d
}

// endAttempt is the layer's way out.
func (s *Server) endAttempt(ctx context.Context, c *Call, err error) error {
	c.endTry()
	took := c.attempted()
	if err == nil {
		c.verdict = resilience.Verdict{Cause: resilience.OK, Fault: resilience.NoFault}
	} else {
		c.verdict = resilience.Classify(c.outcome(err, took))
	}
	s.metrics.attempted(c.Method, c.verdict.Cause)
	c.report()
	return err
}

// outcome is what is known of an attempt that failed: the one table from errors to
// causes.
func (c *Call) outcome(err error, took time.Duration) resilience.Outcome {
	o := resilience.Outcome{Elapsed: took, Try: c.try}
	if st, ok := status.FromError(err); ok {
		o.Cause, o.Code, o.Message = resilience.Answered, st.Code(), st.Message()
		c.readAdvice(&o)
		return o
	}
	if lost, ok := errors.AsType[*pool.LostError](err); ok {
		o.Cause = resilience.NeverSent
		o.Together, o.Counted = lost.Together, lost.Together && !lost.First
		if lost.Sent {
			o.Cause = resilience.Lost
		}
		return o
	}
	if _, ok := errors.AsType[*pool.ConnectError](err); ok {
		o.Cause = resilience.Unreachable
		return o
	}
	switch {
	case errors.Is(err, errHeaderTooLarge):
		o.Cause, o.Code = resilience.Answered, codes.ResourceExhausted
	case errors.Is(err, errTryTimeout):
		o.Cause = resilience.TryTimeout
	case errors.Is(err, context.DeadlineExceeded):
		o.Cause = resilience.DeadlinePassed
	case errors.Is(err, context.Canceled):
		o.Cause = resilience.CallerGone
	default:
		// A shutdown, or a bug of ours: neither says anything of Qdrant.
		o.Cause = resilience.Refused
	}
	return o
}
