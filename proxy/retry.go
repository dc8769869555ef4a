package proxy

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"qdrant-sidecar/resilience"
)

// retryUnary makes the attempts of a call of which all is here that is to be sent.
func (s *Server) retryUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	c := req.(*Call)
	s.budget.Begin(c.Started)
	defer s.endRetries(c)
	c.repeatable = true
	c.verdict = resilience.Verdict{Cause: resilience.Refused}
	if err := s.recall(c); err != nil {
		return nil, err
	}
	carried := c.tries.Retries()
	resp, err := next(ctx, req)
	if err == nil {
		return resp, nil
	}
	err = s.repeat(ctx, c, err, next)
	if c.tries.Retries() > carried {
		s.metrics.repeated(c.Method, err == nil)
	}
	if err != nil {
		s.remember(c, err)
	}
	return c, err
}

// retryStream makes the attempts of a call whose request is not kept: there is
// another only as long as nothing has been sent at all.
func (s *Server) retryStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	c := srv.(*Call)
	c.verdict = resilience.Verdict{Cause: resilience.Refused}
	err := next(srv, ss)
	if err == nil {
		return nil
	}
	return s.repeat(ss.Context(), c, err, func(context.Context, any) (any, error) { return nil, next(srv, ss) })
}

// endRetries settles with the budget, also after a panic.
func (s *Server) endRetries(c *Call) {
	s.returnRetry(c)
	s.budget.End(c.verdict.Fault.Well())
}

func (s *Server) returnRetry(c *Call) {
	if c.retrying {
		c.retrying = false
		s.budget.Return()
	}
}

// repeat makes more attempts of a call whose first ended in err, for as long as
// that is of use and allowed. It returns how the last one ended that was made.
func (s *Server) repeat(ctx context.Context, c *Call, err error, next grpc.UnaryHandler) error {
	class := c.Method.ClassOf(c.Body)
	if class == resilience.IdempotentWrite && c.rules.keepWrites {
		class = resilience.UnsafeWrite
	}
	if c.retrying { // the attempt was cut, and the context with it
		ctx = c.ctx
	}
	for {
		d := s.decide(ctx, c, class)
		if !d.Again {
			s.notRetried(c, d.Reason)
			return err
		}
		if gone := c.backOff(ctx, d.Wait); gone != nil {
			s.notRetried(c, resilience.Gone)
			return gone
		}
		c.tries.Start(d)
		c.elsewhere = d.Elsewhere
		before, verdict := c.Attempts, c.verdict
		c.verdict = resilience.Verdict{Cause: resilience.Refused}
		_, again := next(ctx, c)
		s.returnRetry(c)
		if c.Attempts > before {
			s.metrics.again(c, verdict.Cause)
		}
		if again == nil {
			return nil
		}
		if c.Attempts == before && ctx.Err() == nil {
			// It was not let through, which the caller did not ask for: he asked for
			// one attempt, and that failed.
			c.verdict = verdict
			s.notRetried(c, resilience.OwnRefusal)
			return err
		}
		err = again
	}
}

// decide says whether there is another attempt, and takes it from the budget.
func (s *Server) decide(ctx context.Context, c *Call, class resilience.Class) resilience.Decision {
	now := time.Now()
	left := c.left(now)
	d := c.rules.policy.Decide(&c.tries, c.verdict, resilience.Situation{
		Class:      class,
		Left:       left,
		CallerGone: ctx.Err() != nil && left > 0,
		Answering:  c.answering,
		TooLarge:   c.sending,
		Forsaken:   c.forsaken,
	})
	if !d.Again || d.Free {
		return d
	}
	switch {
	case !c.repeatable:
		return resilience.Decision{Reason: resilience.TooLarge}
	case c.Method.Health:
		// Who asks whether Qdrant is there wants to know that it is not.
		return resilience.Decision{Reason: resilience.Disabled}
	case !c.retrying && !s.take(c, now):
		return resilience.Decision{Reason: resilience.OverBudget}
	}
	c.retrying = true
	return d
}

// take asks the budget for a retry.
func (s *Server) take(c *Call, now time.Time) bool {
	if c.verdict.Together {
		return s.budget.TakeTogether(now)
	}
	return s.budget.Take(now)
}

func (s *Server) notRetried(c *Call, reason resilience.NotRetried) {
	c.NotRetried = reason
	s.metrics.notRetried.WithLabelValues(string(reason)).Inc()
}
