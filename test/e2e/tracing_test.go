package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/test/sidecar"
)

const (
	callerTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callerSpan  = "00f067aa0ba902b7"
	sampled     = "00-" + callerTrace + "-" + callerSpan + "-01"
	unsampled   = "00-" + callerTrace + "-" + callerSpan + "-00"
)

// contexts records the trace context of what arrives at an upstream, which fails the
// first calls.
type contexts struct {
	failures int

	mu      sync.Mutex
	headers []metadata.MD
}

func (r *contexts) handle(c call) ([]byte, error) {
	if c.method == "/qdrant.Qdrant/HealthCheck" {
		return healthy(c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers = append(r.headers, c.header)
	if len(r.headers) <= r.failures {
		return nil, status.Error(codes.Unavailable, "not now")
	}
	return nil, nil
}

// seen returns the values of a field, attempt by attempt.
func (r *contexts) seen(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var values []string
	for _, header := range r.headers {
		values = append(values, strings.Join(header.Get(name), " and "))
	}
	return values
}

// TestTracing follows a call with one retry through both protocols.
func TestTracing(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf", ""} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			up := &contexts{failures: 1}
			u, to := newUpstream(t, up.handle), newCollector(t)
			s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--retry-base-delay=0"}, Env: to.environment(protocol,
				"OTEL_EXPORTER_OTLP_HEADERS=x-token=a%20b", "OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop",
			)})
			ctx := metadata.AppendToOutgoingContext(bounded(t), "traceparent", sampled, "tracestate", "vendor=x,other=y", "baggage", "user=7")
			if _, err := newClient(t, s.GRPC).Query(ctx, &qdrant.QueryPoints{CollectionName: "things"}); err != nil {
				t.Fatal(err)
			}
			call, attempts := to.awaitCall(t)
			if call.GetName() != "qdrant.Points/Query" || call.trace() != callerTrace || call.parent() != callerSpan {
				t.Errorf("the call's span: %v", call)
			}
			host, port, _ := net.SplitHostPort(s.GRPC)
			call.check(t, map[string]string{
				"rpc.system.name": "grpc", "rpc.method": "qdrant.Points/Query", "rpc.response.status_code": "OK",
				"rpc.system": "grpc", "rpc.service": "qdrant.Points", "rpc.grpc.status_code": "0",
				"db.collection.name": "things", "server.address": host, "server.port": port, "client.address": "127.0.0.1",
				"error.type": "", "qdrant_sidecar.attempts": "2", "qdrant_sidecar.reason": "",
			})
			if call.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_UNSET || !strings.Contains(call.attributes["user_agent.original"], "grpc-go") {
				t.Errorf("the call's span: %v", call)
			}
			checkAttempts(t, u, call, attempts)
			want := []string{
				"00-" + callerTrace + "-" + attempts[0].id() + "-01",
				"00-" + callerTrace + "-" + attempts[1].id() + "-01",
			}
			if got := up.seen("traceparent"); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the upstream was told %q, want %q", got, want)
			}
			for name, value := range map[string]string{"tracestate": "vendor=x,other=y", "baggage": "user=7"} {
				if got := up.seen(name); got[0] != value || got[1] != value {
					t.Errorf("%s arrived as %q", name, got)
				}
			}
			_, resource, token := to.all()
			if resource["service.name"] != "qdrant-sidecar" || resource["service.namespace"] != "shop" || resource["telemetry.sdk.name"] == "" || token != "a b" {
				t.Errorf("resource %v, token %q", resource, token)
			}
		})
	}
}

func checkAttempts(t *testing.T, u *upstream, call span, attempts []span) {
	t.Helper()
	if len(attempts) != 2 {
		t.Fatalf("%d attempts", len(attempts))
	}
	host, port, _ := net.SplitHostPort(u.addr)
	for _, a := range attempts {
		if a.GetName() != "qdrant.Points/Query" || a.trace() != callerTrace || a.parent() != call.id() {
			t.Errorf("an attempt's span: %v", a)
		}
		if a.GetStartTimeUnixNano() < call.GetStartTimeUnixNano() || a.GetEndTimeUnixNano() > call.GetEndTimeUnixNano() {
			t.Errorf("not within its call's time: %v", a)
		}
		a.check(t, map[string]string{
			"server.address": host, "server.port": port, "db.system.name": "qdrant", "db.collection.name": "things",
		})
	}
	attempts[0].check(t, map[string]string{
		"qdrant_sidecar.attempt": "1", "qdrant_sidecar.retry_reason": "", "qdrant_sidecar.outcome": "unavailable", "qdrant_sidecar.connection": "0",
		"rpc.response.status_code": "UNAVAILABLE", "error.type": "UNAVAILABLE",
	})
	attempts[1].check(t, map[string]string{
		"qdrant_sidecar.attempt": "2", "qdrant_sidecar.retry_reason": "unavailable", "qdrant_sidecar.outcome": "ok",
		"rpc.response.status_code": "OK", "error.type": "",
	})
	// What the upstream says can hold user data.
	if st := attempts[0].GetStatus(); st.GetCode() != tracepb.Status_STATUS_CODE_ERROR || st.GetMessage() != "" {
		t.Errorf("the first attempt's status is %v", st)
	}
}

