package proxy

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/h2"
)

// The fields of W3C Trace Context.
const (
	traceparentField = "traceparent"
	tracestateField  = "tracestate"
)

// incoming is the span of the caller's that a header names; the zero one when it
// names none, or none that can be read.
func incoming(header h2.Fields) trace.SpanContext {
	if !header.Has(traceparentField) {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier(header)))
}

// carrier gives OpenTelemetry a header to read.
type carrier h2.Fields

// Get implements propagation.TextMapCarrier. Several fields of a name are a list, as
// anywhere in HTTP: right for a tracestate, and no traceparent.
func (c carrier) Get(name string) string { return strings.Join(h2.Fields(c).Values(name), ",") }

// Set implements propagation.TextMapCarrier. Nothing is written this way.
func (carrier) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	names := make([]string, 0, len(c))
	for _, f := range c {
		names = append(names, f.Name)
	}
	return names
}

// propagate returns the header with the span of the attempt as what called the
// upstream, where the caller's was if there was one. All else stays as it is: what
// the caller's vendors keep in tracestate belongs to the trace, unless it is a new
// one (W3C Trace Context §3.3).
func (s *spans) propagate(header h2.Fields) h2.Fields {
	sc := s.attempt.SpanContext()
	parent := hpack.HeaderField{
		Name:  traceparentField,
		Value: "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String(),
		// It is never the same twice, so it is kept out of the table of compression.
		Sensitive: true,
	}
	out := make(h2.Fields, 0, len(header)+1)
	at := -1
	for _, f := range header {
		switch {
		case f.Name == traceparentField && at < 0:
			at = len(out)
		case f.Name == traceparentField, f.Name == tracestateField && s.root:
		default:
			out = append(out, f)
		}
	}
	if at < 0 {
		return append(out, parent)
	}
	return slices.Insert(out, at, parent)
}

// traceID names the trace that the call is part of, in hexadecimal: that of its spans
// or, where it has none, that of its caller. "" when it is in no trace.
func (c *Call) traceID() string {
	if c.spans != nil {
		return c.spans.call.SpanContext().TraceID().String()
	}
	if caller := incoming(c.Header); caller.IsValid() {
		return caller.TraceID().String()
	}
	return ""
}
