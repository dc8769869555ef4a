package verdict_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/proxy/verdict"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	ms     = time.Millisecond
	window = 10 * time.Second
)

// made is what statistics are made of, the zero value those of a sidecar that has one
// node 0.3 ms away and no calls.
type made struct {
	method    string
	calls     int64
	p50       time.Duration
	upstream  time.Duration
	qdrant    time.Duration // of upstream, by its own word; 0 when it says nothing
	health    time.Duration // of HealthChecks
	codes     map[string]int64
	failures  []*adminv1.FailedCall
	inFlight  int64
	roundTrip time.Duration
	standings []string // of nodes
	dialError string   // of nodes that are down
	goAways   int64
	resets    int64
	breaker   string
	queue     *adminv1.Queue
	paused    time.Duration
}

func (m made) statistics() *adminv1.Statistics {
	s := &adminv1.Statistics{
		Time: timestamppb.New(now), Window: durationpb.New(window),
		Total: &adminv1.Traffic{Calls: m.calls, Rate: float64(m.calls) / window.Seconds()}, LastFailures: m.failures,
		CallsInFlight: m.inFlight, Queue: m.queue,
	}
	if m.paused > 0 {
		s.PausedSince = timestamppb.New(now.Add(-m.paused))
	}
	for code, n := range m.codes {
		s.Total.Errors = append(s.Total.Errors, &adminv1.CodeCount{Code: code, Calls: n})
	}
	if m.calls > 0 {
		s.Total.P50, s.Total.P99 = durationpb.New(m.p50), durationpb.New(3*m.p50)
		s.Total.Stages = &adminv1.Stages{Upstream: durationpb.New(m.upstream), Own: durationpb.New(ms / 10), Queue: durationpb.New(0)}
		if m.qdrant > 0 {
			s.Total.ServerTime = &adminv1.ServerTime{Answers: m.calls, Qdrant: durationpb.New(m.qdrant), Way: durationpb.New(m.upstream - m.qdrant)}
		}
		name := m.method
		if name == "" {
			name = "Points/Query"
		}
		s.Methods = []*adminv1.Traffic{{
			Name: name, Calls: m.calls, Rate: s.GetTotal().GetRate(),
			P50: s.GetTotal().GetP50(), P99: s.GetTotal().GetP99(), Stages: s.GetTotal().GetStages(),
			ServerTime: s.GetTotal().GetServerTime(),
		}}
	}
	if m.standings == nil {
		m.standings = []string{"good"}
	}
	for i, standing := range m.standings {
		n := &adminv1.Node{Address: fmt.Sprintf("qdrant-%d:6334", i), Standing: standing, GoAways: m.goAways, TooManyResets: m.resets}
		switch standing {
		case "connecting":
		case "down":
			n.LastDialError = &adminv1.Failure{Message: "no connection to Qdrant at " + n.GetAddress() + ": " + m.dialError}
		default:
			n.Connections = []*adminv1.Connection{{State: adminv1.Connection_STATE_READY, InFlight: int32(m.inFlight)}}
			n.RoundTrip = durationpb.New(max(m.roundTrip, ms/3))
			n.HealthCheck = durationpb.New(max(m.health, n.GetRoundTrip().AsDuration()))
		}
		s.Nodes = append(s.Nodes, n)
	}
	if m.breaker != "" {
		s.Breakers = []*adminv1.Breaker{{Method: "Points/Query", Node: "qdrant-0:6334", State: m.breaker, Failures: 10}}
	}
	return s
}

// failures are some of a kind that have just happened.
func failures(n int, f *adminv1.FailedCall) []*adminv1.FailedCall {
	f.Time = timestamppb.New(now.Add(-time.Second))
	f.Method = "Points/Query"
	var all []*adminv1.FailedCall
	for range n {
		all = append(all, f)
	}
	return all
}

func late(deadline, took time.Duration) *adminv1.FailedCall {
	return &adminv1.FailedCall{
		Code: "DeadlineExceeded", Reason: "DEADLINE_EXCEEDED", Outcome: "deadline",
		Deadline: durationpb.New(deadline), Duration: durationpb.New(took),
	}
}

// tired is a call whose caller cancelled it.
func tired(deadline, took time.Duration) *adminv1.FailedCall {
	return &adminv1.FailedCall{Code: "Canceled", Reason: "CANCELLED", Deadline: durationpb.New(deadline), Duration: durationpb.New(took)}
}

