package seeing_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// situation is something that goes wrong, and what has to be said about it.
type situation struct {
	name string
	// nodes are what each upstream does with calls that are not HealthChecks.
	nodes []node
	// far is how long each way takes between sidecar and upstream.
	far time.Duration
	// env are settings of the sidecar.
	env []string
	// callers are how many call, and call what they do.
	callers int
	call    func(ctx context.Context, points qdrant.PointsClient)

	// kind is that of the verdict, and words are in its sentence.
	kind, words string
	// doctor is what the doctor says besides that: the step that fails, and a word of it.
	doctor []string
	// metric has counted it: the beginning of a line whose value is not 0.
	metric string
	// line is the message of a log line, and attr something in it.
	line, attr string
}

type node struct {
	do     func(n int64, s *faultwire.Stream)
	health func(s *faultwire.Stream)
	greet  func(int) faultwire.Greeting
}

// play serves a call by a fault, with an empty message.
func play(do faultwire.Act) func(int64, *faultwire.Stream) {
	return func(_ int64, s *faultwire.Stream) {
		faultwire.Fault{At: faultwire.Received, Do: do}.Play(s, func([]byte) faultwire.Reply { return faultwire.Reply{} })
	}
}

func well(_ int64, s *faultwire.Stream) { play(nil)(0, s) }

func healthy(s *faultwire.Stream) { well(0, s) }

// query asks and waits for the answer.
func query(ctx context.Context, points qdrant.PointsClient) {
	_, _ = points.Query(ctx, &qdrant.QueryPoints{CollectionName: "products", Query: qdrant.NewQuery(1, 2, 3)})
}

