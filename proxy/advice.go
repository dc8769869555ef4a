package proxy

import (
	"strconv"
	"strings"
	"time"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/resilience"
)

// Fields that tell callers when to come again. The first is gRPC's (proposal A6);
// a negative value says not to. The second is what Qdrant sends and its SDKs read,
// in seconds.
const (
	pushbackField   = "grpc-retry-pushback-ms"
	retryAfterField = "retry-after"
)

// notAgain tells callers not to repeat what was repeated here, lest both multiply.
func notAgain() h2.Fields { return h2.Fields{h2.Field(pushbackField, "-1")} }

// againAfter tells callers when to come again.
func againAfter(d time.Duration) h2.Fields {
	milliseconds := max(int64((d+time.Millisecond-1)/time.Millisecond), 1)
	return h2.Fields{h2.Field(pushbackField, strconv.FormatInt(milliseconds, 10))}
}

// lastBlock is the header block of the answer that holds its status.
func (c *Call) lastBlock() *h2.Fields {
	if c.Response.HeaderOnly || c.Response.Trailer == nil {
		return &c.Response.Header
	}
	return &c.Response.Trailer
}

// readAdvice reads what a failed answer says of coming again.
func (c *Call) readAdvice(o *resilience.Outcome) {
	last := *c.lastBlock()
	o.RetryAfter = strings.Join(last.Values(retryAfterField), ",")
	o.Pushback = strings.Join(last.Values(pushbackField), ",")
	o.StorageFull = last.Has("qdrant-insufficient-storage")
}

// giveUp adds to an answer of the upstream's that the caller is not to repeat what
// was repeated here. What the upstream said itself about that has been heeded, and
// two values would be none.
func (c *Call) giveUp() {
	last := c.lastBlock()
	marked := make(h2.Fields, 0, len(*last)+1)
	for _, f := range *last {
		if f.Name != pushbackField {
			marked = append(marked, f)
		}
	}
	*last = append(marked, notAgain()...)
}
