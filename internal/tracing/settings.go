// Package tracing sends spans to an OpenTelemetry collector, as OpenTelemetry's
// own variables say: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, and so on.
// The SDK reads them from the environment of the process. What this package adds
// is that nothing runs where none of them asks for it, that wrong ones are told
// and not ignored, and that spans which get lost are counted.
package tracing

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Protocols of OTLP, as in OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	grpcProtocol     = "grpc"
	protobufProtocol = "http/protobuf"
	jsonProtocol     = "http/json"
)

// Settings are what the variables say, as far as this package acts on it itself.
type Settings struct {
	// On says that spans are to be sent.
	On bool
	// Protocol and Endpoint are how and where; for logs.
	Protocol, Endpoint string
	// queue is how many spans may wait to be sent.
	queue int
}

// Variables that decide whether there is tracing at all.
const (
	disabledVariable = "OTEL_SDK_DISABLED"
	exporterVariable = "OTEL_TRACES_EXPORTER"
)

// Read reads the variables. Each problem is a sentence. Where tracing is off only
// what switches it is looked at: the rest may be meant for others in the pod.
func Read(getenv func(string) string) (s Settings, problems []string) {
	get := func(name string) string { return strings.TrimSpace(getenv(name)) }
	for _, v := range []variable{{disabledVariable, isBoolean}, {exporterVariable, isOneOf("otlp", "none")}} {
		problems = v.check(get, problems)
	}
	s.On = len(problems) == 0 && asked(get)
	if !s.On {
		return s, problems
	}
	for _, v := range variables {
		problems = v.check(get, problems)
	}
	for _, signal := range signals {
		problems = checkClientCertificate(get, signal, problems)
	}
	s.Protocol = ofTraces(get, "PROTOCOL", protobufProtocol)
	s.Endpoint = ofTraces(get, "ENDPOINT", map[string]string{
		grpcProtocol: "http://localhost:4317", protobufProtocol: "http://localhost:4318", jsonProtocol: "http://localhost:4318",
	}[s.Protocol])
	if u, err := url.Parse(s.Endpoint); err == nil {
		u.User = nil // where somebody put a secret
		s.Endpoint = u.String()
	}
	s.queue = sdktrace.DefaultMaxQueueSize
	if n, err := strconv.Atoi(get("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil {
		s.queue = n
	}
	return s, problems
}

// asked says whether the variables ask for tracing. OpenTelemetry's own default is
// to send to localhost; a sidecar that nobody has told of a collector is quiet.
func asked(get func(string) string) bool {
	if strings.EqualFold(get(disabledVariable), "true") || get(exporterVariable) == "none" {
		return false
	}
	return get(exporterVariable) != "" || ofTraces(get, "ENDPOINT", "") != ""
}

// signals are the two prefixes of the exporter's variables: those of traces win over
// those of everything.
var signals = []string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"}

// ofTraces is a variable of the exporter.
func ofTraces(get func(string) string, name, otherwise string) string {
	for _, signal := range signals {
		if v := get(signal + name); v != "" {
			return v
		}
	}
	return otherwise
}

// variable is one of OpenTelemetry's and what is expected of it. The error of valid
// completes the sentence "NAME …"; it does not repeat what can be a secret.
type variable struct {
	name  string
	valid func(string) error
}

func (v variable) check(get func(string) string, problems []string) []string {
	value := get(v.name)
	if value == "" {
		return problems
	}
	if err := v.valid(value); err != nil {
		problems = append(problems, fmt.Sprintf("%s %v.", v.name, err))
	}
	return problems
}

// variables are those which the SDK would use without, or not at all, when they are
// wrong.
var variables = slices.Concat(exporterVariables(), []variable{
	{"OTEL_TRACES_SAMPLER", isOneOf("always_on", "always_off", "traceidratio",
		"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")},
	{"OTEL_TRACES_SAMPLER_ARG", isRatio},
	{"OTEL_RESOURCE_ATTRIBUTES", isPairs},
	{"OTEL_PROPAGATORS", hasTraceContext},
	{"OTEL_BSP_SCHEDULE_DELAY", isPositive},
	{"OTEL_BSP_EXPORT_TIMEOUT", isPositive},
	{"OTEL_BSP_MAX_QUEUE_SIZE", isPositive},
	{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", isPositive},
	{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", isNumber},
	{"OTEL_ATTRIBUTE_COUNT_LIMIT", isNumber},
	{"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", isNumber},
	{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", isNumber},
})

func exporterVariables() (all []variable) {
	for _, signal := range signals {
		all = append(all,
			variable{signal + "ENDPOINT", isEndpoint},
			variable{signal + "PROTOCOL", isOneOf(grpcProtocol, protobufProtocol, jsonProtocol)},
			variable{signal + "INSECURE", isBoolean},
			variable{signal + "COMPRESSION", isOneOf("gzip", "none")},
			variable{signal + "TIMEOUT", isPositive},
			variable{signal + "HEADERS", isPairs},
			variable{signal + "CERTIFICATE", isAuthorities},
		)
	}
	return all
}

func isOneOf(values ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(values, v) {
			return fmt.Errorf("must be one of %s, not %q", strings.Join(values, ", "), v)
		}
		return nil
	}
}

func isBoolean(v string) error {
	if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
		return fmt.Errorf("must be true or false, not %q", v)
	}
	return nil
}

func isNumber(v string) error {
	if _, err := strconv.Atoi(v); err != nil {
		return fmt.Errorf("must be a whole number, not %q", v)
	}
	return nil
}

func isPositive(v string) error {
	// Times are in milliseconds, so that no number that makes sense is longer.
	if n, err := strconv.ParseUint(v, 10, 31); err != nil || n == 0 {
		return fmt.Errorf("must be a whole number from 1 on, not %q", v)
	}
	return nil
}

func isRatio(v string) error {
	if f, err := strconv.ParseFloat(v, 64); err != nil || !(f >= 0 && f <= 1) {
		return fmt.Errorf("must be a number from 0 to 1, not %q", v)
	}
	return nil
}

// isEndpoint refuses an address without a scheme, which the SDK takes for one with
// TLS, or for a path.
func isEndpoint(v string) error {
	u, err := url.Parse(v)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		return nil
	case err == nil && u.Scheme == "unix" && u.Path != "":
		return nil
	default:
		return errors.New("must be a URL such as http://collector:4317")
	}
}

// isPairs takes name=value,name=value with values in URL encoding.
func isPairs(v string) error {
	for pair := range strings.SplitSeq(v, ",") {
		name, value, found := strings.Cut(pair, "=")
		_, err := url.PathUnescape(value)
		if !found || strings.TrimSpace(name) == "" || err != nil {
			return errors.New("must be a list name=value,name=value with values in URL encoding")
		}
	}
	return nil
}

// hasTraceContext wants W3C's propagator among those that are asked for. The headers
// of others pass as they came.
func hasTraceContext(v string) error {
	for name := range strings.SplitSeq(v, ",") {
		if strings.TrimSpace(name) == "tracecontext" {
			return nil
		}
	}
	return fmt.Errorf("must name tracecontext, the only propagator that the sidecar takes part in, not only %q", v)
}

func isAuthorities(name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(raw) {
		return fmt.Errorf("names %s, which holds no PEM certificate", name)
	}
	return nil
}

// checkClientCertificate wants both of a certificate and its key, or none.
func checkClientCertificate(get func(string) string, signal string, problems []string) []string {
	certificate, key := get(signal+"CLIENT_CERTIFICATE"), get(signal+"CLIENT_KEY")
	if certificate == "" && key == "" {
		return problems
	}
	if certificate == "" || key == "" {
		return append(problems, fmt.Sprintf("%sCLIENT_CERTIFICATE and %sCLIENT_KEY must be set together.", signal, signal))
	}
	if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
		problems = append(problems, fmt.Sprintf("%sCLIENT_CERTIFICATE and %sCLIENT_KEY cannot be used: %v.", signal, signal, err))
	}
	return problems
}
