package seeing_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/metadata"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/proxy/verdict"
	"qdrant-sidecar/test/sidecar"
)

// What must never be seen, where it is planted.
const (
	inPayload = "PLANTED-payload-5d1"
	inFilter  = "PLANTED-filter-9c4"
	inKey     = "PLANTED-key-e07"
	inAnswer  = "PLANTED-answer-b38"
	inVector  = "31337.5"
	inID      = "5eed5eed-1d1d-4aaa-8bbb-c0ffee15bad0"
	inNumber  = "987654321987"
	credit    = "PLANTED-credential-2fa"
	inToken   = "PLANTED-token-77a" // for the collector of traces
)

// planted is all of it.
func planted() []string {
	return []string{inPayload, inFilter, inKey, inAnswer, inVector, inID, inNumber, credit, inToken}
}

// collector takes the spans, as they are on the wire.
type collector struct {
	*httptest.Server
	mu  sync.Mutex
	raw strings.Builder
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.String()
}

// plant makes calls that carry all of it, over and over until the test ends, some of
// which fail with words of Qdrant's that quote them.
func plant(t *testing.T, env ...string) *sidecar.Sidecar {
	t.Helper()
	n := node{do: func(count int64, s *faultwire.Stream) {
		act := faultwire.Act(nil)
		switch path := s.Request.Fields.Get(":path"); {
		case !strings.HasPrefix(path, "/qdrant.Points/"): // the doctor's own calls have nothing to quote
		case path == "/qdrant.Points/Count":
			act = faultwire.Status("14", "Service unavailable: "+inAnswer)
		case count%2 == 0:
			act = faultwire.Status("3", "Wrong input: "+inAnswer)
		}
		play(act)(count, s)
	}}
	s := sidecar.Start(t, sidecar.Options{
		Upstream: "http://" + n.start(t, 0), Admin: true, Unready: true,
		Env: append([]string{"QDRANT_API_KEY=" + inKey, "QDRANT_LOG_LEVEL=debug", "QDRANT_RETRY_BASE_DELAY=1ms"}, env...),
	})
	turn := make(chan int, 1)
	turn <- 0
	test := situation{callers: 2, call: func(ctx context.Context, points qdrant.PointsClient) {
		n := <-turn
		turn <- n + 1
		ctx = metadata.AppendToOutgoingContext(ctx, "x-secret", inKey)
		filter := &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("city", inFilter), qdrant.NewHasID(qdrant.NewID(inID))}}
		switch n % 3 {
		case 0:
			_, _ = points.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "products", Points: []*qdrant.PointStruct{{
				Id: qdrant.NewIDNum(987654321987), Vectors: qdrant.NewVectors(1, 2, 3, 4, 31337.5),
				Payload: qdrant.NewValueMap(map[string]any{"city": inPayload, "service_api_key": credit}),
			}}})
		case 1:
			_, _ = points.Query(ctx, &qdrant.QueryPoints{CollectionName: "products", Query: qdrant.NewQuery(1, 2, 3, 4, 31337.5), Filter: filter})
		case 2:
			for range 2 { // the second one is told what became of the first
				_, _ = points.Count(ctx, &qdrant.CountPoints{CollectionName: "products", Filter: filter})
			}
		}
	}}
	test.load(t, s)
	return s
}

func contains(t *testing.T, what, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s tells %s:\n%.4000s", what, secret, text)
		}
	}
}