// TestTracingSamples leaves alone what is not to be recorded.
func TestTracingSamples(t *testing.T) {
	t.Parallel()
	up := &contexts{}
	u, to := newUpstream(t, up.handle), newCollector(t)
	for _, tt := range []struct {
		name       string
		env        []string
		in         []string
		parent     string
		recorded   bool
		wantSame   bool // the upstream gets what the caller sent
		tracestate string
	}{
		{name: "unsampled", in: []string{"traceparent", unsampled, "tracestate", "v=1"}, wantSame: true, tracestate: "v=1"},
		{name: "sampled", in: []string{"traceparent", sampled}, recorded: true, parent: callerSpan},
		{name: "no trace", recorded: true},
		{name: "no trace that can be read", in: []string{"traceparent", "00-nonsense", "tracestate", "v=1"}, recorded: true},
		{name: "two traces", in: []string{"traceparent", sampled, "traceparent", sampled}, recorded: true},
		{name: "always_off", env: []string{"OTEL_TRACES_SAMPLER=always_off"}, in: []string{"traceparent", sampled}, wantSame: true},
		{name: "never by ratio", env: []string{"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}, wantSame: true},
		{name: "always_on", env: []string{"OTEL_TRACES_SAMPLER=always_on"}, in: []string{"traceparent", unsampled}, recorded: true, parent: callerSpan},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to.forget()
			before := len(up.seen("traceparent"))
			s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Env: to.environment("grpc", tt.env...)})
			ctx := metadata.AppendToOutgoingContext(bounded(t), tt.in...)
			if _, err := newClient(t, s.GRPC).Count(ctx, &qdrant.CountPoints{CollectionName: "c"}); err != nil {
				t.Fatal(err)
			}
			s.Stop() // sends what there is
			sent, _ := metadata.FromOutgoingContext(ctx)
			got := up.seen("traceparent")[before]
			if same := got == strings.Join(sent.Get("traceparent"), " and "); same != tt.wantSame {
				t.Errorf("the upstream was told %q of %q", got, sent.Get("traceparent"))
			}
			if state := up.seen("tracestate")[before]; state != tt.tracestate {
				t.Errorf("the upstream got the tracestate %q, want %q", state, tt.tracestate)
			}
			if !tt.recorded {
				to.await(t, 0)
				return
			}
			call, attempts := to.awaitCall(t)
			if call.parent() != tt.parent || !strings.Contains(got, attempts[0].trace()+"-"+attempts[0].id()+"-01") {
				t.Errorf("parent %q; told %q by %v", call.parent(), got, attempts[0])
			}
		})
	}
}

