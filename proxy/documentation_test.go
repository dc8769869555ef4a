package proxy

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

var update = flag.Bool("update", false, "write docs/metrics.md instead of comparing it")

// metricsPage is what documents the metrics.
const metricsPage = "../docs/metrics.md"

func TestDocumentationIsFresh(t *testing.T) {
	want := page()
	if *update {
		if err := os.WriteFile(metricsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsPage)
	if err != nil || string(got) != want {
		t.Errorf("%s is stale (%v): run make generate", metricsPage, err)
	}
}

// texts are the values of a closed set.
func texts[T ~string](values []T) (all []string) {
	for _, v := range values {
		all = append(all, string(v))
	}
	return all
}

// numbered are the names of the numbers from first to last.
func numbered[T interface {
	~uint8 | ~int | ~int32 | ~uint32
	fmt.Stringer
}](first, last T) (all []string) {
	for v := first; v <= last; v++ {
		all = append(all, v.String())
	}
	return all
}

func grpcCodes() []string { return append(numbered(0, maxCode), other) }

func causes() []string {
	return slices.DeleteFunc(numbered(resilience.Lost, resilience.Unclear), func(name string) bool {
		return name == resilience.Answered.String() // always told apart
	})
}

func resets() (all []string) {
	for code := range int(http2.ErrCodeHTTP11Required) + 2 {
		all = append(all, resetName(code))
	}
	return all
}

// closedSets are the labels whose values are known, by metric and label, or by label
// where it is always the same. What is missing is in openLabels.
func closedSets() map[string][]string {
	return map[string][]string{
		"grpc_type": {"unary", "bidi_stream"},
		labelCode:   grpcCodes(),
		"outcome":   causes(),
		"stage":     {stageReceive, stageQueue, stageBackoff, stageUpstream, stageOwn},
		"part":      {partQdrant, partWay},
		"kind":      kindNames[:],
		"success":   {"true", "false"},
		"to":        numbered(resilience.Closed, resilience.Open),
		"direction": {received, sent},
		"protocol":  strangers[:],
		"standing":  numbered(pool.Gone, pool.Good),

		"qdrant_sidecar_failures_total reason":          texts(everyReason()),
		"qdrant_sidecar_retries_total reason":           causes(),
		"qdrant_sidecar_not_retried_total reason":       texts(resilience.EveryNotRetried()),
		"qdrant_sidecar_turned_away_total reason":       texts(resilience.EveryOverloadReason()),
		"qdrant_sidecar_goaways_total reason":           {"graceful", "too_many_resets", other},
		"qdrant_sidecar_connections_ended_total reason": numbered(pool.ConnLost, pool.ConnRetired),
		"qdrant_sidecar_dials_total outcome":            numbered(pool.Failed, pool.HungUp),
		"qdrant_connection_pool_size state":             {"available", "in_use"},
		"qdrant_sidecar_connections state":              numbered(pool.Unused, pool.Draining),
		"qdrant_sidecar_client_resets_total code":       resets(),
		"qdrant_sidecar_upstream_resets_total code":     resets(),
	}
}

// openLabels say where the other labels have their values from.
var openLabels = map[string]string{
	labelService:  "of the methods in [methods.md](methods.md), else `other`",
	labelMethod:   "likewise",
	"method":      "the same as one: `/qdrant.Points/Query`, else `other methods`",
	"operation":   "likewise, and the routes of REST requests",
	labelEndpoint: "host and port of a node that is in use",
	"connection":  "its number, from 0 to `--pool-size` less 1",
	"collection":  "the first `--metrics-collections` that were seen to exist, else `other`",
	"route":       "the template of a path of Qdrant's REST API",
	"code":        "of REST: the HTTP status",
	"version":     "of the sidecar",
	"goversion":   "of Go",
}

// closed returns the values of a label; nil when the set is open.
func closed(metric, label string) []string {
	sets := closedSets()
	if values := sets[metric+" "+label]; values != nil {
		return values
	}
	return sets[label]
}

// page is docs/metrics.md.
func page() string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Made from proxy/metrics.go by "make generate". -->

` + "`/metrics`" + ` on ` + "`--metrics-listen`" + ` shows them to Prometheus, also while the sidecar drains. What to do about
them is in the [runbook](runbook.md); a dashboard and alerts are in ` + "`k8s/monitoring`" + `.

All times are in seconds, all histograms of the same classic buckets, from 0.1 ms to a minute. They are native
histograms as well, which Prometheus takes when it is told to (` + "`scrape_native_histograms: true`" + `); the dashboard asks
the classic ones, so keep those too (` + "`always_scrape_classic_histograms: true`" + `). A call that is recorded,
because its caller says so (W3C ` + "`traceparent`" + `) or the sidecar's own [sampler](tracing.md), leaves its trace as an exemplar
of ` + "`grpc_server_handling_seconds`" + ` in both kinds of buckets, one a second for times of a magnitude.

The names ` + "`qdrant_connection_pool_size`, `qdrant_retry_total` and `qdrant_circuit_breaker_open`" + ` are those of the Python
pool that this program replaces; ` + "`max(qdrant_circuit_breaker_open)`" + ` is what that showed. ` + "`grpc_server_*`" + ` are named as
go-grpc-middleware names them, with one label more: ` + "`grpc_code`" + ` on ` + "`grpc_server_handling_seconds`" + `. Queries that
sum over what they do not name, as those of dashboards do, give the same as without it. Messages are those that passed:
an error has none.
`)
	m := newMetrics(1)
	section := ""
	for _, f := range m.families {
		if f.section != section {
			section = f.section
			fmt.Fprintf(&b, "\n## %s\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n", section)
		}
		var labels []string
		for _, l := range f.labels {
			labels = append(labels, "`"+l+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.kind, strings.Join(labels, ", "), f.help)
	}
	b.WriteString(`
Beside these are Go's own: ` + "`process_cpu_seconds_total`" + ` and ` + "`process_resident_memory_bytes`" + ` are what the sidecar takes,
` + "`go_goroutines`, `go_memstats_heap_inuse_bytes` and `process_open_fds`" + ` what it is made of.

## Labels

But for the names of collections that exist, no label has a value that a caller makes up. None holds a payload, a
vector, or a key.

| Label | Values |
|---|---|
`)
	writeLabels(&b, m.families)
	return b.String()
}

// writeLabels lists every label once, and those apart that mean something else in a
// metric.
func writeLabels(b *strings.Builder, families []family) {
	seen := map[string]bool{}
	for _, f := range families {
		for _, label := range f.labels {
			where, values := "`"+label+"`", closedSets()[f.name+" "+label]
			key := label
			if values != nil {
				key = f.name + " " + label
				where += " of `" + f.name + "`"
			} else {
				values = closedSets()[label]
			}
			if seen[key] {
				continue
			}
			seen[key] = true
			text := openLabels[label]
			if values != nil {
				text = "`" + strings.Join(values, "`, `") + "`"
			}
			fmt.Fprintf(b, "| %s | %s |\n", where, text)
		}
	}
}

// TestLabelsAreDocumented: each has its values or says where they are from.
func TestLabelsAreDocumented(t *testing.T) {
	for _, f := range newMetrics(1).families {
		for _, label := range f.labels {
			if closed(f.name, label) == nil && openLabels[label] == "" {
				t.Errorf("%s: nobody says what values %s has", f.name, label)
			}
		}
		if f.help == "" || f.section == "" {
			t.Errorf("%s is not explained", f.name)
		}
	}
}
