package tracing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// read gives Read these variables, "NAME=value".
func read(variables ...string) (Settings, []string) {
	return Read(func(name string) string {
		for _, v := range variables {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	})
}

func TestWhoAsksForTracing(t *testing.T) {
	const here = "OTEL_EXPORTER_OTLP_ENDPOINT=http://here:1"
	for _, test := range []struct {
		variables []string
		want      Settings // less the queue
	}{
		{nil, Settings{}},
		{[]string{"OTEL_SERVICE_NAME=x", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_TRACES_SAMPLER=always_on"}, Settings{}},
		{[]string{here}, Settings{true, "http/protobuf", "http://here:1", 0}},
		{[]string{here, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://user:secret@there/x", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, Settings{true, "grpc", "https://there/x", 0}},
		{[]string{"OTEL_TRACES_EXPORTER=otlp"}, Settings{true, "http/protobuf", "http://localhost:4318", 0}},
		{[]string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, Settings{true, "grpc", "http://localhost:4317", 0}},
		{[]string{here, "OTEL_TRACES_EXPORTER=none"}, Settings{}},
		{[]string{here, "OTEL_SDK_DISABLED=TRUE"}, Settings{}},
		{[]string{here, "OTEL_SDK_DISABLED=false", "OTEL_TRACES_EXPORTER=otlp"}, Settings{true, "http/protobuf", "http://here:1", 0}},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT= "}, Settings{}},
	} {
		got, problems := read(test.variables...)
		if got.queue = 0; got != test.want || len(problems) > 0 {
			t.Errorf("%q: %+v %q, want %+v", test.variables, got, problems, test.want)
		}
	}
	if s, _ := read(here); s.queue != 2048 {
		t.Errorf("a queue of %d by default", s.queue)
	}
	if s, _ := read(here, "OTEL_BSP_MAX_QUEUE_SIZE=7"); s.queue != 7 {
		t.Errorf("a queue of %d, want 7", s.queue)
	}
}

func TestValues(t *testing.T) {
	pem := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(pem, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, values := range map[string]struct{ good, bad []string }{
		"OTEL_EXPORTER_OTLP_ENDPOINT":            {[]string{"http://c", "https://c:1/x", "unix:///s", " http://c "}, []string{"c", "c:1", "http://", "grpc://c", "://", "unix://"}},
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL":     {[]string{"grpc", "http/protobuf", "http/json"}, []string{"GRPC", "http"}},
		"OTEL_EXPORTER_OTLP_COMPRESSION":         {[]string{"gzip", "none"}, []string{"zstd"}},
		"OTEL_EXPORTER_OTLP_TIMEOUT":             {[]string{"1", "10000"}, []string{"0", "-1", "10s", "1e3", "99999999999"}},
		"OTEL_EXPORTER_OTLP_INSECURE":            {[]string{"true", "False"}, []string{"1", "yes"}},
		"OTEL_EXPORTER_OTLP_HEADERS":             {[]string{"a=b", "a=b,c=", "a=%20"}, []string{"a", "=b", "a=%2", "a=b,"}},
		"OTEL_EXPORTER_OTLP_CERTIFICATE":         {nil, []string{pem, "/nonexistent"}},
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE":  {nil, []string{pem}},
		"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY":   {nil, []string{pem}},
		"OTEL_RESOURCE_ATTRIBUTES":               {[]string{"a=b,c=d"}, []string{"a,b"}},
		"OTEL_TRACES_SAMPLER":                    {[]string{"always_on", "parentbased_traceidratio"}, []string{"jaeger_remote"}},
		"OTEL_TRACES_SAMPLER_ARG":                {[]string{"0", "0.25", "1"}, []string{"-0.1", "1.1", "NaN", "25%"}},
		"OTEL_PROPAGATORS":                       {[]string{"tracecontext", "b3, tracecontext"}, []string{"b3", "none", "baggage"}},
		"OTEL_BSP_SCHEDULE_DELAY":                {[]string{"5000"}, []string{"5s", "0"}},
		"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": {[]string{"-1", "10"}, []string{"many"}},
		"OTEL_SDK_DISABLED":                      {[]string{"false"}, []string{"yes"}},
		"OTEL_TRACES_EXPORTER":                   {[]string{"otlp"}, []string{"zipkin", "otlp,console"}},
	} {
		for _, value := range values.good {
			if _, problems := read(name+"="+value, "OTEL_TRACES_EXPORTER=otlp"); len(problems) > 0 {
				t.Errorf("%s=%s: %q", name, value, problems)
			}
		}
		for _, value := range values.bad {
			s, problems := read(name+"="+value, "OTEL_TRACES_EXPORTER=otlp")
			if len(problems) != 1 || !strings.Contains(problems[0], name) || !strings.HasSuffix(problems[0], ".") {
				t.Errorf("%s=%s: %+v %q", name, value, s, problems)
			}
		}
	}
}
