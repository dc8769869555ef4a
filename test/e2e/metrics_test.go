package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/metadata"

	"qdrant-sidecar/test/sidecar"
)

// TestMetricsCollections: so many collections have metrics of their own.
func TestMetricsCollections(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string][]string{
		"":                        {"a", "b", "c", "other"},
		"--metrics-collections=2": {"a", "b", "other"},
		"--metrics-collections=0": nil,
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: strings.Fields(setting)})
			client, ctx := newClient(t, s.GRPC), bounded(t)
			for _, name := range []string{"a", "b", "c"} {
				newCollection(t, client, name)
				if _, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: name}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: "no-such"}); err == nil {
				t.Error("a collection that is not there was counted")
			}
			page := mustGet(t, s.Metrics, "/metrics").text
			var got []string
			for _, match := range regexp.MustCompile(`(?m)^qdrant_sidecar_collection_seconds_count\{collection="([^"]*)"`).FindAllStringSubmatch(page, -1) {
				got = append(got, match[1])
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, want) {
				t.Errorf("collections %q, want %q", got, want)
			}
		})
	}
}

func newCollection(t *testing.T, client *qdrant.Client, name string) {
	t.Helper()
	if err := client.CreateCollection(bounded(t), &qdrant.CreateCollection{
		CollectionName: name,
		VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
	}); err != nil {
		t.Fatal(err)
	}
}

// TestMetricsFormats: what a scraper asks for is what it gets, exemplars and native
// histograms where the format has them.
func TestMetricsFormats(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://"})
	const trace = "0af7651916cd43dd8448eb211c80319c"
	ctx := metadata.AppendToOutgoingContext(bounded(t), "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	if _, err := newClient(t, s.GRPC).HealthCheck(ctx); err != nil {
		t.Fatal(err)
	}
	for about, test := range map[string]struct{ accept, kind, has string }{
		"text":        {"", "text/plain", "grpc_server_handling_seconds_count{"},
		"OpenMetrics": {"application/openmetrics-text;version=1.0.0", "application/openmetrics-text", `# {trace_id="` + trace + `"}`},
		"protobuf":    {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "application/vnd.google.protobuf", trace},
	} {
		page, kind := scraped(ctx, t, s.Metrics, test.accept)
		if !strings.HasPrefix(kind, test.kind) || !strings.Contains(page, test.has) {
			t.Errorf("%s: %s without %s", about, kind, test.has)
		}
	}
	// Of a native histogram protobuf has the zero threshold of 2^-128, whatever else.
	if page, _ := scraped(ctx, t, s.Metrics, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text"); !strings.Contains(page, "zero_threshold") {
		t.Error("no histogram is native")
	}
}

func scraped(ctx context.Context, t *testing.T, address, accept string) (page, kind string) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/metrics", address), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), answer.Header.Get("Content-Type")
}
