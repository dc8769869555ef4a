package main

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"qdrant-sidecar/internal/tracing"
)

// tracingHeading heads what the manual says of tracing.
const tracingHeading = "Tracing"

// aboutTracing introduces the variables there. They have no flags and no keys in the
// file: they are OpenTelemetry's, and mean here what they mean everywhere.
const aboutTracing = "Spans of calls and of their attempts go to an OpenTelemetry collector if one of the first three variables asks for it. " +
	"They are OpenTelemetry's own, with its defaults and without flags, and wrong values are reported like those of settings."

// tracingVariables are those that most will need.
var tracingVariables = []struct{ name, value, help string }{
	{"OTEL_EXPORTER_OTLP_ENDPOINT", "URL", "The collector, such as http://collector:4318. Tracing is on when it is set, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or the next one is otlp."},
	{"OTEL_TRACES_EXPORTER", "NAME", "otlp or none."},
	{"OTEL_SDK_DISABLED", "BOOL", "true switches tracing off, whatever else is set."},
	{"OTEL_EXPORTER_OTLP_PROTOCOL", "NAME", "grpc (most collectors: port 4317), http/protobuf (the default, port 4318) or http/json."},
	{"OTEL_EXPORTER_OTLP_HEADERS", "LIST", "name=value,name=value to send with spans, such as a token. It is never shown."},
	{"OTEL_SERVICE_NAME", "NAME", "What the sidecar is called in traces. Default: qdrant-sidecar."},
	{"OTEL_RESOURCE_ATTRIBUTES", "LIST", "name=value,name=value to describe the sidecar, such as k8s.pod.name."},
	{"OTEL_TRACES_SAMPLER", "NAME", "Which calls are recorded. By default those whose callers are, and those whose callers are in no trace: parentbased_always_on."},
	{"OTEL_TRACES_SAMPLER_ARG", "RATIO", "From 0 to 1, for the samplers traceidratio and parentbased_traceidratio."},
}

// readTracing reads OpenTelemetry's variables.
func (c *config) readTracing(getenv func(string) string, found *problems) {
	settings, wrong := tracing.Read(getenv)
	c.tracing = settings
	*found = append(*found, wrong...)
}

// startTracing returns what makes spans; nil when tracing is off.
func (s *sidecar) startTracing() (trace.Tracer, error) {
	settings := s.config.tracing
	if !settings.On {
		return nil, nil
	}
	provider, err := tracing.Start(context.Background(), settings, version, s.log)
	if err != nil {
		return nil, err
	}
	s.traces = provider
	s.log.Info("tracing", "collector", settings.Endpoint, "protocol", settings.Protocol)
	if strings.HasSuffix(settings.Endpoint, ":4317") && settings.Protocol != "grpc" {
		s.log.Warn("the port of the collector is the usual one of OTLP over gRPC, but spans are sent over HTTP: "+
			"perhaps OTEL_EXPORTER_OTLP_PROTOCOL should be grpc", "collector", settings.Endpoint, "protocol", settings.Protocol)
	}
	return provider.Tracer(), nil
}

// flushTraces sends the last spans, in what is left of the time to drain: a collector
// that is away must not hold up the end, and one that is there needs but a moment,
// which it has.
func (s *sidecar) flushTraces(ctx context.Context) {
	if s.traces == nil {
		return
	}
	const least, most = 250 * time.Millisecond, 5 * time.Second
	left := least
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		left = max(left, min(time.Until(deadline), most))
	}
	last, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	s.traces.Shutdown(last)
}
