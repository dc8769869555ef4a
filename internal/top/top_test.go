package top_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/top"
)

var update = flag.Bool("update", false, "write what is drawn to testdata")

func after(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// busy are statistics with something of everything.
func busy() *adminv1.Statistics {
	const ms = time.Millisecond
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	ready := adminv1.Connection_STATE_READY
	return &adminv1.Statistics{
		Time: timestamppb.New(now), Window: after(10 * time.Second), CallsInFlight: 12,
		Findings: []*adminv1.Finding{
			{
				Culprit: adminv1.Finding_CULPRIT_QDRANT, Sentence: "It is Qdrant: it takes 420 ms for Points/Query, and the network only 0.3 ms.",
				Evidence: []string{"Points/Query: 1,204 calls in the last 10 s, half of them within 400 ms, 99 % within 1.2 s."},
				Action:   "Look at Qdrant's CPU, memory and disk, and at indexing under way; at queries without a payload index for their filter.",
			},
			{Culprit: adminv1.Finding_CULPRIT_APP, Sentence: "It is the app: Qdrant finds fault with 5 % of its requests, mostly NotFound."},
		},
		Total: &adminv1.Traffic{
			Calls: 1404, Rate: 140.4, P50: after(380 * ms), P99: after(1200 * ms), Attempts: 1410, Errors: []*adminv1.CodeCount{{Code: "NotFound", Calls: 70}},
			ServerTime: &adminv1.ServerTime{Answers: 80, Qdrant: after(390 * ms), Way: after(10 * ms)},
			Stages:     &adminv1.Stages{Upstream: after(400 * ms), Own: after(300 * time.Microsecond), Queue: after(80 * ms), Backoff: after(0), Receive: after(0)},
		},
		Methods: []*adminv1.Traffic{
			{Name: "Points/Query", Calls: 1204, Rate: 120.4, P50: after(400 * ms), P99: after(1200 * ms), Attempts: 1210, ServerTime: &adminv1.ServerTime{Answers: 60, Qdrant: after(415 * ms), Way: after(5 * ms)}, Stages: &adminv1.Stages{Upstream: after(420 * ms)}},
			{Name: "Points/Count", Calls: 200, Rate: 20, P50: after(3 * ms), P99: after(9 * ms), Attempts: 200, Errors: []*adminv1.CodeCount{{Code: "NotFound", Calls: 70}}},
			{Name: "Collections/Create"},
		},
		Collections: []*adminv1.Traffic{{Name: "evil\x1b[2Jname", Calls: 1404, Attempts: 1410, Rate: 140.4, P50: after(380 * ms), P99: after(1200 * ms)}},
		Queue:       &adminv1.Queue{Admitted: 12, Limit: 500, Waited: 3, MeanWait: after(2 * ms), Refused: 1, Waiting: 2},
		RetryBudget: &adminv1.RetryBudget{Repeated: 6, RecentRetries: 6, RecentCalls: 1404, Refused: 2},
		Nodes: []*adminv1.Node{
			{Address: "qdrant-0:6334", Standing: "good", MaxConnections: 5, RoundTrip: after(300 * time.Microsecond), HealthCheck: after(ms), Clients: 3, Connections: []*adminv1.Connection{{State: ready, InFlight: 12}, {State: adminv1.Connection_STATE_DRAINING, InFlight: 1}}},
			{Address: "qdrant-1:6334", Standing: "down", MaxConnections: 5, GoAways: 2, Connections: []*adminv1.Connection{{State: adminv1.Connection_STATE_BACKOFF}}, LastDialError: &adminv1.Failure{Message: "no connection to Qdrant at qdrant-1:6334: connection refused"}},
		},
		Breakers: []*adminv1.Breaker{{Method: "Points/Query", Node: "qdrant-1:6334", State: "open", Failures: 10, Remaining: after(4 * time.Second)}},
		LastFailures: []*adminv1.FailedCall{
			{Time: timestamppb.New(now.Add(-time.Second)), Method: "Points/Count", Collection: "absent", Code: "NotFound", Outcome: "rejected", Duration: after(3 * ms), Deadline: after(5 * time.Second)},
			{Time: timestamppb.New(now.Add(-2 * time.Second)), Method: "Points/Count", Collection: "absent", Code: "NotFound", Outcome: "rejected", Duration: after(2 * ms)},
			{Time: timestamppb.New(now.Add(-3 * time.Second)), Method: "Points/Query", Code: "Unavailable", Reason: "CIRCUIT_OPEN", Duration: after(ms)},
		},
	}
}

// TestScreen compares what is drawn with what somebody has looked at.
func TestScreen(t *testing.T) {
	for name, test := range map[string]struct {
		statistics *adminv1.Statistics
		view       top.View
	}{
		"busy":    {busy(), top.View{Width: 120}},
		"narrow":  {busy(), top.View{Width: 60, Height: 24, Live: true, Sort: top.ByName}},
		"painted": {busy(), top.View{Width: 120, Height: 200, Live: true, Paused: true, Paint: true}},
		"nothing": {&adminv1.Statistics{Time: busy().GetTime()}, top.View{}},
	} {
		got := strings.Join(top.Screen(test.statistics, test.view), "\n") + "\n"
		path := "testdata/" + name + ".txt"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// Nothing is wider or higher than the terminal, and nothing in it is anybody else's
// control sequence.
func TestScreenFits(t *testing.T) {
	for width := 40; width < 200; width += 7 {
		for height := 3; height < 60; height += 5 {
			lines := top.Screen(busy(), top.View{Width: width, Height: height, Live: true})
			if len(lines) > height {
				t.Errorf("%d lines on %d", len(lines), height)
			}
			for _, line := range lines {
				if console.Width(line) > width {
					t.Errorf("%q is wider than %d", line, width)
				}
				if strings.Contains(line, "\x1b") {
					t.Errorf("a control sequence: %q", line)
				}
			}
		}
	}
}

func TestOrders(t *testing.T) {
	for order, first := range map[top.Order]string{top.ByRate: "Points/Query", top.ByLatency: "Points/Query", top.ByErrors: "Points/Count", top.ByName: "Collections/Create"} {
		text := strings.Join(top.Screen(busy(), top.View{Width: 200, Sort: order}), "\n")
		_, table, _ := strings.Cut(text, "METHOD")
		_, table, _ = strings.Cut(table, "\n")
		if !strings.HasPrefix(table, first) {
			t.Errorf("by %v the first is %.20q, want %s", order, table, first)
		}
	}
	order := top.ByRate
	for range 4 {
		order = order.Next()
	}
	if order != top.ByRate {
		t.Errorf("after all orders comes %v", order)
	}
}
