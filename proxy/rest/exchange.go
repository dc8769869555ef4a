package rest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// exchange is one request on its way to its answer. It is the http.RoundTripper of
// its own ReverseProxy, so that nothing has to be looked up on the way.
type exchange struct {
	server  *Server
	rules   *rules // those in force when it came
	route   *route
	class   resilience.Class
	started time.Time
	request *http.Request // with a context that ends with the exchange
	cancel  context.CancelCauseFunc
	writer  *statusWriter
	body    body

	// deadline is when the answer must have begun, zero for never; late is the timer
	// that ends what takes longer.
	deadline time.Time
	late     *time.Timer

	// held is how much of its answer is stored.
	held int64

	// site is where the attempt under way or the last one goes; node is its node, nil
	// where there is only one site. elsewhere asks for another node than that.
	site      *site
	node      *pool.Node
	elsewhere bool

	tries    resilience.Tries
	attempts []resilience.Cause
	permit   resilience.Permit
	verdict  resilience.Verdict
	// admitted says that it has a place among those in flight, retrying that it holds
	// a retry of the budget.
	admitted, retrying bool
	notRetried         resilience.NotRetried
	// recording is its span, nil unless it is recorded; rootTrace says that its caller is
	// in no trace.
	recording trace.Span
	rootTrace bool
	failure   *verdict // of the sidecar's own making
}

func newExchange(s *Server, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{
		server: s, rules: s.rules.Load(), route: lookup(r.Method, r.URL), started: time.Now(),
		writer:  newStatusWriter(w, r, s.cfg.WriteStall),
		verdict: resilience.Verdict{Cause: resilience.Refused},
	}
	x.class = x.route.classOf(r.Method)
	ctx, cancel := context.WithCancelCause(r.Context())
	x.request, x.cancel = r.WithContext(ctx), cancel
	x.beginSpan()
	s.cfg.Budget.Begin(x.started)
	if begun := s.cfg.Observer.Begun; begun != nil {
		begun()
	}
	return x
}

// begin prepares the request. It returns false when it has been answered.
func (x *exchange) begin() bool {
	r := x.request
	if r.Method == http.MethodConnect {
		x.fail(x.writer, r, errConnect)
		return false
	}
	if span := x.span(); span > 0 {
		x.deadline = x.started.Add(span)
		x.late = time.AfterFunc(span, func() { x.cancel(&lateError{span}) })
	}
	if err := x.body.take(r, &x.server.store); err != nil {
		x.fail(x.writer, r, &requestError{err})
		return false
	}
	if x.body.streams {
		// An answer that comes before the end of the request is passed on at once, as
		// Qdrant gave it. HTTP/2 does so anyway.
		_ = x.writer.control.EnableFullDuplex()
	}
	return true
}

// span is how long the beginning of the answer may take, 0 for any time. A caller
// can only tell Qdrant, by a parameter; that is respected.
func (x *exchange) span() time.Duration {
	span := x.rules.timeout
	if span == 0 || !x.route.quick {
		return 0
	}
	query, _ := url.ParseQuery(x.request.URL.RawQuery)
	if seconds, err := strconv.ParseUint(query.Get("timeout"), 10, 16); err == nil {
		span += time.Duration(seconds) * time.Second
	}
	return span
}

// left is the time until the answer must have begun.
func (x *exchange) left() time.Duration {
	if x.deadline.IsZero() {
		return resilience.NoDeadline
	}
	return time.Until(x.deadline)
}

// end gives back what the exchange holds, and tells of it.
func (x *exchange) end() {
	p := recover()
	if p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
		x.server.log.Error("a REST request panicked", "route", x.route.name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		p = http.ErrAbortHandler
		x.failure = &verdict{reason: Panic}
	}
	if p != nil && x.failure == nil {
		// Its header is out, so that there is no other way to say it.
		x.failure = x.broken()
	}
	if x.late != nil {
		x.late.Stop()
	}
	x.cancel(nil)
	x.releasePlace()
	x.returnRetry()
	x.server.cfg.Budget.End(x.verdict.Fault.Well())
	x.body.release(&x.server.store)
	x.server.store.Add(-x.held)
	x.observe()
	if p != nil {
		panic(p)
	}
}

// broken says why an answer that had begun did not come to its end.
func (x *exchange) broken() *verdict {
	if cause := context.Cause(x.request.Context()); cause != nil {
		v := judge(cause)
		return &v
	}
	return &verdict{reason: UpstreamLost, message: "the connection was lost in the middle of the answer"}
}

func (x *exchange) observe() {
	o := Observation{
		Route: x.route.name, Code: x.writer.code, Duration: time.Since(x.started), Attempts: x.attempts,
		Repeated: x.tries.Retries() > 0, NotRetried: x.notRetried,
	}
	if x.failure != nil {
		o.Reason = x.failure.reason
	}
	if o.Reason == Cancelled && x.server.cutting.Load() {
		o.Reason = ShuttingDown // it was not the caller who went away
	}
	if ended := x.server.cfg.Observer.Ended; ended != nil {
		ended(o)
	}
	x.endSpan(o)
	x.log(o)
}

// log writes a line for a request that its caller saw fail, or wait for long. Neither paths nor
// queries nor what Qdrant said are in it: they can hold user data.
func (x *exchange) log(o Observation) {
	level, text, lines := slog.LevelInfo, "REST request failed", x.server.lines
	switch from := x.server.cfg.Slow.of(x.route); {
	case (o.Reason == Cancelled || o.Reason == "" && o.Code < http.StatusBadRequest) && from > 0 && o.Duration >= from:
		text, lines = "slow REST request", x.server.late
	case o.Reason == Cancelled, o.Reason == "" && o.Code < http.StatusBadRequest:
		level, text = slog.LevelDebug, "REST request ended"
	case o.Reason != "":
		level, lines = slog.LevelWarn, x.server.warnings
	}
	ctx := context.WithoutCancel(x.request.Context())
	if !x.server.log.Enabled(ctx, level) || !lines.Allow() {
		return
	}
	attrs := []slog.Attr{
		slog.String("route", o.Route),
		slog.Int("code", o.Code),
		slog.Float64("seconds", o.Duration.Seconds()),
		slog.String("peer", x.request.RemoteAddr),
	}
	if x.site != nil {
		attrs = append(attrs, slog.String("upstream", x.site.upstream.Address))
	}
	if o.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(o.Reason)), slog.String("error", x.failure.message))
	}
	if len(o.Attempts) > 1 {
		attrs = append(attrs, slog.Int("attempts", len(o.Attempts)))
	}
	if o.NotRetried != "" {
		attrs = append(attrs, slog.String("not_retried", string(o.NotRetried)))
	}
	x.server.log.LogAttrs(ctx, level, text, attrs...)
}
