package proxy

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"qdrant-sidecar/internal/h2"
)

const (
	traceName = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent    = "00-" + traceName + "-00f067aa0ba902b7-01"
)

// recorder returns a tracer and what it has recorded.
func recorder(t testing.TB, sampler sdktrace.Sampler) (trace.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	r := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r), sdktrace.WithSampler(sampler))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return provider.Tracer("test"), r
}

// Only traceparent changes, and stays where it was; tracestate goes with its trace.
func TestPropagateKeepsAllElse(t *testing.T) {
	const told = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"
	id := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}
	for i := range id.TraceID {
		id.TraceID[i] = byte(i + 1)
	}
	for i := range id.SpanID {
		id.SpanID[i] = byte(i + 17)
	}
	span := trace.SpanFromContext(trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(id)))
	for _, test := range []struct {
		name     string
		root     bool
		in, want []string
	}{
		{"in its place", false, []string{"a", "1", "traceparent", parent, "tracestate", "x=1", "tracestate", "y=2", "a", "1", "b-bin", ""}, []string{"a", "1", "traceparent", told, "tracestate", "x=1", "tracestate", "y=2", "a", "1", "b-bin", ""}},
		{"none", true, []string{"a", "1", "baggage", "u=1"}, []string{"a", "1", "baggage", "u=1", "traceparent", told}},
		{"not one that can be read", true, []string{"tracestate", "x=1", "traceparent", "?", "a", "1", "traceparent", "?"}, []string{"traceparent", told, "a", "1"}},
		{"an empty header", true, nil, []string{"traceparent", told}},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := fields(test.in...)
			before := slices.Clone(in)
			s := &spans{attempt: span, root: test.root}
			out := s.propagate(in)
			for i := range out {
				if out[i].Sensitive != (out[i].Name == "traceparent") {
					t.Errorf("%v: may it be indexed?", out[i])
				}
				out[i].Sensitive = false
			}
			if !slices.Equal(out, fields(test.want...)) {
				t.Errorf("got %v, want %q", out, test.want)
			}
			// Attempts share it, and other calls of the connection do.
			if !slices.Equal(in, before) {
				t.Errorf("the header itself became %v", in)
			}
		})
	}
}

func fields(namesAndValues ...string) (f h2.Fields) {
	for i := 0; i < len(namesAndValues); i += 2 {
		f = append(f, h2.Field(namesAndValues[i], namesAndValues[i+1]))
	}
	return f
}

// Logs and metrics name the trace of a call whether or not there is tracing.
func TestTraceID(t *testing.T) {
	tracer, _ := recorder(t, sdktrace.AlwaysSample())
	none, _ := recorder(t, sdktrace.NeverSample())
	for _, test := range []struct {
		name   string
		tracer trace.Tracer
		header h2.Fields
		want   string // "new" for any
	}{
		{"off", nil, nil, ""},
		{"off, the caller's", nil, fields("traceparent", parent), traceName},
		{"off, malformed", nil, fields("traceparent", "00-nonsense"), ""},
		{"off, upper case", nil, fields("traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"), ""},
		{"off, two", nil, fields("traceparent", parent, "traceparent", parent), ""},
		{"off, a version to come", nil, fields("traceparent", "01"+parent[2:]+"-more"), traceName},
		{"on", tracer, nil, "new"},
		{"on, the caller's", tracer, fields("traceparent", parent), traceName},
		{"not recorded", none, nil, ""},
		{"not recorded, the caller's", none, fields("traceparent", parent), traceName},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newTestCall("/qdrant.Points/Query")
			c.Header = test.header
			if traces := newTracing(test.tracer); traces != nil {
				_ = traces.begin(t.Context(), c)
			}
			if got := c.traceID(); got != test.want && (test.want != "new" || len(got) != 32) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			// An exemplar leads to it, for every trace here is recorded by somebody.
			if got := c.recordedTrace(); got != c.traceID() {
				t.Errorf("an exemplar would name the trace %q, not %q", got, c.traceID())
			}
		})
	}
}

