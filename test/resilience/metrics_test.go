package resilience_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qdrant-sidecar/test/sidecar"
)

// page is /metrics by series, "name{labels}" or "name".
type page map[string]float64

func scrape(t testing.TB, s *sidecar.Sidecar) page {
	t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+s.Metrics+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	p := page{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		// No label here has a blank in its value.
		series, value, _ := strings.Cut(lines.Text(), " ")
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			p[series] = number
		}
	}
	return p
}

// The families that the tests look at.
const (
	notRetried = "qdrant_sidecar_not_retried_total"
	failures   = "qdrant_sidecar_failures_total"
	attempted  = "qdrant_sidecar_attempts_total"
	moved      = "qdrant_sidecar_breaker_transitions_total"
)

// counts is what a family has counted, by the value of one label.
func (p page) counts(family, label string) map[string]int {
	found := map[string]int{}
	for series, n := range p {
		if name, labels, ok := strings.Cut(series, "{"); !ok || name != family || strings.Contains(labels, `"HealthCheck"`) {
			continue
		}
		_, value, _ := strings.Cut(series, label+`="`)
		if value, _, ok := strings.Cut(value, `"`); ok && n > 0 {
			found[value] += int(n)
		}
	}
	return found
}

// since is counts, less those of an earlier page.
func (p page) since(before page, family, label string) string {
	then, now := before.counts(family, label), p.counts(family, label)
	var list []string
	for _, value := range slices.Sorted(maps.Keys(now)) {
		if n := now[value] - then[value]; n != 0 {
			list = append(list, fmt.Sprintf("%s×%d", value, n))
		}
	}
	return strings.Join(list, " ")
}

// count is one line of since; "" for none.
func count(value string, n int) string {
	if value == "" || n == 0 {
		return ""
	}
	return fmt.Sprintf("%s×%d", value, n)
}
