package e2e_test

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // collectors take it
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// collector is where spans go: OTLP over gRPC and over HTTP.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer
	grpcURL, httpURL string

	mu       sync.Mutex
	spans    []*tracepb.Span
	resource map[string]string
	token    string // of the last message
	raw      []byte // all of them
}

// newCollector serves on two free loopback ports until the test ends.
func newCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, c)
	var served sync.WaitGroup
	served.Go(func() { server.Serve(lis) })
	web := httptest.NewServer(c)
	t.Cleanup(func() {
		web.Close()
		server.Stop()
		served.Wait()
	})
	c.grpcURL, c.httpURL = "http://"+lis.Addr().String(), web.URL
	return c
}

// environment has a sidecar send spans to the collector, and soon. An empty protocol
// is the default one.
func (c *collector) environment(protocol string, more ...string) []string {
	url := c.httpURL
	if protocol == "grpc" {
		url = c.grpcURL
	}
	return append([]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + url,
		"OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
		"OTEL_BSP_SCHEDULE_DELAY=20",
	}, more...)
}

// Export implements collectorpb.TraceServiceServer.
func (c *collector) Export(ctx context.Context, request *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	header, _ := metadata.FromIncomingContext(ctx)
	c.take(request, strings.Join(header.Get("x-token"), ","))
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	request := &collectorpb.ExportTraceServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(raw, request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(r.URL.Path, err), http.StatusBadRequest)
		return
	}
	c.take(request, r.Header.Get("X-Token"))
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) take(request *collectorpb.ExportTraceServiceRequest, token string) {
	raw, _ := proto.Marshal(request)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token, c.raw = token, append(c.raw, raw...)
	for _, of := range request.GetResourceSpans() {
		c.resource = attributesOf(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// await returns the spans as soon as there are n; more fail the test.
func (c *collector) await(t testing.TB, n int) []span {
	t.Helper()
	var found []span
	eventually(t, fmt.Sprintf("%d spans", n), func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.spans) < n {
			return fmt.Errorf("there are %d: %v", len(c.spans), c.spans)
		}
		found = nil
		for _, s := range c.spans {
			found = append(found, span{s, attributesOf(s.GetAttributes())})
		}
		return nil
	})
	if len(found) > n {
		t.Fatalf("%d spans, want %d: %v", len(found), n, found)
	}
	return found
}

// awaitCall returns the spans of the one call that is recorded. That of the call
// itself ends last and comes last.
func (c *collector) awaitCall(t testing.TB) (call span, attempts []span) {
	t.Helper()
	n := 0
	eventually(t, "the span of a call", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		n = len(c.spans)
		for _, s := range c.spans {
			if s.GetKind() == tracepb.Span_SPAN_KIND_SERVER {
				return nil
			}
		}
		return fmt.Errorf("there are only %v", c.spans)
	})
	return split(t, c.await(t, n))
}

// forget drops what has come.
func (c *collector) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans, c.raw = nil, nil
}

// all are the messages that have come, and what came with the last of them.
func (c *collector) all() (raw string, resource map[string]string, token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.raw), c.resource, c.token
}

// span is one that was collected.
type span struct {
	*tracepb.Span
	attributes map[string]string
}

func (s span) trace() string  { return hex.EncodeToString(s.GetTraceId()) }
func (s span) id() string     { return hex.EncodeToString(s.GetSpanId()) }
func (s span) parent() string { return hex.EncodeToString(s.GetParentSpanId()) }

// check compares some attributes; "" is for those that are not to be there.
func (s span) check(t testing.TB, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if s.attributes[name] != value {
			t.Errorf("span %s %v: %s is %q, want %q", s.GetKind(), s.attributes, name, s.attributes[name], value)
		}
	}
}

// split tells the span of a call, of which there is one, from those of its attempts.
func split(t testing.TB, all []span) (call span, attempts []span) {
	t.Helper()
	for _, s := range all {
		switch {
		case s.GetKind() == tracepb.Span_SPAN_KIND_CLIENT:
			attempts = append(attempts, s)
		case s.GetKind() == tracepb.Span_SPAN_KIND_SERVER && call.Span == nil:
			call = s
		default:
			t.Errorf("one span too many: %v", s)
		}
	}
	if call.Span == nil {
		t.Fatal(errors.New("no span of the call"))
	}
	return call, attempts
}

func attributesOf(list []*commonpb.KeyValue) map[string]string {
	found := map[string]string{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			found[a.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			found[a.GetKey()] = fmt.Sprint(v.IntValue)
		default:
			found[a.GetKey()] = fmt.Sprintf("%T", v)
		}
	}
	return found
}
