package proxy

import (
	"context"
	"errors"
	"math/bits"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// methodMetrics are bound when the method is first called, so that a page shows
// what is in use and not sixty methods at zero.
type methodMetrics struct {
	bound   atomic.Pointer[boundMetrics]
	service string
	name    string
	shape   string
}

// boundMetrics spare a call the look-up by labels. What is a pointer is bound when it
// is first needed. Two calls that do so at once bind the same series: no harm.
type boundMetrics struct {
	started, messagesIn, messagesOut  prometheus.Counter
	own                               prometheus.Observer
	receive, queue, backoff, upstream atomic.Pointer[prometheus.Observer]
	// By code, those that gRPC does not define last; and by cause.
	ended    [maxCode + 2]atomic.Pointer[boundCode]
	attempts [resilience.Unclear + 1]atomic.Pointer[prometheus.Counter]
	said     said
}

type boundCode struct {
	handled prometheus.Counter
	seconds prometheus.Observer
	// marked is the second of the newest exemplar, by the magnitude of the time.
	marked [24]atomic.Int64
}

// observe counts a time, and leaves the trace where one can see what was behind it. An
// exemplar takes some allocations and only the newest of each bucket is shown, so there
// is one a second at most for times of a magnitude: the rare slow ones have theirs.
func (b *boundCode) observe(c *Call, took time.Duration) {
	magnitude := min(bits.Len64(uint64(took/(100*time.Microsecond))), len(b.marked)-1)
	mark, second := &b.marked[magnitude], c.Started.Unix()
	if before := mark.Load(); before != second {
		if trace := c.recordedTrace(); trace != "" && mark.CompareAndSwap(before, second) {
			b.seconds.(prometheus.ExemplarObserver).ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": trace})
			return
		}
	}
	b.seconds.Observe(took.Seconds())
}

// The stages of a call, as a label.
const (
	stageReceive  = "receive"
	stageQueue    = "queue"
	stageBackoff  = "backoff"
	stageUpstream = "upstream"
	stageOwn      = "own"
)

func (m *metrics) of(known *method.Method) *boundMetrics {
	slot := &m.methods[known.Index]
	if bound := slot.bound.Load(); bound != nil {
		return bound
	}
	bound := &boundMetrics{
		started:     m.started.WithLabelValues(slot.shape, slot.service, slot.name),
		messagesIn:  m.messagesIn.WithLabelValues(slot.shape, slot.service, slot.name),
		messagesOut: m.messagesOut.WithLabelValues(slot.shape, slot.service, slot.name),
		own:         m.stages.WithLabelValues(slot.service, slot.name, stageOwn),
	}
	slot.bound.Store(bound)
	return bound
}

// begin is the layer's way in.
func (m *metrics) begin(_ context.Context, c *Call) error {
	m.inFlight.Add(1)
	c.counted = m.of(c.Method)
	c.counted.started.Inc()
	return nil
}

// end is the layer's way out.
func (m *metrics) end(_ context.Context, c *Call, err error) error {
	m.inFlight.Add(-1)
	code := min(codeNumber(err), maxCode+1)
	bound, took := c.counted, c.Took()
	slot := &bound.ended[code]
	ended := slot.Load()
	if ended == nil {
		of := &m.methods[c.Method.Index]
		ended = &boundCode{
			handled: m.handled.WithLabelValues(of.shape, of.service, of.name, codeName(code)),
			seconds: m.seconds.WithLabelValues(of.shape, of.service, of.name, codeName(code)),
		}
		slot.Store(ended)
	}
	ended.handled.Inc()
	ended.observe(c, took)
	c.countMessages(err)
	m.split(bound, c)
	if err == nil && c.Attempts == 1 && bound.said.turn(c.Started.Add(took)) {
		m.ask(bound, c)
	}
	m.collections.count(c, code, took)
	if c.Reason != "" {
		m.failures.WithLabelValues(string(c.Reason)).Inc()
	}
	return err
}

// split counts where the time of a call went.
func (m *metrics) split(bound *boundMetrics, c *Call) {
	stages := c.Stages()
	bound.own.Observe(stages.Own.Seconds())
	m.some(&bound.receive, c, stageReceive, stages.Receive)
	m.some(&bound.queue, c, stageQueue, stages.Queue)
	m.some(&bound.backoff, c, stageBackoff, stages.Backoff)
	m.some(&bound.upstream, c, stageUpstream, stages.Upstream)
}

// some counts a stage that not every call has: those that were refused did not wait
// for nothing upstream, they never got there.
func (m *metrics) some(slot *atomic.Pointer[prometheus.Observer], c *Call, stage string, took time.Duration) {
	if took <= 0 {
		return
	}
	bound := slot.Load()
	if bound == nil {
		bound = new(m.stages.WithLabelValues(c.Method.Service, c.Method.Name, stage))
		slot.Store(bound)
	}
	(*bound).Observe(took.Seconds())
}

// attempted counts an attempt.
func (m *metrics) attempted(of *method.Method, cause resilience.Cause) {
	slot := &m.of(of).attempts[cause]
	counter := slot.Load()
	if counter == nil {
		counter = new(m.attempts.WithLabelValues(of.Service, of.Name, cause.String()))
		slot.Store(counter)
	}
	(*counter).Inc()
}

// again counts an attempt that follows one that failed.
func (m *metrics) again(c *Call, failed resilience.Cause) {
	m.retried.WithLabelValues(failed.String()).Inc()
	m.replayed.Add(float64(c.Body.Len()))
}

// repeated counts a call that was repeated, under the origin's name and labels.
func (m *metrics) repeated(of *method.Method, success bool) {
	m.retries.WithLabelValues(label(of), strconv.FormatBool(success)).Inc()
}

// maxCode is the highest code that gRPC defines.
const maxCode = codes.Unauthenticated

// codeNumber is the code that the caller gets for err.
func codeNumber(err error) codes.Code {
	if errors.Is(err, errPanic) {
		return judge(err).code
	}
	return status.Code(err)
}

// codeName names a code. Those beyond gRPC's seventeen share one name: an upstream
// must not be able to make labels.
func codeName(code codes.Code) string {
	if code <= maxCode {
		return code.String()
	}
	return other
}

// other is the label of all that has no label of its own.
const other = "other"
