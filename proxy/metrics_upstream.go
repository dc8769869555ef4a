package proxy

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"qdrant-sidecar/proxy/shape"
)

const (
	// askPeriod is the time for which it is settled which part of a method's answers is
	// asked how long Qdrant took, and askSome how many are then at least, of as many or
	// more, and less than twice as many: to look at every one of some thousand calls a
	// second would cost as much as all else that is counted.
	askPeriod = 5 * time.Second
	askSome   = 64
	// askMost is how many are asked in a period before only half as many are: when the
	// calls have become many more.
	askMost = 4 * askSome
	// scatter is 2^64 over the golden ratio.
	scatter = 0x9e3779b97f4a7c15
	// mostZipped is how large a compressed answer may be to be asked.
	mostZipped = 16 << 10
)

// The parts of the time upstream, as a label.
const (
	partQdrant = "qdrant"
	partWay    = "way"
)

// said is what Qdrant says of itself in answers of a method. Of each so many calls one is
// asked, and not one now and again: calls that others wait behind are few in their time,
// and would weigh as much as all of the quick ones.
type said struct {
	calls, asked atomic.Uint64
	// mask picks the calls whose number, once scattered, has none of its bits; it is 2^n-1.
	mask atomic.Uint64
	// period is the present one, and before how many calls there were before it.
	period      atomic.Int64
	before      atomic.Uint64
	qdrant, way atomic.Pointer[prometheus.Observer]
}

// turn counts a call, and reports whether it is to be asked.
func (s *said) turn(now time.Time) bool {
	number := s.calls.Add(1)
	period := now.UnixNano() / int64(askPeriod)
	if last := s.period.Load(); last != period && s.period.CompareAndSwap(last, period) {
		// One that comes late may be of before: then it is taken for few.
		s.mask.Store(maskFor(number - min(number, s.before.Swap(number))))
		s.asked.Store(0)
	}
	mask := s.mask.Load()
	// Scattered, because callers may have a beat of their own.
	if number*scatter>>32&mask != 0 {
		return false
	}
	if s.asked.Add(1)%askMost == 0 {
		s.mask.Store(mask<<1 | 1)
	}
	return true
}

// maskFor picks about askSome of so many calls, or all of fewer.
func maskFor(calls uint64) uint64 { return 1<<bits.Len64(calls/(2*askSome)) - 1 }

// ask counts how much of the time upstream of a call that went well was Qdrant's own, by
// its word. What is called upstream was measured here, for the same call: the two can be
// compared however rare the calls are that are asked.
func (m *metrics) ask(bound *boundMetrics, c *Call) {
	encoding := c.Response.Header.Get("grpc-encoding")
	if !c.Response.Received() || encoding == "gzip" && c.Response.Body.Len() > mostZipped {
		return
	}
	took, ok := shape.ServerTime(c.Method, c.Response.Body, encoding)
	if !ok {
		return
	}
	if bound.said.qdrant.Load() == nil {
		// In this order: whoever finds the second finds the first.
		bound.said.way.Store(new(m.upstream.WithLabelValues(c.Method.Service, c.Method.Name, partWay)))
		bound.said.qdrant.Store(new(m.upstream.WithLabelValues(c.Method.Service, c.Method.Name, partQdrant)))
	}
	// Two clocks: what Qdrant says is never more than what was waited for it.
	took = min(took, c.upstream)
	(*bound.said.qdrant.Load()).Observe(took.Seconds())
	(*bound.said.way.Load()).Observe((c.upstream - took).Seconds())
}
