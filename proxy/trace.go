package proxy

import (
	"context"
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// tracing makes the spans of calls: one for what the caller saw, and within it one
// for each attempt. A Server without a tracer has none, and no layer that would ask.
type tracing struct {
	tracer         trace.Tracer
	server, client trace.SpanStartOption
	methods        []methodSpans // by method.Index
}

// methodSpans is what the spans of a method have in common.
type methodSpans struct {
	name       string
	attributes []attribute.KeyValue
}

// spans are those of a call that is recorded.
type spans struct {
	call trace.Span
	// root says that the caller is in no trace, or in none that can be read.
	root bool
	// attempt is the span of the attempt under way or of the last one.
	attempt trace.Span
	// before is the connection of the attempt before, which is still the call's when
	// this one got none.
	before *pool.Lease
	// failed is what the attempt before came to.
	failed resilience.Cause
	// attributes are those of one span at a time, which takes a copy.
	attributes [mostAttributes]attribute.KeyValue
}

// Our own attributes.
const (
	reasonKey      = attribute.Key("qdrant_sidecar.reason")
	notRetriedKey  = attribute.Key("qdrant_sidecar.not_retried")
	attemptsKey    = attribute.Key("qdrant_sidecar.attempts")
	attemptKey     = attribute.Key("qdrant_sidecar.attempt")
	retryReasonKey = attribute.Key("qdrant_sidecar.retry_reason")
	outcomeKey     = attribute.Key("qdrant_sidecar.outcome")
	connectionKey  = attribute.Key("qdrant_sidecar.connection")
)

// Names that OpenTelemetry gave these until its conventions for RPC settled, by
// which many dashboards still look for them.
const (
	oldSystemKey  = attribute.Key("rpc.system")
	oldServiceKey = attribute.Key("rpc.service")
	oldStatusKey  = attribute.Key("rpc.grpc.status_code")
)

// mostAttributes is how many a span has at most.
const mostAttributes = 16

// newTracing returns nil when there is no tracer.
func newTracing(tracer trace.Tracer) *tracing {
	if tracer == nil {
		return nil
	}
	t := &tracing{
		tracer: tracer,
		server: trace.WithSpanKind(trace.SpanKindServer), client: trace.WithSpanKind(trace.SpanKindClient),
	}
	grpc := []attribute.KeyValue{semconv.RPCSystemNameGRPC, oldSystemKey.String("grpc")}
	for m := range method.All() {
		if m == method.Other {
			// Whoever calls can make up names, so that they are no names for spans.
			t.methods = append(t.methods, methodSpans{"grpc", append(grpc[:2:2], semconv.RPCMethod("_OTHER"))})
			continue
		}
		name := m.Service + "/" + m.Name
		t.methods = append(t.methods, methodSpans{name, append(grpc[:2:2], semconv.RPCMethod(name), oldServiceKey.String(m.Service))})
	}
	return t
}

// callLayer is the place of the spans of calls in the stack; none without tracing.
func (t *tracing) callLayer() layers {
	if t == nil {
		return nil
	}
	return layers{{enter: t.begin, leave: t.end}}
}

// attemptLayer is the place of the spans of attempts in the stack.
func (t *tracing) attemptLayer() layers {
	if t == nil {
		return nil
	}
	return layers{{enter: t.beginAttempt, leave: t.endAttempt}}
}

// begin has the sampler decide whether the call is recorded.
func (t *tracing) begin(_ context.Context, c *Call) error {
	caller := incoming(c.Header)
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), caller)
	_, span := t.tracer.Start(ctx, t.methods[c.Method.Index].name, t.server, trace.WithTimestamp(c.Started))
	if span.IsRecording() {
		c.spans = &spans{call: span, root: !caller.IsValid()}
	}
	return nil
}

