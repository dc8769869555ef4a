package proxy

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"qdrant-sidecar/proxy/shape"
)

const (
	// askEvery is the least time between two answers of a method that are asked how
	// long Qdrant took: a look at every one of a thousand calls a second would cost as
	// much as all else that is counted.
	askEvery = 100 * time.Millisecond
	// mostZipped is how large a compressed answer may be to be asked.
	mostZipped = 16 << 10
)

// The parts of the time upstream, as a label.
const (
	partQdrant = "qdrant"
	partWay    = "way"
)

// said is what Qdrant says of itself in answers of a method.
type said struct {
	// turns is when one was asked last, in units of askEvery.
	turns       atomic.Int64
	qdrant, way atomic.Pointer[prometheus.Observer]
}

// turn reports whether it is time to ask again.
func (s *said) turn(now time.Time) bool {
	turn := now.UnixNano() / int64(askEvery)
	before := s.turns.Load()
	return before != turn && s.turns.CompareAndSwap(before, turn)
}

// ask counts how much of the time upstream of a call that went well was Qdrant's own, by
// its word. What is called upstream was measured here, for the same call: the two can be
// compared however rare the calls are that are asked.
func (m *metrics) ask(bound *boundMetrics, c *Call) {
	encoding := c.Response.Header.Get("grpc-encoding")
	if !c.Response.Received() || encoding != "" && c.Response.Body.Len() > mostZipped {
		return
	}
	took, ok := shape.ServerTime(c.Method, c.Response.Body, encoding)
	if !ok {
		return
	}
	if bound.said.qdrant.Load() == nil {
		bound.said.qdrant.Store(new(m.upstream.WithLabelValues(c.Method.Service, c.Method.Name, partQdrant)))
		bound.said.way.Store(new(m.upstream.WithLabelValues(c.Method.Service, c.Method.Name, partWay)))
	}
	// Two clocks: what Qdrant says is never more than what was waited for it.
	took = min(took, c.upstream)
	(*bound.said.qdrant.Load()).Observe(took.Seconds())
	(*bound.said.way.Load()).Observe((c.upstream - took).Seconds())
}