// expired is a token that has ended in 2020.
func expired() string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"HS256"}`) + "." + part(`{"exp":1577836800}`) + ".c2ln"
}

var situations = []situation{
	{
		name:  "slow Qdrant",
		nodes: []node{{do: play(faultwire.Pause(250 * time.Millisecond))}}, callers: 4, call: query,
		kind: "slow_qdrant", words: "It is Qdrant: it takes",
		doctor: []string{"sidecar", "It is Qdrant"},
		metric: `qdrant_sidecar_stage_seconds_sum{grpc_method="Query",grpc_service="qdrant.Points",stage="upstream"}`,
	},
	{
		name:  "slow network",
		nodes: []node{{}}, far: 60 * time.Millisecond, callers: 4, call: query,
		kind: "slow_network", words: "It is the network: a round trip to Qdrant takes",
		doctor: []string{"sidecar", "It is the network"},
		metric: "qdrant_sidecar_ping_seconds",
	},
	{
		name:  "app with 1 ms deadlines",
		nodes: []node{{do: play(faultwire.Pause(30 * time.Millisecond))}}, callers: 4,
		call: func(ctx context.Context, points qdrant.PointsClient) {
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			query(ctx, points)
		},
		kind: "short_deadlines", words: "It is the app: it gives calls only",
		doctor: []string{"sidecar", "It is the app"},
		metric: `qdrant_sidecar_failures_total{reason="DEADLINE_EXCEEDED"}`,
	},
	{
		name:  "app cancelling",
		nodes: []node{{do: play(faultwire.Pause(60 * time.Millisecond))}}, callers: 4,
		call: func(ctx context.Context, points qdrant.PointsClient) {
			ctx, cancel := context.WithCancel(ctx)
			timer := time.AfterFunc(20*time.Millisecond, cancel)
			defer timer.Stop()
			query(ctx, points)
		},
		kind: "cancelling", words: "It is the app: it cancels",
		doctor: []string{"sidecar", "it cancels"},
		metric: `qdrant_sidecar_failures_total{reason="CANCELLED"}`,
	},
	{
		name:  "pool too small",
		nodes: []node{{do: play(faultwire.Pause(30 * time.Millisecond))}}, callers: 30, call: query,
		env:  []string{"QDRANT_MAX_CONCURRENT_CALLS=2", "QDRANT_MAX_QUEUED_CALLS=1000", "QDRANT_QUEUE_TIMEOUT=5s"},
		kind: "pool_too_small", words: "The pool is too small: calls wait for one of 2 places",
		doctor: []string{"sidecar", "The pool is too small"},
		metric: "qdrant_sidecar_queue_seconds_sum",
	},
	{
		name:  "one sick node",
		nodes: []node{{}, {do: play(faultwire.Silence), health: func(s *faultwire.Stream) { play(faultwire.Silence)(0, s) }}}, callers: 2, call: query,
		kind: "sick_node", words: "One of 2 nodes of Qdrant is",
		doctor: []string{"HealthCheck", "no answer within"},
		metric: "qdrant_sidecar_health_check_failures_total",
		line:   "endpoint does not answer HealthCheck",
	},
	{
		name:  "expired key",
		nodes: []node{{do: play(faultwire.Status("7", "ExpiredSignature"))}}, callers: 2, call: query,
		env:  []string{"QDRANT_API_KEY=" + expired()},
		kind: "key_refused", words: "Qdrant refuses the API key: 100 %",
		doctor: []string{"API key", "it is a token (JWT) that ended"},
		metric: `grpc_server_handled_total{grpc_code="PermissionDenied"`,
		line:   "call failed", attr: "PermissionDenied",
	},
	{
		name:  "wrong port",
		nodes: []node{{greet: func(int) faultwire.Greeting { return faultwire.SpeakHTTP1 }}}, callers: 2, call: query,
		kind: "wrong_port", words: "The address is wrong: what answers there does not speak gRPC",
		doctor: []string{"HTTP/2", "the server answered HTTP/1"},
		metric: `qdrant_sidecar_dials_total`,
		line:   "cannot connect", attr: "HTTP/1",
	},
	{
		name: "GOAWAY storm",
		nodes: []node{{do: func(n int64, s *faultwire.Stream) {
			well(n, s)
			if n%3 == 0 {
				_ = s.Conn().Leave(http2.ErrCodeNo, "")
			}
		}}}, callers: 2, call: query,
		kind: "goaway_storm", words: "ends connections all the time",
		doctor: []string{"sidecar", "GOAWAY"},
		metric: "qdrant_sidecar_goaways_total",
		line:   "connection ended", attr: "",
	},
	{
		name:  "breaker open",
		nodes: []node{{do: play(faultwire.Status("13", "Service internal error"))}}, callers: 4, call: query,
		kind: "breaker_open", words: "Qdrant failed Points/Query so often",
		doctor: []string{"sidecar", "circuit breaker"},
		metric: `qdrant_sidecar_breaker_transitions_total{to="open"}`,
		line:   "breaker opened: calls are refused for a while",
	},
}

func TestSituations(t *testing.T) {
	for _, test := range situations {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

func (test *situation) run(t *testing.T) {
	var urls []string
	for _, n := range test.nodes {
		urls = append(urls, n.start(t, test.far))
	}
	env := append([]string{"QDRANT_URL=http://" + strings.Join(urls, ",")}, test.env...)
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + strings.Join(urls, ","), Env: test.env, Admin: true, Unready: true})
	test.load(t, s)

	next := watch(t, s)
	for {
		found := next().GetFindings()
		first := found[0]
		if first.GetKind() == test.kind && strings.Contains(first.GetSentence(), test.words) {
			t.Logf("%s\n%s\n→ %s", first.GetSentence(), strings.Join(first.GetEvidence(), "\n"), first.GetAction())
			break
		}
	}
	if out, code := command(t, s, nil, "top", "--once"); code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), test.words) {
		t.Errorf("top exits %d and says\n%s", code, out)
	} else {
		t.Logf("top:\n%s", out)
	}
	test.askDoctor(t, s, env)
	if test.metric != "" && !counted(t, s, test.metric) {
		t.Errorf("no metric %s", test.metric)
	}
	if test.line != "" {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := s.Log().Wait(ctx, func(l sidecar.Line) bool {
			return l.Message == test.line && strings.Contains(fmt.Sprint(l.Attrs), test.attr)
		})
		if err != nil {
			t.Errorf("no line %q with %q in the log: %v", test.line, test.attr, err)
		}
	}
}

func (test *situation) askDoctor(t *testing.T, s *sidecar.Sidecar, env []string) {
	t.Helper()
	// What the sidecar says may be about to change while the doctor asks.
	for range 3 {
		out, code := command(t, s, env, "doctor")
		for line := range strings.Lines(out) {
			if strings.Contains(line, "FAIL  "+test.doctor[0]) && strings.Contains(line, test.doctor[1]) && code == 1 {
				t.Logf("doctor:\n%s", out)
				return
			}
		}
		t.Logf("doctor exits %d and says\n%s", code, out)
	}
	t.Errorf("doctor does not fail %s with %q", test.doctor[0], test.doctor[1])
}

// start returns the node's address.
func (n node) start(t *testing.T, far time.Duration) string {
	t.Helper()
	var calls atomic.Int64
	server := &faultwire.Server{Greet: n.greet, Handler: func(s *faultwire.Stream) {
		switch {
		case s.Request.Fields.Get(":path") != "/qdrant.Qdrant/HealthCheck":
			do := n.do
			if do == nil {
				do = well
			}
			do(calls.Add(1), s)
		case n.health != nil:
			n.health(s)
		default:
			healthy(s)
		}
	}}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if far > 0 {
		return newRelay(t, server.Addr(), far)
	}
	return server.Addr()
}

// load has callers at work until the test ends.
func (test *situation) load(t *testing.T, s *sidecar.Sidecar) {
	t.Helper()
	points := qdrant.NewPointsClient(dial(t, s.GRPC))
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range test.callers {
		running.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				timely, cancel := context.WithTimeout(ctx, 10*time.Second)
				test.call(timely, points)
				cancel()
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// counted reports whether a line of the metrics page that begins so has a value.
func counted(t *testing.T, s *sidecar.Sidecar, begin string) bool {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Metrics+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, begin) {
			continue
		}
		fields := strings.Fields(line)
		if v, err := strconv.ParseFloat(fields[len(fields)-1], 64); err == nil && v > 0 {
			return true
		}
	}
	return false
}
