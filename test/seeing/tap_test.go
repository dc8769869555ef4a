package seeing_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/metadata"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// What must never be seen, where it is planted.
const (
	inPayload = "PLANTED-payload-5d1"
	inFilter  = "PLANTED-filter-9c4"
	inKey     = "PLANTED-key-e07"
	inAnswer  = "PLANTED-answer-b38"
	inVector  = "31337.5"
	credit    = "PLANTED-credential-2fa"
)

// plant makes calls that carry all of it, over and over until the test ends, some of
// which fail with words of Qdrant's that quote them.
func plant(t *testing.T) *sidecar.Sidecar {
	t.Helper()
	var n node
	n.do = func(count int64, s *faultwire.Stream) {
		act := faultwire.Act(nil)
		if count%2 == 0 {
			act = faultwire.Status("3", "Wrong input: "+inAnswer)
		}
		play(act)(count, s)
	}
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + n.start(t, 0), Admin: true, Unready: true, Env: []string{"QDRANT_API_KEY=" + inKey}})
	turn := make(chan int, 1)
	turn <- 0
	test := situation{callers: 2, call: func(ctx context.Context, points qdrant.PointsClient) {
		n := <-turn
		turn <- n + 1
		ctx = metadata.AppendToOutgoingContext(ctx, "x-secret", inKey)
		if n%2 == 0 {
			_, _ = points.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "products", Points: []*qdrant.PointStruct{{
				Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1, 2, 3, 4, 31337.5),
				Payload: qdrant.NewValueMap(map[string]any{"city": inPayload, "service_api_key": credit}),
			}}})
			return
		}
		_, _ = points.Query(ctx, &qdrant.QueryPoints{CollectionName: "products", Query: qdrant.NewQuery(1, 2, 3, 4, 31337.5),
			Filter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("city", inFilter)}}})
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

// Nothing that is in a call leaves through any of the ways to look, but bodies, for
// which one has to ask; and credentials not even then.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	s := plant(t)
	next := watch(t, s)
	for stats := next(); len(stats.GetLastFailures()) < 10 || stats.GetTotal().GetCalls() < 20; {
		stats = next()
	}
	for _, args := range [][]string{
		{"top", "--once"}, {"top", "--once", "--json"}, {"tap", "--count=20"}, {"tap", "--count=20", "--failed", "--json"},
		{"pool"}, {"pool", "--json"}, {"breakers"}, {"breakers", "--json"}, {"info"}, {"info", "--json"},
	} {
		out, code := command(t, s, nil, args...)
		if code != 0 || strings.TrimSpace(out) == "" {
			t.Errorf("%v exits %d: %s", args, code, out)
		}
		contains(t, strings.Join(args, " "), out, inPayload, inFilter, inKey, inAnswer, inVector, credit)
		if strings.HasSuffix(args[len(args)-1], "json") && args[0] != "tap" && !json.Valid([]byte(out)) {
			t.Errorf("%v prints no JSON: %s", args, out)
		}
	}
	events := get(t, s, "/events", 64<<10)
	contains(t, "the page", events, inPayload, inFilter, inKey, inAnswer, inVector, credit)
	if !strings.Contains(events, `"findings"`) {
		t.Errorf("no findings on the page: %s", events)
	}
	for _, args := range [][]string{{"tap", "--count=20", "--bodies"}, {"tap", "--count=20", "--bodies", "--json"}} {
		out, _ := command(t, s, nil, args...)
		contains(t, strings.Join(args, " "), out, inKey, inVector, credit)
		for _, shown := range []string{inPayload, inFilter, inAnswer, "(redacted)", "1 more"} {
			if !strings.Contains(out, shown) {
				t.Errorf("%v does not show %s:\n%s", args, shown, out)
			}
		}
	}
}

func TestTapFilters(t *testing.T) {
	t.Parallel()
	s := plant(t)
	for _, test := range []struct {
		args []string
		all  string // in every line
	}{
		{[]string{"--method", "query"}, "Points/Query"},
		{[]string{"--code", "InvalidArgument"}, "InvalidArgument"},
		{[]string{"--failed", "--method=upsert,nothing"}, "Points/Upsert"},
		{[]string{"--collection", "products"}, "products"},
	} {
		out, code := command(t, s, nil, append([]string{"tap", "--count=5"}, test.args...)...)
		lines := 0
		for line := range strings.Lines(out) {
			if strings.Contains(line, "watching") {
				continue
			}
			lines++
			if !strings.Contains(line, test.all) {
				t.Errorf("%v shows %s", test.args, line)
			}
		}
		if lines != 5 || code != 0 {
			t.Errorf("%v shows %d lines and exits %d:\n%s", test.args, lines, code, out)
		}
	}
	if out, code := command(t, s, nil, "tap", "--code=nonsense"); code != 1 || !strings.Contains(out, `there is no code "nonsense"`) {
		t.Errorf("a code that there is not: %d, %s", code, out)
	}
	if out, code := command(t, s, nil, "tap", "--slower-than=nonsense"); code != 64 {
		t.Errorf("a time that is none: %d, %s", code, out)
	}
}

// A tap that nobody reads from holds up no call, and says later what was missed.
func TestSlowTap(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	calls, err := adminv1.NewCallsServiceClient(dial(t, s.Admin)).WatchCalls(ctx, &adminv1.WatchCallsRequest{Bodies: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := calls.Recv(); err != nil {
		t.Fatal(err)
	}
	points := qdrant.NewPointsClient(dial(t, s.GRPC))
	large := strings.Repeat("x", 900<<10)
	const made = 40 // of which a tap holds 8 MiB, and what is on its way
	for range made {
		from := time.Now()
		_, _ = points.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "none", Points: []*qdrant.PointStruct{{
			Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1), Payload: qdrant.NewValueMap(map[string]any{"text": large}),
		}}})
		if took := time.Since(from); took > 5*time.Second {
			t.Errorf("a call took %v beside a tap that nobody reads", took)
		}
	}
	var told, missed int64
	for told+missed < made {
		call, err := calls.Recv()
		if err != nil {
			t.Fatalf("%d told, %d missed: %v", told, missed, err)
		}
		told++
		missed += call.GetMissed()
		if told+missed == made-1 {
			break // the last ones may be missed without anybody to tell it with
		}
		if missed > 0 {
			break
		}
	}
	if missed == 0 {
		t.Errorf("%d calls were told, and none was missed", told)
	}
}

func TestNobodyToAsk(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true})
	gone := s
	s.Stop()
	for _, name := range []string{"top", "tap", "pool", "breakers", "info"} {
		out, code := command(t, gone, nil, name)
		if code != 1 || !strings.HasPrefix(out, "qdrant-sidecar: no sidecar answers at "+gone.Admin) {
			t.Errorf("%s exits %d and says %s", name, code, out)
		}
	}
	out, code := command(t, gone, []string{"QDRANT_URL=memory://"}, "doctor")
	if code != 0 || !strings.Contains(out, "none is running at --admin-listen "+gone.Admin) {
		t.Errorf("doctor exits %d and says\n%s", code, out)
	}
	if out, code := command(t, gone, []string{"QDRANT_ADMIN_LISTEN=off"}, "top"); code != 64 || !strings.Contains(out, "off") {
		t.Errorf("top of a sidecar without an admin listener exits %d: %s", code, out)
	}
	if out, code := command(t, gone, nil, "doctor"); code != 64 || !strings.Contains(out, "No Qdrant to forward to") {
		t.Errorf("doctor without an upstream exits %d: %s", code, out)
	}
}
