package rest

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"qdrant-sidecar/resilience"
)

// beginSpan has the sampler decide whether the request is recorded. Neither its path
// nor its query will be: they can hold user data.
func (x *exchange) beginSpan() {
	tracer := x.server.cfg.Tracer
	if tracer == nil {
		return
	}
	ctx := context.Background()
	if len(x.request.Header["Traceparent"]) == 1 { // several are none
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(x.request.Header))
	}
	x.rootTrace = !trace.SpanContextFromContext(ctx).IsValid()
	name, attributes := x.methodAttributes()
	if x.route.name != otherName {
		_, path, _ := strings.Cut(x.route.name, " ")
		name += " " + path
		attributes = append(attributes, semconv.HTTPRoute(path))
	}
	_, span := tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(x.started))
	if !span.IsRecording() {
		return
	}
	if host, port, err := net.SplitHostPort(x.request.RemoteAddr); err == nil {
		n, _ := strconv.Atoi(port)
		attributes = append(attributes, semconv.ClientAddress(host), semconv.ClientPort(n))
	}
	if agent := x.request.UserAgent(); agent != "" {
		attributes = append(attributes, semconv.UserAgentOriginal(strings.ToValidUTF8(agent[:min(len(agent), 200)], "")))
	}
	span.SetAttributes(attributes...)
	x.recording = span
}

// methodAttributes tells a request's method, and what names a span by it: callers
// can make up methods, so that those of HTTP have names only.
func (x *exchange) methodAttributes() (name string, attributes []attribute.KeyValue) {
	name = x.request.Method
	if !slices.Contains(httpMethods, name) {
		return "HTTP", []attribute.KeyValue{semconv.HTTPRequestMethodOther}
	}
	return name, []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(name)}
}

var httpMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// endSpan tells what the caller saw.
func (x *exchange) endSpan(o Observation) {
	if x.recording == nil {
		return
	}
	x.recording.SetAttributes(attribute.Int("qdrant_sidecar.attempts", len(o.Attempts)))
	if o.Code != 0 {
		x.recording.SetAttributes(semconv.HTTPResponseStatusCode(o.Code))
	}
	if o.NotRetried != "" {
		x.recording.SetAttributes(attribute.String("qdrant_sidecar.not_retried", string(o.NotRetried)))
	}
	switch {
	case o.Reason != "":
		x.recording.SetAttributes(attribute.String("qdrant_sidecar.reason", string(o.Reason)), semconv.ErrorTypeKey.String(string(o.Reason)))
		if o.Reason != Cancelled {
			x.recording.SetStatus(codes.Error, x.failure.message)
		}
	case o.Code >= http.StatusInternalServerError:
		x.recording.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(o.Code)))
		x.recording.SetStatus(codes.Error, "")
	}
	x.recording.End()
}

// beginAttemptSpan makes the span of an attempt and tells Qdrant of it. The span is
// nil when the request is not recorded; then the header goes as it came.
func (x *exchange) beginAttemptSpan(out *http.Request) trace.Span {
	if x.recording == nil {
		return nil
	}
	name, attributes := x.methodAttributes()
	ctx, span := x.server.cfg.Tracer.Start(trace.ContextWithSpan(context.Background(), x.recording), name, trace.WithSpanKind(trace.SpanKindClient))
	host, port, err := net.SplitHostPort(x.site.upstream.Address)
	if err != nil {
		host = x.site.upstream.Address
	}
	attributes = append(attributes, semconv.DBSystemNameKey.String("qdrant"), semconv.ServerAddress(host))
	if n, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, semconv.ServerPort(n))
	}
	if n := len(x.attempts); n > 0 {
		attributes = append(attributes, semconv.HTTPRequestResendCount(n),
			attribute.String("qdrant_sidecar.retry_reason", x.attempts[n-1].String()))
	}
	span.SetAttributes(attributes...)
	state := out.Header["Tracestate"]
	out.Header = out.Header.Clone()
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(out.Header))
	// It belongs to the trace, and goes as it came; but not with another trace.
	delete(out.Header, "Tracestate")
	if len(state) > 0 && !x.rootTrace {
		out.Header["Tracestate"] = state
	}
	return span
}

// endAttemptSpan tells what an attempt came to.
func endAttemptSpan(span trace.Span, answer *http.Response, cause resilience.Cause) {
	if span == nil {
		return
	}
	span.SetAttributes(attribute.String("qdrant_sidecar.outcome", cause.String()))
	failed := answer == nil
	kind := cause.String()
	if answer != nil {
		span.SetAttributes(semconv.HTTPResponseStatusCode(answer.StatusCode))
		failed, kind = answer.StatusCode >= http.StatusBadRequest, strconv.Itoa(answer.StatusCode)
	}
	if failed {
		span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