// TestNothingLeaks: nothing that is in a call leaves through any of the ways to look, but
// bodies, for which one has to ask; and credentials not even then.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	spans := newCollector(t)
	otel := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + spans.URL, "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_EXPORTER_OTLP_HEADERS=x-token=" + inToken}
	s := plant(t, otel...)
	next := watch(t, s)
	for stats := next(); len(stats.GetLastFailures()) < 10 || stats.GetTotal().GetCalls() < 20; {
		stats = next()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for what, is := range map[string]func(sidecar.Line) bool{
		"a call with Qdrant's words": func(l sidecar.Line) bool { return l.Attrs["code"] == "InvalidArgument" },
		"an echo of them":            func(l sidecar.Line) bool { return l.Attrs["reason"] == "ATTEMPTS_EXHAUSTED" },
		"a verdict":                  func(l sidecar.Line) bool { return l.Message == verdict.Line },
	} {
		if _, err := s.Log().Wait(ctx, is); err != nil {
			t.Errorf("%s is not in the log: %v", what, err)
		}
	}
	for !strings.Contains(spans.String(), "ATTEMPTS_EXHAUSTED") {
		next()
	}
	contains(t, "a span", spans.String(), planted()...)
	contains(t, "the log", s.Log().String(), planted()...)
	contains(t, "/metrics", readPage(t, s).text, planted()...)
	leakingCommands(t, s)
	events := get(t, s, "/events", 256<<10)
	contains(t, "the page", get(t, s, "/", 256<<10)+events, planted()...)
	if !strings.Contains(events, `"findings"`) {
		t.Errorf("no findings on the page: %s", events)
	}
	leakingErrors(t, s)
	for _, args := range [][]string{{"tap", "--count=20", "--bodies"}, {"tap", "--count=20", "--bodies", "--json"}} {
		out, _ := command(t, s, nil, args...)
		contains(t, strings.Join(args, " "), out, inKey, inVector, credit, inToken)
		for _, shown := range []string{inPayload, inFilter, inAnswer, inID, "(redacted)", "1 more"} {
			if !strings.Contains(out, shown) {
				t.Errorf("%v does not show %s:\n%s", args, shown, out)
			}
		}
	}
}

// leakingCommands runs all that show something, or only one of them.
func leakingCommands(t *testing.T, s *sidecar.Sidecar, only ...string) {
	t.Helper()
	env := []string{"QDRANT_API_KEY=" + inKey}
	for _, args := range [][]string{
		{"top", "--once"}, {"top", "--once", "--json"}, {"tap", "--count=20"}, {"tap", "--count=20", "--failed", "--json"},
		{"pool"}, {"pool", "--json"}, {"breakers"}, {"breakers", "--json"}, {"info"}, {"info", "--json"},
		{"doctor", "--url=http://" + onlyNode(t, s)}, {"check-config", "--url=http://" + onlyNode(t, s)},
	} {
		if len(only) > 0 && args[0] != only[0] {
			continue
		}
		out, code := command(t, s, env, args...)
		if args[0] != "doctor" && code != 0 || strings.TrimSpace(out) == "" {
			t.Errorf("%v exits %d: %s", args, code, out)
		}
		contains(t, strings.Join(args, " "), out, planted()...)
		if strings.HasSuffix(args[len(args)-1], "json") && args[0] != "tap" && !json.Valid([]byte(out)) {
			t.Errorf("%v prints no JSON: %s", args, out)
		}
	}
}

// onlyNode is the address of the only node.
func onlyNode(t *testing.T, s *sidecar.Sidecar) string {
	t.Helper()
	info, err := adminv1.NewAdminServiceClient(dial(t, s.Admin)).GetInfo(t.Context(), &adminv1.GetInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return info.GetPool().GetEndpoints()[0].GetAddress()
}

// leakingErrors has the admin API refuse what it can refuse.
func leakingErrors(t *testing.T, s *sidecar.Sidecar) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	api, only := adminv1.NewControlServiceClient(dial(t, s.Admin)), onlyNode(t, s)
	for what, ask := range map[string]func() error{
		"drain the last one": func() error {
			_, err := api.DrainEndpoint(ctx, &adminv1.DrainEndpointRequest{Address: only})
			return err
		},
		"drain nobody": func() error {
			_, err := api.DrainEndpoint(ctx, &adminv1.DrainEndpointRequest{Address: "nobody:1"})
			return err
		},
		"undrain nobody": func() error {
			_, err := api.UndrainEndpoint(ctx, &adminv1.UndrainEndpointRequest{Address: "nobody:1"})
			return err
		},
		"reconnect nobody": func() error {
			_, err := api.Reconnect(ctx, &adminv1.ReconnectRequest{Address: "nobody:1"})
			return err
		},
		"too many who watch": func() error {
			for range 17 {
				calls, err := adminv1.NewCallsServiceClient(dial(t, s.Admin)).WatchCalls(ctx, &adminv1.WatchCallsRequest{Methods: []string{"nothing"}})
				if err != nil {
					return err
				}
				if _, err := calls.Recv(); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		err := ask()
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		contains(t, what, err.Error(), planted()...)
	}
	contains(t, "the log", s.Log().String(), planted()...)
}