// TestTracingOfAnything has spans of methods that nobody knows, of streams, of calls
// that the sidecar fails, and of REST.
func TestTracingOfAnything(t *testing.T) {
	t.Parallel()
	up := &contexts{}
	u, to := newUpstream(t, up.handle), newCollector(t)
	url := restUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Seen-Parent", r.Header.Get("Traceparent"))
		if strings.Contains(r.URL.Path, "broken") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s := startREST(t, url, sidecar.Options{Env: append(to.environment("grpc"), "QDRANT_URL="+u.url()), Args: []string{"--retry-base-delay=0"}})
	conn := newConn(t, s.GRPC, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawgrpc.Codec{})))
	request := func(body string) *rawgrpc.Message {
		return &rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer(body)}}
	}
	t.Run("unknown method", func(t *testing.T) {
		to.forget()
		if err := conn.Invoke(bounded(t), "/acme.Thing/Do", request(""), request("")); err != nil {
			t.Fatal(err)
		}
		call, attempts := to.awaitCall(t)
		for _, s := range []span{call, attempts[0]} {
			s.check(t, map[string]string{"rpc.method": "_OTHER", "rpc.method_original": "acme.Thing/Do", "rpc.response.status_code": "OK"})
		}
		if call.GetName() != "grpc" || attempts[0].parent() != call.id() {
			t.Errorf("spans %v, %v", call, attempts)
		}
	})
	t.Run("names that are not UTF-8", func(t *testing.T) {
		to.forget()
		if err := conn.Invoke(bounded(t), "/acme.Thing/Do\xff", request(""), request("")); err != nil {
			t.Fatal(err)
		}
		call, _ := to.awaitCall(t)
		call.check(t, map[string]string{"rpc.method_original": "acme.Thing/Do\uFFFD"})
	})
	t.Run("REST", func(t *testing.T) {
		to.forget()
		answer, _ := ask(t, s.REST, http.MethodGet, "/collections/c/exists?x=y", nil)
		call, attempts := to.awaitCall(t)
		if call.GetName() != "GET /collections/{collection_name}/exists" || attempts[0].GetName() != "GET" || attempts[0].parent() != call.id() {
			t.Errorf("spans %v, %v", call, attempts)
		}
		if want := "00-" + call.trace() + "-" + attempts[0].id() + "-01"; answer.Header.Get("Seen-Parent") != want {
			t.Errorf("the upstream was told %q, want %q", answer.Header.Get("Seen-Parent"), want)
		}
		call.check(t, map[string]string{"http.request.method": "GET", "http.response.status_code": "200", "qdrant_sidecar.attempts": "1"})
	})
	t.Run("REST, repeated", func(t *testing.T) {
		to.forget()
		ask(t, s.REST, http.MethodGet, "/collections/broken/exists", nil)
		call, attempts := to.awaitCall(t)
		call.check(t, map[string]string{"http.response.status_code": "500", "error.type": "500", "qdrant_sidecar.attempts": "2"})
		attempts[1].check(t, map[string]string{"http.request.resend_count": "1", "qdrant_sidecar.retry_reason": "internal"})
	})
	t.Run("our own errors", func(t *testing.T) {
		to.forget()
		u.stop()
		err := conn.Invoke(bounded(t), "/qdrant.Points/Delete", request(""), request(""))
		call, attempts := to.awaitCall(t)
		call.check(t, map[string]string{"qdrant_sidecar.reason": reason(err), "rpc.response.status_code": "UNAVAILABLE"})
		if st := call.GetStatus(); st.GetMessage() != statusOf(err).Message() || st.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
			t.Errorf("status %v, want %v", st, err)
		}
		// The first may still have found the connection.
		attempts[len(attempts)-1].check(t, map[string]string{"qdrant_sidecar.connection": "", "qdrant_sidecar.outcome": "unreachable"})
	})
}

// TestTracingKeepsSecrets plants what no span may tell.
func TestTracingKeepsSecrets(t *testing.T) {
	t.Parallel()
	const planted = "PLANTED"
	u := newUpstream(t, func(c call) ([]byte, error) {
		if c.method == "/qdrant.Qdrant/HealthCheck" {
			return healthy(c)
		}
		return nil, status.Error(codes.InvalidArgument, "no "+planted+"-message")
	})
	url := restUpstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, planted+"-answer") })
	to := newCollector(t)
	s := startREST(t, url, sidecar.Options{Env: append(to.environment("http/protobuf", "OTEL_EXPORTER_OTLP_HEADERS=x-token="+planted+"-token"),
		"QDRANT_URL="+u.url(), "QDRANT_API_KEY="+planted+"-key")})
	client := newClient(t, s.GRPC)
	ctx := metadata.AppendToOutgoingContext(bounded(t), "authorization", planted+"-auth", "x-other", planted+"-header", "baggage", "b="+planted)
	point := &qdrant.PointStruct{
		Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectorsDense([]float32{0.123456789}),
		Payload: qdrant.NewValueMap(map[string]any{planted + "-field": planted + "-payload"}),
	}
	if _, err := client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "c", Points: []*qdrant.PointStruct{point}}); err == nil {
		t.Error("the upstream was content")
	}
	if _, err := client.Count(bounded(t), &qdrant.CountPoints{CollectionName: "c", Filter: &qdrant.Filter{
		Must: []*qdrant.Condition{qdrant.NewMatchKeyword(planted+"-field", planted+"-filter")},
	}}); err == nil {
		t.Error("the upstream was content")
	}
	ask(t, s.REST, http.MethodPut, "/collections/c/points/"+planted+"?key="+planted, strings.NewReader(planted))
	to.await(t, 6)
	raw, _, _ := to.all()
	if strings.Contains(raw, planted) || !strings.Contains(raw, "qdrant.Points/Upsert") {
		t.Errorf("spans tell: %q", regexp.MustCompile(`.{0,40}`+planted+`.{0,20}`).FindAllString(raw, -1))
	}
	if strings.Contains(s.Log().String(), planted) {
		t.Errorf("the log tells: %s", s.Log())
	}
}