// end tells what the caller saw.
func (t *tracing) end(_ context.Context, c *Call, err error) error {
	if c.spans == nil {
		return err
	}
	number := codeNumber(err)
	attributes := t.attributes(c, number)
	attributes = append(attributes, attemptsKey.Int(c.Attempts))
	attributes = appendAddress(attributes, c.Authority)
	if peer, ok := c.Peer.(*net.TCPAddr); ok {
		attributes = append(attributes, semconv.ClientAddress(peer.IP.String()), semconv.ClientPort(peer.Port))
	}
	if agent := c.Header.Get("user-agent"); agent != "" {
		attributes = append(attributes, semconv.UserAgentOriginal(text(agent)))
	}
	if c.Reason != "" {
		attributes = append(attributes, reasonKey.String(string(c.Reason)))
	}
	if c.NotRetried != "" {
		attributes = append(attributes, notRetriedKey.String(string(c.NotRetried)))
	}
	span := c.spans.call
	span.SetAttributes(attributes...)
	if serverErrors[number] || c.Reason != "" && c.Reason != Cancelled {
		message := ""
		if c.Reason != "" {
			message = text(ownWords(c.Reason, err))
		}
		span.SetStatus(otelcodes.Error, message)
	}
	span.End()
	return err
}

// serverErrors are the codes that OpenTelemetry takes for failures of the server;
// with the others a server has done its work.
var serverErrors = map[codes.Code]bool{
	codes.Unknown: true, codes.DeadlineExceeded: true, codes.Unimplemented: true,
	codes.Internal: true, codes.Unavailable: true, codes.DataLoss: true,
}

// beginAttempt makes the span whose context the upstream gets.
func (t *tracing) beginAttempt(_ context.Context, c *Call) error {
	s := c.spans
	if s == nil {
		return nil
	}
	s.before = c.lease
	ctx := trace.ContextWithSpan(context.Background(), s.call)
	_, s.attempt = t.tracer.Start(ctx, t.methods[c.Method.Index].name, t.client)
	return nil
}

// endAttempt tells what the attempt came to.
func (t *tracing) endAttempt(_ context.Context, c *Call, err error) error {
	s := c.spans
	if s == nil {
		return err
	}
	st, answered := status.FromError(err)
	number, message := st.Code(), "" // what the upstream says can hold user data
	if !answered {
		own := judge(err)
		number, message = own.code, text(own.message)
	}
	attributes := t.attributes(c, number)
	attributes = append(attributes, semconv.DBSystemNameKey.String("qdrant"),
		attemptKey.Int(c.Attempts), outcomeKey.String(c.verdict.Cause.String()))
	attributes = appendAddress(attributes, c.node.Address())
	if c.lease != s.before {
		attributes = append(attributes, connectionKey.Int(c.lease.Connection()))
	}
	if c.Attempts > 1 {
		attributes = append(attributes, retryReasonKey.String(s.failed.String()))
	}
	s.attempt.SetAttributes(attributes...)
	if err != nil {
		s.failed = c.verdict.Cause
		s.attempt.SetStatus(otelcodes.Error, message)
	}
	s.attempt.End()
	return err
}

// attributes are those that both kinds of spans have.
func (t *tracing) attributes(c *Call, number codes.Code) []attribute.KeyValue {
	name := code.Code(number).String()
	all := append(c.spans.attributes[:0], t.methods[c.Method.Index].attributes...)
	all = append(all, semconv.RPCResponseStatusCode(name), oldStatusKey.Int64(int64(number)))
	if c.Method == method.Other {
		all = append(all, semconv.RPCMethodOriginal(text(strings.TrimPrefix(c.FullMethod, "/"))))
	}
	if c.Collection != "" {
		all = append(all, semconv.DBCollectionName(text(c.Collection)))
	}
	if number != codes.OK {
		all = append(all, semconv.ErrorTypeKey.String(name))
	}
	return all
}

// appendAddress adds host and port of an address; a socket has no port.
func appendAddress(all []attribute.KeyValue, address string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(address)
	if err != nil && address == "" {
		return all // as HTTP/2 allows
	}
	if err != nil {
		return append(all, semconv.ServerAddress(text(address)))
	}
	all = append(all, semconv.ServerAddress(text(host)))
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		all = append(all, semconv.ServerPort(int(n)))
	}
	return all
}

// text is what somebody else wrote, as a value that OTLP can carry: a collector
// refuses all spans of a message in which one has a string that is not UTF-8.
func text(s string) string { return strings.ToValidUTF8(clip(s), "\uFFFD") }
