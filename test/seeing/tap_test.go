package seeing_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/test/sidecar"
)

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
			if strings.Contains(line, "watching") || strings.HasPrefix(line, " ") {
				continue // nor is what an error says a line of its own
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
