package e2e_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"qdrant-sidecar/test/sidecar"
)

// TestWatching tries each flag of the commands that show what goes on. That they tell
// the truth is for test/seeing.
func TestWatching(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true})
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, stop := context.WithCancel(context.Background())
	var calling sync.WaitGroup
	calling.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = qdrant.NewPointsClient(conn).Count(ctx, &qdrant.CountPoints{CollectionName: "absent"})
				_, _ = qdrant.NewQdrantClient(conn).HealthCheck(ctx, &qdrant.HealthCheckRequest{})
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() {
		stop()
		calling.Wait()
	})
	for _, test := range []struct {
		args     string
		has, not string // of the output
	}{
		{"top --once", "QUEUE", "{"},
		{"top --once --json", `"findings"`, "QUEUE"},
		{"top --interval=1s", "QUEUE", ""}, // no terminal, so it is shown once
		{"tap --count=3 --method=count", "Points/Count", "HealthCheck"},
		{"tap --count=3 --collection=absent", "Points/Count", "HealthCheck"},
		{"tap --count=3 --code=OK", "Qdrant/HealthCheck", "Points/Count"},
		{"tap --count=3 --failed", "NotFound", "HealthCheck"},
		{"tap --count=3 --slower-than=1us", "Qdrant/HealthCheck", ""},
		{"tap --count=1 --failed --bodies", `"collectionName": "absent"`, ""},
		{"tap --count=1 --failed", "NotFound", "collectionName"},
		{"tap --count=1 --json", `"method":"`, "watching"},
		{"pool", "memory://", "{"},
		{"breakers --json", `"time"`, "closed"},
		{"info --json", `"settings"`, "SETTING"},
	} {
		code, c := run(t, []string{"QDRANT_ADMIN_LISTEN=" + s.Admin}, strings.Fields(test.args)...)
		out := c.stdout.String()
		if code != exitOK || !strings.Contains(out, test.has) || test.not != "" && strings.Contains(out, test.not) {
			t.Errorf("%s exits %d, want %q and no %q in\n%s%s", test.args, code, test.has, test.not, out, &c.stderr)
		}
		if strings.HasSuffix(test.args, "--json") && !json.Valid([]byte(out)) {
			t.Errorf("%s prints no JSON:\n%s", test.args, out)
		}
		if n := strings.Count(out, "Points/Count"); strings.HasPrefix(test.args, "tap --count=3 --method") && n != 3 {
			t.Errorf("%s shows %d calls", test.args, n)
		}
	}
	// Nothing takes an hour, so nothing is shown.
	silent := launch(t, []string{"QDRANT_ADMIN_LISTEN=" + s.Admin}, "tap", "--slower-than=1h")
	code, c := run(t, []string{"QDRANT_ADMIN_LISTEN=" + s.Admin}, "tap", "--count=20")
	if lines := strings.Count(c.stdout.String(), "\n"); code != exitOK || lines != 20 {
		t.Errorf("tap exits %d after %d lines", code, lines)
	}
	silent.terminate()
	if out := silent.stdout.String(); out != "" {
		t.Errorf("what was fast is shown: %s", out)
	}
}
