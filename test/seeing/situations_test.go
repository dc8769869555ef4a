package seeing_test

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// situation is something that goes wrong, and what has to be said about it, and in no
// other situation.
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
	// fails are the steps of the doctor that fail, all of them, and words of each; notes
	// are those that it has something to say about besides, and evidence is what it shows
	// under its last word.
	fails, notes map[string]string
	evidence     string
	// metric says that the metrics say so.
	metric func(page) bool
	// line says that a line of the log says so; nodes are the addresses.
	line func(l sidecar.Line, nodes []string) bool
	// byTime has its line come about in any situation on a machine that is slow enough.
	byTime bool
}

type node struct {
	do     func(n int64, s *faultwire.Stream)
	health func(s *faultwire.Stream)
	greet  func(int) faultwire.Greeting
}

// answered is an answer in which Qdrant says how long it took.
func answered(took time.Duration) faultwire.Reply {
	message, err := proto.Marshal(&qdrant.QueryResponse{Time: took.Seconds()})
	if err != nil {
		panic(err)
	}
	return faultwire.Reply{Message: message}
}

// quick is what a Qdrant says that has nothing to do.
const quick = time.Millisecond

// play serves a call by a fault, and says that it was quick.
func play(do faultwire.Act) func(int64, *faultwire.Stream) { return slowly(do, quick) }

// slowly serves a call by a fault, and says how long it took.
func slowly(do faultwire.Act, took time.Duration) func(int64, *faultwire.Stream) {
	return func(_ int64, s *faultwire.Stream) {
		faultwire.Fault{At: faultwire.Received, Do: do}.Play(s, func([]byte) faultwire.Reply { return answered(took) })
	}
}

func well(_ int64, s *faultwire.Stream) { play(nil)(0, s) }

// healthy answers HealthChecks, less the version.
func healthy(s *faultwire.Stream) {
	faultwire.Fault{At: faultwire.Received}.Play(s, func([]byte) faultwire.Reply { return faultwire.Reply{} })
}

// query asks and waits for the answer.
func query(ctx context.Context, points qdrant.PointsClient) {
	_, _ = points.Query(ctx, &qdrant.QueryPoints{CollectionName: "products", Query: qdrant.NewQuery(1, 2, 3)})
}

