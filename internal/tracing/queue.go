package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"
)

// lossInterval is how often at most it is told that spans get lost.
const lossInterval = time.Minute

// queue is where spans go when they end: the SDK's batches, between this end and
// that of [exports], which both count. The SDK too drops what is too much, but tells
// nobody.
type queue struct {
	sdktrace.SpanProcessor
	log  *slog.Logger
	most int64
	// waiting are the spans between the two ends. They are no more than the SDK has
	// places for, so that it never drops any itself.
	waiting atomic.Int64
	// dropped found no place, failed were not taken by the collector; since the last
	// line that told of it.
	dropped, failed   atomic.Int64
	lines, complaints rate.Sometimes
}

func newQueue(most int, log *slog.Logger) *queue {
	limit := func() rate.Sometimes { return rate.Sometimes{Interval: lossInterval} }
	return &queue{log: log, most: int64(most), lines: limit(), complaints: limit()}
}

// OnEnd implements [sdktrace.SpanProcessor]. A call waits here for nothing, not even
// for a line of the log.
func (q *queue) OnEnd(span sdktrace.ReadOnlySpan) {
	if q.waiting.Add(1) > q.most {
		q.waiting.Add(-1)
		q.dropped.Add(1)
		return
	}
	q.SpanProcessor.OnEnd(span)
}

// exported is told how a batch fared.
func (q *queue) exported(spans int, err error) {
	q.waiting.Add(-int64(spans))
	why := "the collector takes them more slowly than they come (OTEL_BSP_MAX_QUEUE_SIZE)"
	if err != nil {
		q.failed.Add(int64(spans))
		why = err.Error()
	}
	if q.lost() {
		q.lines.Do(func() { q.tell(why) })
	}
}

func (q *queue) lost() bool { return q.dropped.Load() > 0 || q.failed.Load() > 0 }

func (q *queue) tell(why string) {
	q.log.Warn("spans were lost", "dropped", q.dropped.Swap(0), "failed", q.failed.Swap(0), "because", why)
}

// end tells what has been lost since the last line, and with the end.
func (q *queue) end() {
	q.failed.Add(q.waiting.Swap(0))
	if q.lost() {
		q.tell("the sidecar ends")
	}
}

// complain takes what the SDK has to say besides.
func (q *queue) complain(err error) {
	q.complaints.Do(func() { q.log.Warn("the OpenTelemetry SDK has a problem", "error", err.Error()) })
}

// exports is the other end of a queue: the exporter, which can be cut.
type exports struct {
	sdktrace.SpanExporter
	queue *queue
	life  context.Context
	cut   context.CancelFunc
	// ended is closed when there will be no more exports.
	ended chan struct{}
}

func newExports(to sdktrace.SpanExporter, q *queue) *exports {
	e := &exports{SpanExporter: to, queue: q, ended: make(chan struct{})}
	e.life, e.cut = context.WithCancel(context.Background())
	return e
}

// ExportSpans implements [sdktrace.SpanExporter].
func (e *exports) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	e.queue.exported(len(spans), e.SpanExporter.ExportSpans(ctx, spans))
	return nil // it has been told
}

// Shutdown implements [sdktrace.SpanExporter]. The SDK calls it once.
func (e *exports) Shutdown(ctx context.Context) error {
	defer close(e.ended)
	return e.SpanExporter.Shutdown(ctx)
}