// TestTracingOff has none unless it is asked for, and then passes all as it came.
func TestTracingOff(t *testing.T) {
	t.Parallel()
	up := &contexts{}
	u, to := newUpstream(t, up.handle), newCollector(t)
	for _, env := range [][]string{
		{"OTEL_SERVICE_NAME=x", "OTEL_TRACES_SAMPLER=always_on", "OTEL_EXPORTER_OTLP_PROTOCOL=nonsense"}, // not asked for
		to.environment("grpc", "OTEL_TRACES_EXPORTER=none"),
		to.environment("grpc", "OTEL_SDK_DISABLED=true"),
	} {
		before := len(up.seen("traceparent"))
		s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Env: env})
		ctx := metadata.AppendToOutgoingContext(bounded(t), "traceparent", sampled, "tracestate", "v=1")
		if _, err := newClient(t, s.GRPC).Count(ctx, &qdrant.CountPoints{CollectionName: "c"}); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		if got := up.seen("traceparent")[before]; got != sampled {
			t.Errorf("%q: the upstream was told %q", env, got)
		}
		if strings.Contains(s.Log().String(), `"msg":"tracing"`) {
			t.Errorf("%q: traces\n%s", env, s.Log())
		}
	}
	to.await(t, 0)
}

// TestTracingProblems refuses what the SDK would ignore.
func TestTracingProblems(t *testing.T) {
	t.Parallel()
	missing := "/nonexistent.pem"
	refused(t, quiet(
		"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http", "OTEL_EXPORTER_OTLP_COMPRESSION=zstd", "OTEL_EXPORTER_OTLP_TIMEOUT=10s",
		"OTEL_EXPORTER_OTLP_INSECURE=1", "OTEL_EXPORTER_OTLP_CERTIFICATE="+missing, "OTEL_EXPORTER_OTLP_CLIENT_KEY="+missing,
		"OTEL_TRACES_SAMPLER=sometimes", "OTEL_TRACES_SAMPLER_ARG=2", "OTEL_RESOURCE_ATTRIBUTES=novalue",
		"OTEL_BSP_MAX_QUEUE_SIZE=0", "OTEL_PROPAGATORS=b3",
	), []string{"check-config"}, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", `"http"`, "COMPRESSION", `"zstd"`,
		"TIMEOUT", `"10s"`, "INSECURE", "OTEL_EXPORTER_OTLP_CERTIFICATE", missing, "CLIENT_CERTIFICATE", "OTEL_TRACES_SAMPLER must", `"sometimes"`,
		"OTEL_TRACES_SAMPLER_ARG", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_PROPAGATORS", "tracecontext",
	})
	refused(t, quiet("OTEL_TRACES_EXPORTER=zipkin", "OTEL_SDK_DISABLED=yes"), []string{"check-config"},
		[]string{"OTEL_TRACES_EXPORTER", `"zipkin"`, "OTEL_SDK_DISABLED", `"yes"`})
	c := refused(t, quiet("OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_HEADERS="+secret), []string{"check-config"}, []string{"OTEL_EXPORTER_OTLP_HEADERS"})
	if strings.Contains(c.stderr.String(), secret) {
		t.Errorf("tells the secret: %s", &c.stderr)
	}
}

// TestTracingWithoutCollector makes calls as if nothing were, and says what is lost:
// when nobody listens, and when somebody does who does not answer.
func TestTracingWithoutCollector(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, address := range map[string]string{"away": unusedAddress(t), "silent": silent.Addr().String()} {
		for _, protocol := range []string{"grpc", "http/protobuf"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				u := newUpstream(t, healthy)
				s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--drain-timeout=1s"}, Env: []string{
					"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + address, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
					"OTEL_BSP_MAX_QUEUE_SIZE=10", "OTEL_BSP_SCHEDULE_DELAY=20",
					"OTEL_EXPORTER_OTLP_TIMEOUT=3600000", // the end does not wait for that
				}})
				client := newClient(t, s.GRPC)
				const calls = 100
				for range calls {
					if _, err := client.Count(bounded(t), &qdrant.CountPoints{CollectionName: "c"}); err != nil {
						t.Fatal(err)
					}
				}
				s.Stop()
				var lost float64
				for _, line := range s.Log().Lines() {
					if line.Message == "spans were lost" {
						dropped, _ := line.Attrs["dropped"].(float64)
						failed, _ := line.Attrs["failed"].(float64)
						lost += dropped + failed
					}
				}
				if lost != 2*calls {
					t.Errorf("%v spans are said to be lost, of %d\n%s", lost, 2*calls, s.Log())
				}
			})
		}
	}
}

// TestTracingFlushes sends what waits when the sidecar ends.
func TestTracingFlushes(t *testing.T) {
	t.Parallel()
	to := newCollector(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		to.forget()
		s := sidecar.Start(t, sidecar.Options{Upstream: newUpstream(t, healthy).url(), Env: to.environment(protocol, "OTEL_BSP_SCHEDULE_DELAY=600000")})
		if _, err := newClient(t, s.GRPC).Count(bounded(t), &qdrant.CountPoints{CollectionName: "c"}); err != nil {
			t.Fatal(err)
		}
		to.await(t, 0)
		s.Stop()
		to.await(t, 2)
	}
}
