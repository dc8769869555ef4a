package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// serviceName is the service.name where the variables give none.
const serviceName = "qdrant-sidecar"

// Provider makes spans and sends them. It is shut down once.
type Provider struct {
	sdk     *sdktrace.TracerProvider
	queue   *queue
	exports *exports
}

// Start begins to send spans as s says. That the collector can be reached is no
// condition. It replaces what the SDK, of which a process has one, logs to.
func Start(ctx context.Context, s Settings, version string, log *slog.Logger) (*Provider, error) {
	q := newQueue(s.queue, log)
	// What it says there are values that it could not parse, with what was in them;
	// Read has told of those. Its default is plain text between our lines.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(q.complain))
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(serviceName), semconv.ServiceVersion(version)),
		resource.WithFromEnv(), // the last one wins
	)
	if err != nil {
		return nil, fmt.Errorf("describing this process for traces: %w", err)
	}
	exporter, err := newExporter(ctx, s.Protocol)
	if err != nil {
		return nil, fmt.Errorf("sending traces to %s: %w", s.Endpoint, err)
	}
	return newProvider(q, exporter, about), nil
}

func newProvider(q *queue, to sdktrace.SpanExporter, about *resource.Resource) *Provider {
	e := newExports(to, q)
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor(e, sdktrace.WithMaxQueueSize(int(q.most)))
	return &Provider{
		sdk:     sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSpanProcessor(q)),
		queue:   q,
		exports: e,
	}
}

func newExporter(ctx context.Context, protocol string) (*otlptrace.Exporter, error) {
	if protocol == grpcProtocol {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// Tracer returns what makes spans. It may be used concurrently.
func (p *Provider) Tracer() trace.Tracer {
	return p.sdk.Tracer(serviceName, trace.WithSchemaURL(semconv.SchemaURL))
}

// Shutdown sends what is waiting, as long as ctx allows, and ends everything.
func (p *Provider) Shutdown(ctx context.Context) {
	// Its error is that of ctx, or of spans that the queue has counted.
	_ = p.sdk.Shutdown(ctx)
	p.exports.cut()
	// The SDK does not wait for what is cut now.
	last := time.NewTimer(cutPatience)
	defer last.Stop()
	select {
	case <-p.exports.ended:
	case <-last.C:
	}
	p.queue.end()
}

// cutPatience is how long exports have to notice that they are cut.
const cutPatience = 100 * time.Millisecond