// expired is a token that has ended in 2020.
func expired() string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"HS256"}`) + "." + part(`{"exp":1577836800}`) + ".c2ln"
}

// ofCall is a line of a call to query.
func ofCall(l sidecar.Line, message string) bool {
	return l.Message == message && l.Attrs["method"] == "/qdrant.Points/Query"
}

// number is a field of a line; -1 when it is not there.
func number(l sidecar.Line, name string) float64 {
	if n, ok := l.Attrs[name].(float64); ok {
		return n
	}
	return -1
}

// takes is how long what is slow takes.
const takes = 250 * time.Millisecond

var situations = []situation{
	{
		name:  "slow Qdrant",
		nodes: []node{{do: slowly(faultwire.Pause(takes), takes)}}, callers: 4, call: query,
		kind: "slow_qdrant", words: "It is Qdrant: it says itself that it takes 250 ms for Points/Query",
		fails:    map[string]string{"sidecar": "It is Qdrant: it says itself"},
		evidence: "By Qdrant's own word, in",
		metric:   func(p page) bool { return p.mean("qdrant_sidecar_upstream_seconds", `part="qdrant"`) > 0.2 },
		line: func(l sidecar.Line, _ []string) bool {
			return ofCall(l, "slow call") && number(l, "server_seconds") == takes.Seconds()
		},
	},
	{
		name:  "slow network",
		nodes: []node{{}}, far: 60 * time.Millisecond, callers: 4, call: query,
		kind: "slow_network", words: "It is the network: a round trip to Qdrant takes",
		fails:    map[string]string{"sidecar": "It is the network: a round trip"},
		evidence: "no query, no disk, only the way there and back",
		notes:    map[string]string{"HTTP/2": "a PING takes"},
		metric:   func(p page) bool { return p.least("qdrant_sidecar_ping_seconds") > 0.1 },
		line: func(l sidecar.Line, _ []string) bool {
			return ofCall(l, "slow call") && number(l, "server_seconds") == quick.Seconds() && number(l, "upstream_seconds") > 0.1
		},
		byTime: true,
	},
	{
		name:  "slow proxy in between",
		nodes: []node{{do: play(faultwire.Pause(takes))}}, callers: 4, call: query,
		kind: "slow_network", words: "and Qdrant says that only 1 ms of it are its own",
		fails:    map[string]string{"sidecar": "It is the network, or a proxy in it"},
		evidence: "Qdrant says that it took 1 ms on average; the way there and back took",
		metric:   func(p page) bool { return p.mean("qdrant_sidecar_upstream_seconds", `part="way"`) > 0.2 },
		line: func(l sidecar.Line, _ []string) bool {
			return ofCall(l, "slow call") && number(l, "server_seconds") == quick.Seconds() && number(l, "upstream_seconds") > 0.2
		},
		byTime: true,
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
		fails:    map[string]string{"sidecar": "It is the app: it gives calls only"},
		evidence: "their callers' timeout was",
		metric:   func(p page) bool { return p.sum("qdrant_sidecar_failures_total", `reason="DEADLINE_EXCEEDED"`) > 0 },
		line: func(l sidecar.Line, _ []string) bool {
			given := number(l, "deadline_seconds")
			return (ofCall(l, "caller gave up") || ofCall(l, "call failed") && l.Attrs["reason"] == "DEADLINE_EXCEEDED") && given > 0 && given <= 0.001
		},
	},
	{
		name:  "app cancelling",
		nodes: []node{{do: play(faultwire.Pause(600 * time.Millisecond))}}, callers: 4,
		// Writes may take this long, and no PING does.
		call: func(ctx context.Context, points qdrant.PointsClient) {
			ctx, cancel := context.WithCancel(ctx)
			timer := time.AfterFunc(200*time.Millisecond, cancel)
			defer timer.Stop()
			_, _ = points.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "products", Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1)}}})
		},
		env:  []string{"QDRANT_LOG_LEVEL=debug"}, // a caller who goes away is no failure
		kind: "cancelling", words: "It is the app: it cancels",
		fails:    map[string]string{"sidecar": "It is the app: it cancels"},
		evidence: "calls were cancelled by their callers",
		metric: func(p page) bool {
			return p.sum("qdrant_sidecar_failures_total", `reason="CANCELLED"`) > 0 && p.sum("qdrant_sidecar_failures_total", `reason="DEADLINE_EXCEEDED"`) == 0
		},
		line: func(l sidecar.Line, _ []string) bool {
			return l.Message == "call ended" && l.Attrs["reason"] == "CANCELLED" && number(l, "deadline_seconds") > 1
		},
	},
	{
		name:  "pool too small",
		nodes: []node{{do: play(faultwire.Pause(30 * time.Millisecond))}}, callers: 30, call: query,
		env:  []string{"QDRANT_MAX_CONCURRENT_CALLS=2", "QDRANT_MAX_QUEUED_CALLS=1000", "QDRANT_QUEUE_TIMEOUT=5s"},
		kind: "pool_too_small", words: "The pool is too small: calls wait for one of 2 places",
		fails:    map[string]string{"sidecar": "The pool is too small"},
		evidence: "2 of 2 places are taken",
		metric:   func(p page) bool { return p.sum("qdrant_sidecar_queue_seconds_count") > 0 },
		line: func(l sidecar.Line, _ []string) bool {
			return ofCall(l, "slow call") && number(l, "queue_seconds") > number(l, "seconds")/2
		},
		byTime: true,
	},
	{
		name:  "one sick node",
		nodes: []node{{}, {do: play(faultwire.Silence), health: func(s *faultwire.Stream) { play(faultwire.Silence)(0, s) }}}, callers: 2, call: query,
		kind: "sick_node", words: "One of 2 nodes of Qdrant is",
		fails:    map[string]string{"HealthCheck": "no answer within", "sidecar": "One of 2 nodes of Qdrant is"},
		evidence: "does not answer HealthCheck within a second",
		metric: func(p page) bool {
			return p.sum("qdrant_sidecar_endpoint", `standing="good"`) > 0 && p.sum("qdrant_sidecar_endpoint", `standing="sick"`)+p.sum("qdrant_sidecar_endpoint", `standing="ejected"`) > 0
		},
		line: func(l sidecar.Line, nodes []string) bool {
			return l.Message == "endpoint does not answer HealthCheck" && len(nodes) > 1 && l.Attrs["upstream"] == nodes[1]
		},
	},
	{
		name:  "expired key",
		nodes: []node{{do: play(faultwire.Status("7", "ExpiredSignature"))}}, callers: 2, call: query,
		env:  []string{"QDRANT_API_KEY=" + expired()},
		kind: "key_refused", words: "Qdrant refuses the API key: 100 %",
		fails:    map[string]string{"API key": "it is a token (JWT) that ended", "sidecar": "Qdrant refuses the API key"},
		evidence: "calls were answered PERMISSION_DENIED: an expired token",
		metric:   func(p page) bool { return p.sum("grpc_server_handled_total", `grpc_code="PermissionDenied"`) > 0 },
		line: func(l sidecar.Line, _ []string) bool {
			return ofCall(l, "call failed") && l.Attrs["code"] == "PermissionDenied" && l.Attrs["reason"] == nil
		},
	},
	{
		name:  "wrong port",
		nodes: []node{{greet: func(int) faultwire.Greeting { return faultwire.SpeakHTTP1 }}}, callers: 2, call: query,
		kind: "wrong_port", words: "The address is wrong: what answers there does not speak gRPC",
		fails:    map[string]string{"HTTP/2": "the server answered HTTP/1", "sidecar": "The address is wrong"},
		evidence: "not HTTP/2: the server answered HTTP/1",
		metric:   func(p page) bool { return p.sum("qdrant_sidecar_dials_total", `outcome="not_http2"`) > 0 },
		line: func(l sidecar.Line, nodes []string) bool {
			reason, _ := l.Attrs["reason"].(string)
			return l.Message == "cannot connect" && l.Attrs["upstream"] == nodes[0] && strings.Contains(reason, "HTTP/1")
		},
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
		fails:    map[string]string{"sidecar": "(GOAWAY)"},
		evidence: "connections ended with GOAWAY in the last",
		metric:   func(p page) bool { return p.sum("qdrant_sidecar_goaways_total", `reason="graceful"`) > 0 },
		line: func(l sidecar.Line, _ []string) bool {
			return l.Message == "connection ended" && l.Attrs["because"] == "goaway"
		},
	},
	{
		name:  "breaker open",
		nodes: []node{{do: play(faultwire.Status("13", "Service internal error"))}}, callers: 4, call: query,
		kind: "breaker_open", words: "Qdrant failed Points/Query so often",
		fails:    map[string]string{"sidecar": "(circuit breaker)"},
		evidence: "failures in a row",
		metric:   func(p page) bool { return p.sum("qdrant_sidecar_breaker_transitions_total", `to="open"`) > 0 },
		line: func(l sidecar.Line, nodes []string) bool {
			return l.Message == "breaker opened: calls are refused for a while" && l.Attrs["method"] == "/qdrant.Points/Query" && l.Attrs["upstream"] == nodes[0]
		},
	},
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
				timely, cancel := context.WithTimeout(ctx, time.Minute)
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
