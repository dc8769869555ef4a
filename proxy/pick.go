package proxy

import (
	"context"
	"time"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
)

// pick lends the attempt its connection.
func pick(ctx context.Context, c *Call) error {
	var avoid *pool.Lease
	if c.elsewhere && c.lease != nil && c.lease.Node() == c.node {
		avoid = c.lease
	}
	lease, err := c.node.Lend(ctx, avoid, c.Method.NodeLocal)
	if err != nil {
		c.lent(time.Since(c.begun))
		return err
	}
	c.lent(lease.Waited())
	// The wait for it may have ended with the call, and nothing is begun for one
	// that has ended.
	if ctx.Err() != nil {
		lease.Release()
		return h2.Cause(ctx)
	}
	c.lease = lease
	return nil
}

// unpick gives the connection back.
func unpick(_ context.Context, c *Call, err error) error {
	c.lease.Release()
	return err
}