// FuzzTraceContext gives callers' fields to what reads them and to what writes.
func FuzzTraceContext(f *testing.F) {
	f.Add(parent, "x=1,y=2")
	f.Add("00-"+traceName+"-0000000000000000-01", "")
	f.Add("ff"+parent[2:], "=")
	tracer, _ := recorder(f, sdktrace.AlwaysSample())
	traces := newTracing(tracer)
	f.Fuzz(func(t *testing.T, traceparent, tracestate string) {
		c := newTestCall("/qdrant.Points/Query")
		c.Header = fields("traceparent", traceparent, "tracestate", tracestate)
		known := c.traceID()
		_ = traces.begin(t.Context(), c)
		_ = traces.beginAttempt(t.Context(), c)
		out := c.spans.propagate(c.Header)
		told := incoming(out)
		if !told.IsValid() || told.TraceID().String() != c.traceID() || known != "" && known != c.traceID() {
			t.Errorf("%q became %v", traceparent, out)
		}
		if out.Has("tracestate") != (known != "") {
			t.Errorf("%q %q became %v", traceparent, tracestate, out)
		}
	})
}

// A panic ends the spans that it passes, and says no more in them than to the caller.
func TestSpansOfPanics(t *testing.T) {
	tracer, recorded := recorder(t, sdktrace.AlwaysSample())
	s, _ := newServer(t)
	s.tracing = newTracing(tracer)
	if err := outer(s, func() error { panic("PLANTED") })(newTestCall("/qdrant.Points/Query")); err == nil {
		t.Error("no error")
	}
	ended := recorded.Ended()
	if len(ended) != 1 || ended[0].Status().Description != "qdrant-sidecar: the sidecar failed on this call; its log has the details" {
		t.Errorf("%v", ended)
	}
}

// Calls that no endpoint was found for have no attempt to tell of.
func TestSpansOfRefusedCalls(t *testing.T) {
	tracer, recorded := recorder(t, sdktrace.AlwaysSample())
	s, _ := newServer(t)
	s.tracing = newTracing(tracer)
	c := newTestCall("/qdrant.Points/Query")
	c.refused = errHeaderTooLarge
	chain := chainUnary(s.stack(), &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) { return nil, errors.New("reached") })
	if _, err := chain(t.Context(), c); err == nil {
		t.Error("no error")
	}
	if ended := recorded.Ended(); len(ended) != 1 || ended[0].SpanKind() != trace.SpanKindServer {
		t.Errorf("%v", ended)
	}
}

// tracers are without, with one that records nothing, and with one that records all.
func tracers(tb testing.TB) map[string]trace.Tracer {
	discard := func(sampler sdktrace.Sampler) trace.Tracer {
		provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler))
		tb.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
		return provider.Tracer("test")
	}
	return map[string]trace.Tracer{
		"off": nil, "unsampled": discard(sdktrace.NeverSample()), "sampled": discard(sdktrace.AlwaysSample()),
	}
}

// TestNoTracingNoLayers holds that nothing of tracing is in the way of calls when it
// is off.
func TestNoTracingNoLayers(t *testing.T) {
	all := tracers(t)
	for state, policy := range policies() {
		off := newTracedCourse(t, policy, nil, time.Minute)
		on := newTracedCourse(t, policy, all["sampled"], time.Minute)
		count := func(s *Server) int { return len(s.onceACall()) + len(s.onceAnAttempt()) }
		if without, with := count(off.server), count(on.server); with != without+2 {
			t.Errorf("policy %s: %d layers without tracing, %d with", state, without, with)
		}
		allocs := map[string]float64{}
		for name, tracer := range all {
			allocs[name] = testing.AllocsPerRun(1000, newTracedCourse(t, policy, tracer, time.Minute).call)
		}
		t.Logf("policy %s: allocations %v", state, allocs)
		if allocs["off"] >= allocs["unsampled"] || allocs["unsampled"] >= allocs["sampled"] {
			t.Errorf("policy %s: allocations %v", state, allocs)
		}
	}
}

// BenchmarkTracing is the time of a call less what reads, forwards and writes it.
func BenchmarkTracing(b *testing.B) {
	for name, tracer := range tracers(b) {
		b.Run(name, func(b *testing.B) {
			o := newTracedCourse(b, policies()["on"], tracer, time.Minute)
			b.ReportAllocs()
			for b.Loop() {
				o.call()
			}
		})
	}
}
