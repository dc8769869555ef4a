package seeing_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// askREST makes requests that carry all of it: in header, path, query and body.
func askREST(t *testing.T, s *sidecar.Sidecar) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	body := `{"vector":[1,` + inVector + `],"filter":{"must":[{"key":"city","match":{"value":"` + inFilter + `"}}]},"points":[{"id":` + inNumber + `,"payload":{"city":"` + inPayload + `"}}]}`
	for _, to := range []string{
		"PUT /collections/products/points?wait=true&token=" + inKey,
		"POST /collections/products/points/search",
		"GET /collections/products/points/" + inID,
		"DELETE /nothing/" + inPayload + "?id=" + inID,
	} {
		verb, path, _ := strings.Cut(to, " ")
		request, err := http.NewRequestWithContext(ctx, verb, "http://"+s.REST+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("api-key", inKey)
		request.Header.Set("authorization", "Bearer "+credit)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
}

// TestNothingLeaksOfREST is TestNothingLeaks for REST: of requests that are answered, and
// of those that nobody is there to answer.
func TestNothingLeaksOfREST(t *testing.T) {
	t.Parallel()
	gone := &faultwire.Server{}
	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, upstream := range map[string]string{"answered": "memory://", "failed": "http://" + gone.Addr()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spans := newCollector(t)
			s := sidecar.Start(t, sidecar.Options{Upstream: upstream, Admin: true, REST: true, Unready: true, Env: []string{
				"QDRANT_LOG_LEVEL=debug", "QDRANT_SLOW_READ=1ns", "QDRANT_RETRY_BASE_DELAY=1ms",
				"OTEL_EXPORTER_OTLP_ENDPOINT=" + spans.URL, "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_EXPORTER_OTLP_HEADERS=x-token=" + inToken,
			}})
			askREST(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for _, route := range []string{"PUT /collections/{collection_name}/points", "GET /collections/{collection_name}/points/{id}"} {
				if _, err := s.Log().Wait(ctx, func(l sidecar.Line) bool { return l.Attrs["route"] == route }); err != nil {
					t.Errorf("%s is not in the log: %v", route, err)
				}
			}
			next := watch(t, s)
			for !strings.Contains(spans.String(), "/points/{id}") {
				next()
			}
			leakingCommands(t, s, "top")
			for what, text := range map[string]string{
				"a span": spans.String(), "the log": s.Log().String(), "/metrics": readPage(t, s).text, "the page": get(t, s, "/events", 256<<10),
			} {
				contains(t, what, text, planted()...)
			}
		})
	}
}
