// Package seeing_test proves that whoever is on call is told the truth: for each thing
// that goes wrong it is injected at the front door of the built binary, and then the
// verdict, `top`, `doctor`, the metrics and the log have to say so.
package seeing_test

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/test/sidecar"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait most of the time, so some run together whatever the number of
	// processors.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	sidecar.Main(m)
}

// patience bounds every wait for something that must happen.
const patience = 40 * time.Second

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// watch returns statistics as they come, until the test ends.
func watch(t *testing.T, s *sidecar.Sidecar) func() *adminv1.Statistics {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	t.Cleanup(cancel)
	updates, err := adminv1.NewStatisticsServiceClient(dial(t, s.Admin)).WatchStatistics(ctx, &adminv1.WatchStatisticsRequest{
		Interval: durationpb.New(500 * time.Millisecond), Window: durationpb.New(5 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() *adminv1.Statistics {
		t.Helper()
		update, err := updates.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return update.GetStatistics()
	}
}

// command runs a command of the binary beside the sidecar, with the same settings.
func command(t *testing.T, s *sidecar.Sidecar, env []string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, sidecar.Binary(t), args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "QDRANT_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(append(cmd.Env, "GORACE=atexit_sleep_ms=0", "QDRANT_ADMIN_LISTEN="+s.Admin), env...)
	raw, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%v: %v", args, err)
	}
	return string(raw), cmd.ProcessState.ExitCode()
}
