package proxy

import (
	"context"
	"time"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// endpointsChanged is told of each set of endpoints before calls go there.
func (s *Server) endpointsChanged(nodes []*pool.Node) {
	r := &s.rules.Load().of
	for _, n := range nodes {
		if n.Kept() == nil {
			breaking := resilience.BreakerConfig{Threshold: r.BreakerThreshold, OnChange: s.breakerChanged}
			n.Keep(resilience.NewBreakers(breaking, n.Address(), s.methods))
		}
		breakersOf(n).SetThreshold(r.BreakerThreshold)
		breakersOf(n).SetAlone(len(nodes) == 1)
	}
	limit, queue := r.Admission.Limit, r.Admission.Queue
	// A name that was not resolved yet has one endpoint at least.
	count := max(1, len(nodes))
	if r.LimitEach {
		limit *= count
	}
	if r.QueueEach {
		queue *= count
	}
	s.admission.Resize(limit, queue)
}

// breakersOf returns the breakers of an endpoint.
func breakersOf(n *pool.Node) *resilience.Breakers { return n.Kept().(*resilience.Breakers) }

// choose finds an attempt its endpoint.
func (s *Server) choose(ctx context.Context, c *Call) (err error) {
	switch before := c.node; {
	case before != nil && c.Method.NodeLocal:
		// Another node would answer something else.
	case before == nil || before.Out():
		if len(s.pool.Nodes()) == 0 { // there is going to be a wait
			defer c.queuedSince(time.Now())
		}
		c.node, err = s.pool.Choose(ctx, c.home)
	case c.elsewhere:
		c.node = s.pool.Other(before)
	}
	return err
}

// chooseGuarded is choose among the endpoints whose breaker lets the attempt through.
// Whoever asks whether Qdrant is there is to hear it from Qdrant.
func (s *Server) chooseGuarded(ctx context.Context, c *Call) error {
	if err := s.choose(ctx, c); err != nil || c.Method.Health {
		return err
	}
	var refused error
	if c.permit, refused = breakersOf(c.node).Allow(c.Method.Index); refused == nil || c.Method.NodeLocal {
		return refused
	}
	for _, n := range s.pool.Nodes() {
		if n == c.node || n.Standing() != pool.Good {
			continue
		}
		permit, err := breakersOf(n).Allow(c.Method.Index)
		if err == nil {
			c.node, c.permit = n, permit
			return nil
		}
	}
	return refused
}

// report tells the pool what an attempt says about its endpoint. Failures of a whole
// cluster are nobody's: while a node hangs, writes hang at those that are well.
func (c *Call) report() {
	if c.lease == nil {
		return
	}
	v := c.verdict
	switch {
	case v.Fault.Well():
		c.lease.Report(false)
	case v.Fault == resilience.Upstream && ownSickness[v.Cause]:
		c.lease.Report(true)
	}
}

// ownSickness are the failures that an endpoint has by itself.
var ownSickness = map[resilience.Cause]bool{
	resilience.Lost: true, resilience.Internal: true, resilience.Unavailable: true, resilience.Corrupt: true,
}
