package report

import (
	"math"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/bench/internal/run"
)

func TestStats(t *testing.T) {
	t.Parallel()
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("median of three is %v", m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("median of four is %v", m)
	}
	if !math.IsNaN(median(nil)) || !math.IsNaN(least(nil)) {
		t.Error("nothing has a median or a minimum")
	}
	// The machine is three times slower in the second round; the ratio is not.
	slow := []run.Round{{Rate: 100}, {Rate: 30}, {Rate: 100}}
	fast := []run.Round{{Rate: 200}, {Rate: 60}, {Rate: 200}, {Rate: 1}}
	if r := ratio(slow, fast, rate); r != 0.5 {
		t.Errorf("the ratio is %v", r)
	}
	if r := added([]run.Round{{P50: 5 * time.Microsecond}}, []run.Round{{P50: 2 * time.Microsecond}}, p50); r != 3 {
		t.Errorf("added is %v", r)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		v        float64
		decimals int
		want     string
	}{
		{0, 0, "0"}, {999.4, 0, "999"}, {1234567, 0, "1,234,567"}, {-1234.56, 1, "-1,234.6"}, {0.5, 2, "0.50"},
		{math.NaN(), 2, none}, {math.Inf(1), 0, none},
	} {
		if got := number(tt.v, tt.decimals); got != tt.want {
			t.Errorf("%v is written %q, want %q", tt.v, got, tt.want)
		}
	}
	if signed(3) != "+3" || signed(-3) != "-3" || signed(math.NaN()) != none {
		t.Error("signs")
	}
}

// tables are a run in which the sidecar takes half of HAProxy's CPU, and whose
// Envoy broke.
func tables() []run.Table {
	round := func(cpu, latency time.Duration, rate float64) []run.Round {
		return []run.Round{{Calls: 1, Rate: rate, CPU: cpu, P50: latency, P99: 2 * latency}}
	}
	const us = time.Microsecond
	return []run.Table{
		{Cell: run.Cell{Name: "t1-c32", Title: "some calls"}, Rows: []run.Row{
			{Target: "direct", Rounds: round(0, 100*us, 200_000)},
			{Target: "haproxy", Rounds: round(14*us, 500*us, 50_000)},
			{Target: "envoy", Failure: "no route"},
			{Target: "sidecar", Rounds: round(7*us, 600*us, 60_000)},
			{Target: "forwarder", Rounds: round(6*us, 600*us, 60_000)},
		}},
		{Cell: run.Cell{Name: "idle", Title: "connections", Kind: run.Idle, Conns: 1024, Release: 10 * time.Second}, Rows: []run.Row{
			{Target: "sidecar", Memory: &run.Memory{Base: 10 << 20, Opened: 20 << 20, Peak: 30 << 20, After: 11 << 20}},
		}},
		{Cell: run.Cell{Name: "many", Title: "calls", Kind: run.Many, Release: 260 * time.Second}, Rows: []run.Row{
			{Target: "sidecar", Memory: &run.Memory{Base: 10 << 20, Peak: 300 << 20, After: 11 << 20, Rate: 9000}},
		}},
		{Cell: run.Cell{Name: "up-1m", Title: "uploads", Kind: run.Large}, Rows: []run.Row{
			{Target: "nginx", Rounds: []run.Round{{MB: 1000, CPU: 2000 * us, P50: 3000 * us}}},
			{Target: "sidecar", Rounds: []run.Round{{MB: 1100, CPU: 2500 * us, P50: 2000 * us}}},
		}},
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	Markdown(&out, About{
		Date: "2026-01-02", Machine: "2 cores", Load: "0.10", Note: "Not final.", Rounds: 1, Window: "1s",
		Versions: []Version{{"haproxy", "2.6"}}, Skipped: []Skipped{{"nginx", "apt-get install nginx-light"}},
	}, tables())
	for _, want := range []string{
		"**Not final.**",
		"Skipped: nginx is not installed: `apt-get install nginx-light`",
		"| direct    |           – |    – |         – | 200,000 |      4.00 |        (100) |        (200) |",
		"| haproxy   |        14.0 | 14.0 |      1.00 |  50,000 |      1.00 |         +400 |         +800 |",
		"| sidecar   |         7.0 |  7.0 |      0.50 |  60,000 |      1.20 |         +500 |       +1,000 |",
		"envoy failed: no route",
		"| sidecar |             10.0 |                   20.0 |       10.0 |          11.0 |",
		"| sidecar |       10.0 |       300.0 |            11.0 |   9,000 |",
		"| sidecar | 1,100 | 1,100 |         – |        2.50 |         – |    2.0 |",
		"≤ 0.55 × HAProxy |     0.50 |  holds |",
		"≥ 1.50 × HAProxy |     1.20 | missed |",
		"≤ 1.00 × HAProxy |     1.25 | missed |",
		"≥ 1.00 × nginx |     1.10 |  holds |",
		"| t1-c32 | CPU a call, policy |        ≤ 2.00 µs |     1.00 |  holds |",
		"≤ 14.00 KiB |    10.00 |  holds |",
		"≤ 200.00 MiB |   300.00 | missed |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "× Envoy") {
		t.Error("a peer that failed has a limit")
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