func TestVerdicts(t *testing.T) {
	const (
		nobody   = adminv1.Finding_CULPRIT_NONE
		qdrant   = adminv1.Finding_CULPRIT_QDRANT
		network  = adminv1.Finding_CULPRIT_NETWORK
		app      = adminv1.Finding_CULPRIT_APP
		settings = adminv1.Finding_CULPRIT_SETTINGS
	)
	for _, test := range []struct {
		name    string
		made    made
		culprit adminv1.Finding_Culprit
		kind    string
		// words are in the sentence, evidence is in what supports it.
		words, evidence string
	}{
		{"nothing happens", made{}, nobody, "idle", "no call in the last 10 s", "PING to Qdrant takes 0.3 ms"},
		{"all is well", made{calls: 1000, p50: 2 * ms, upstream: 2 * ms}, nobody, "well", "100 calls a second", "2 ms network and Qdrant"},
		{"Qdrant is connected", made{}, nobody, "idle", "Qdrant is connected.", ""},
		{"not yet", made{standings: []string{"connecting"}}, nobody, "idle", "Qdrant is not connected yet.", ""},

		{"slow Qdrant", made{calls: 100, p50: 400 * ms, upstream: 420 * ms}, qdrant, "slow_qdrant", "It is Qdrant: it takes 420 ms for Points/Query, and the network only 0.3 ms", "half of them within 400 ms"},
		{"slow Qdrant, callers have had enough", made{calls: 100, p50: ms, upstream: 20 * ms, codes: map[string]int64{"DeadlineExceeded": 30}, failures: failures(30, late(time.Second, time.Second))}, qdrant, "slow_qdrant", "did not answer 30 %", "30 calls ended with DEADLINE_EXCEEDED"},
		{"slow Qdrant, by its own word", made{calls: 100, p50: 400 * ms, upstream: 420 * ms, qdrant: 400 * ms}, qdrant, "slow_qdrant", "It is Qdrant: it says itself that it takes 400 ms for Points/Query, and the network only 0.3 ms", "in 100 answers: 400 ms Qdrant, so 20 ms the way"},
		{"slow Qdrant, which answers PINGs late, too", made{calls: 100, p50: 400 * ms, upstream: 420 * ms, qdrant: 300 * ms, roundTrip: 250 * ms}, qdrant, "slow_qdrant", "it says itself that it takes 300 ms", ""},
		{"slow Qdrant, which does not get to its calls", made{calls: 100, p50: 400 * ms, upstream: 420 * ms, qdrant: 20 * ms, health: 350 * ms}, qdrant, "slow_qdrant", "waits 400 ms before Qdrant begins with it, and so do HealthChecks", ""},
		{"slow Qdrant, callers gave up first", made{calls: 100, p50: ms, upstream: 20 * ms, codes: map[string]int64{"Canceled": 30}, failures: failures(30, tired(time.Second, time.Second))}, qdrant, "slow_qdrant", "did not answer 30 %", "given up at their deadlines"},
		{"Qdrant hangs", made{inFlight: 7}, qdrant, "slow_qdrant", "7 calls are under way, and none has ended", ""},
		{"slow writes are slow", made{method: "Points/Upsert", calls: 100, p50: 1500 * ms, upstream: 1500 * ms}, qdrant, "slow_qdrant", "Points/Upsert", ""},
		{"but may be slower than reads", made{method: "Points/Upsert", calls: 100, p50: 300 * ms, upstream: 300 * ms}, nobody, "well", "", ""},
		{"slow Qdrant fills the queue", made{calls: 100, p50: 800 * ms, upstream: 700 * ms, queue: &adminv1.Queue{Limit: 100, Admitted: 100, Waiting: 50, Waited: 100, MeanWait: durationpb.New(100 * ms)}}, qdrant, "slow_qdrant", "", ""},

		{"slow network", made{calls: 100, p50: 125 * ms, upstream: 125 * ms, roundTrip: 120 * ms}, network, "slow_network", "a round trip to Qdrant takes 120 ms, and half of the calls take 125 ms", "A PING to qdrant-0:6334 takes 120 ms"},
		{"slow network, by Qdrant's word", made{calls: 100, p50: 125 * ms, upstream: 125 * ms, qdrant: ms, roundTrip: 120 * ms}, network, "slow_network", "a round trip to Qdrant takes 120 ms", "1 ms Qdrant, so 124 ms the way"},
		{"a thin line", made{calls: 100, p50: 400 * ms, upstream: 420 * ms, qdrant: 20 * ms}, network, "slow_network", "Points/Query takes 420 ms, and Qdrant says that only 20 ms of it are its own", "the way there and back took 400 ms"},
		{"a line that is thin for writes", made{method: "Points/Upsert", calls: 100, p50: 900 * ms, upstream: 900 * ms, qdrant: ms}, nobody, "well", "", "899 ms the way"},
		{"slow network without calls", made{roundTrip: 80 * ms}, network, "slow_network", "takes 80 ms", ""},
		{"far, but Qdrant is what is slow", made{calls: 100, p50: 500 * ms, upstream: 500 * ms, roundTrip: 30 * ms}, qdrant, "slow_qdrant", "470 ms", "PING to Qdrant takes 30 ms"},

		{"app with 1 ms deadlines", made{calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"DeadlineExceeded": 60}, failures: failures(60, late(ms, ms))}, app, "short_deadlines", "it gives calls only 1 ms, and 60 % of them", "60 calls ended with DEADLINE_EXCEEDED"},
		{"app with 1 ms deadlines whose timers are first", made{calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"DeadlineExceeded": 10, "Canceled": 50}, failures: append(failures(10, late(ms, ms)), failures(50, tired(ms, ms))...)}, app, "short_deadlines", "it gives calls only 1 ms, and 60 % of them", "60 calls ended"},
		{"app cancelling calls that had time", made{calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"Canceled": 50}, failures: failures(50, tired(time.Second, ms))}, app, "cancelling", "50 % of its calls", ""},
		{"app cancelling", made{calls: 100, p50: 5 * ms, upstream: 5 * ms, codes: map[string]int64{"Canceled": 40}, failures: failures(40, &adminv1.FailedCall{Code: "Canceled", Reason: "CANCELLED", Duration: durationpb.New(7 * ms)})}, app, "cancelling", "it cancels 40 % of its calls, after 7 ms", "40 calls were cancelled"},
		{"cancelling because Qdrant is slow", made{calls: 100, p50: 3000 * ms, upstream: 3000 * ms, codes: map[string]int64{"Canceled": 90}, failures: failures(60, &adminv1.FailedCall{Code: "Canceled", Reason: "CANCELLED", Duration: durationpb.New(3000 * ms)})}, qdrant, "slow_qdrant", "3 s", ""},

		{"pool too small", made{calls: 1000, p50: 300 * ms, upstream: 50 * ms, queue: &adminv1.Queue{Limit: 100, Admitted: 100, Waiting: 250, Waited: 900, MeanWait: durationpb.New(220 * ms)}}, settings, "pool_too_small", "one of 100 places", "900 calls waited in the last 10 s, 220 ms on average"},
		{"pool so small that calls are refused", made{calls: 1000, p50: 5 * ms, upstream: 5 * ms, codes: map[string]int64{"ResourceExhausted": 300}, queue: &adminv1.Queue{Limit: 2, Admitted: 2, Refused: 300}}, settings, "pool_too_small", "", "300 calls were turned away"},

		{"one sick node", made{calls: 100, p50: ms, upstream: ms, standings: []string{"good", "sick", "good"}}, qdrant, "sick_node", "One of 3 nodes of Qdrant is sick: qdrant-1:6334", "does not answer HealthCheck"},
		{"one node down", made{standings: []string{"good", "down"}, dialError: "connection refused"}, qdrant, "sick_node", "One of 2 nodes of Qdrant is down", "connection refused"},
		{"two of three", made{standings: []string{"ejected", "down", "good"}, dialError: "connection refused"}, qdrant, "sick_node", "2 of 3 nodes", "qdrant-0:6334 is left out"},
		{"a node that was removed is no sick one", made{standings: []string{"good", "gone"}}, nobody, "idle", "", ""},
		{"a sick node explains its breaker", made{standings: []string{"sick", "good"}, breaker: "open"}, qdrant, "sick_node", "", ""},

		{"expired key", made{calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"PermissionDenied": 100}}, settings, "key_refused", "refuses the API key: 100 % of the calls", "an expired token"},
		{"wrong key", made{calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"Unauthenticated": 50}}, settings, "key_refused", "50 %", "no key, or a wrong one"},

		{"wrong port", made{standings: []string{"down"}, dialError: "not HTTP/2: the server answered HTTP/1 (Qdrant's gRPC port is 6334, its REST port 6333)"}, settings, "wrong_port", "does not speak gRPC", "answered HTTP/1"},
		{"wrong port, but nothing is there", made{standings: []string{"down"}, dialError: "connection refused"}, qdrant, "down", "Nothing listens", "connection refused"},
		{"TLS", made{standings: []string{"down"}, dialError: "TLS: x509: certificate signed by unknown authority"}, settings, "tls", "", ""},
		{"wrong name", made{standings: []string{"down"}, dialError: "no such host"}, settings, "unknown_host", "", ""},
		{"firewall", made{standings: []string{"down"}, dialError: "no answer within 5s"}, network, "no_route", "", ""},
		{"hangs up", made{standings: []string{"down"}, dialError: "the server closed the connection at once"}, qdrant, "hangs_up", "", ""},
		{"unheard of", made{standings: []string{"down"}, dialError: "a new one"}, network, "unreachable", "", "a new one"},
		{"all nodes down", made{standings: []string{"down", "down"}, dialError: "connection refused", codes: map[string]int64{"Unavailable": 5}, calls: 5}, qdrant, "down", "", "5 calls failed for it"},

		{"paused", made{paused: time.Minute, inFlight: 3, queue: &adminv1.Queue{Waiting: 9}}, settings, "paused", "wait for 60 s", "9 calls wait"},
		{"all nodes drained", made{standings: []string{"drained", "gone", "drained"}}, settings, "drained", "All nodes", "qdrant-2:6334 is drained"},
		{"one node drained", made{standings: []string{"drained", "good"}}, nobody, "idle", "", ""},

		{"GOAWAY storm", made{calls: 100, p50: ms, upstream: ms, goAways: 20}, network, "goaway_storm", "20 in the last 10 s", "20 connections ended with GOAWAY"},
		{"a restart is no storm", made{calls: 100, p50: ms, upstream: ms, goAways: 4}, nobody, "well", "", ""},
		{"too many resets", made{calls: 100, p50: ms, upstream: ms, goAways: 20, resets: 20}, app, "goaway_storm", "callers cancel too many calls", ""},

		{"breaker open", made{calls: 100, p50: ms, upstream: ms, breaker: "open", failures: failures(3, &adminv1.FailedCall{Code: "Internal", Outcome: "internal"})}, qdrant, "breaker_open", "Qdrant failed Points/Query so often", "after 10 failures in a row"},
		{"breaker closed", made{calls: 100, p50: ms, upstream: ms, breaker: "closed"}, nobody, "well", "", ""},

		{"Qdrant fails", made{calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"Internal": 4}, failures: failures(4, &adminv1.FailedCall{Code: "Internal", Outcome: "internal"})}, qdrant, "qdrant_fails", "Internal for Points/Query", "4 of the last 4 failures: Internal (internal)"},
		{"connections break", made{calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"Unavailable": 4}, failures: failures(4, &adminv1.FailedCall{Code: "Unavailable", Reason: "UPSTREAM_LOST", Outcome: "lost", Message: "reset"})}, network, "connections_lost", "", "Reset."},
		{"bad requests", made{calls: 100, p50: ms, upstream: ms, codes: map[string]int64{"NotFound": 10, "InvalidArgument": 1}}, app, "bad_requests", "11 % of its requests, mostly NotFound", ""},
		{"few bad requests", made{calls: 1000, p50: ms, upstream: ms, codes: map[string]int64{"NotFound": 10}}, nobody, "well", "", ""},
	} {
		f := verdict.Of(test.made.statistics())[0]
		if f.GetCulprit() != test.culprit || f.GetKind() != test.kind {
			t.Errorf("%s: %v %s (%s), want %v %s", test.name, f.GetCulprit(), f.GetKind(), f.GetSentence(), test.culprit, test.kind)
			continue
		}
		evidence := strings.Join(f.GetEvidence(), "\n")
		if !strings.Contains(f.GetSentence(), test.words) || !strings.Contains(evidence, test.evidence) {
			t.Errorf("%s: %q, %q; want %q, %q", test.name, f.GetSentence(), evidence, test.words, test.evidence)
		}
		if !strings.HasSuffix(f.GetSentence(), ".") || f.GetCulprit() != nobody && f.GetAction() == "" {
			t.Errorf("%s: %q, %q is no sentence, or there is nothing to do about it", test.name, f.GetSentence(), f.GetAction())
		}
	}
}

// What is not the first thing to say is not lost.
func TestMoreThanOne(t *testing.T) {
	s := made{
		calls: 100, p50: 400 * ms, upstream: 400 * ms, standings: []string{"good", "sick"}, breaker: "open",
		codes: map[string]int64{"Unauthenticated": 20},
	}.statistics()
	var kinds []string
	for _, f := range verdict.Of(s) {
		kinds = append(kinds, f.GetKind())
	}
	if got, want := strings.Join(kinds, " "), "key_refused sick_node breaker_open slow_qdrant"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The first message of a sidecar of another version may lack anything.
func TestNothingIsNeeded(t *testing.T) {
	if found := verdict.Of(&adminv1.Statistics{}); len(found) != 1 || found[0].GetKind() != "idle" {
		t.Errorf("%v", found)
	}
}

// TestKindsAreDocumented finds kinds that the manual does not know.
func TestKindsAreDocumented(t *testing.T) {
	manual, err := os.ReadFile("../../docs/seeing.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	kind := regexp.MustCompile(`(?:Kind: |, (?:settings|qdrant|network), )"([a-z_]+)"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range kind.FindAllStringSubmatch(string(source), -1) {
			found++
			if !strings.Contains(string(manual), "`"+match[1]+"`") {
				t.Errorf("docs/seeing.md has no %s", match[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d kinds were found", found)
	}
}
