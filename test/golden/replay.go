package golden

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// callTimeout bounds one call of a replay.
const callTimeout = 20 * time.Second

// knownDifferences are the calls that may be answered in another way than recorded, by number, each with the reason.
// A call that is listed here and matches fails the replay, so the list cannot outlive its reasons.
func knownDifferences() map[int]string { return map[int]string{} }

// Replay makes every recorded call on conn, one subtest each, and fails those that are answered in another way. Behind
// conn must be an empty database that nobody else uses; after a complete replay it is empty again. The last line of
// output says how many calls matched.
func Replay(t *testing.T, conn grpc.ClientConnInterface) {
	t.Helper()
	calls, err := Calls()
	if err != nil {
		t.Fatal(err)
	}
	known := knownDifferences()
	matching := 0
	for _, c := range calls {
		t.Run(strings.ReplaceAll(c.String(), "/", " "), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
			defer cancel()
			diffs := c.Diff(c.Invoke(ctx, conn))
			reason, expected := known[c.N]
			switch {
			case len(diffs) == 0 && expected:
				t.Errorf("call %d matches; take it off the list of known differences (%s)", c.N, reason)
			case len(diffs) == 0:
				matching++
			case expected:
				t.Skipf("known difference: %s\n%s", reason, strings.Join(diffs, "\n"))
			default:
				t.Errorf("%s %s\n%s", c.Method, c.Request, strings.Join(diffs, "\n"))
			}
		})
	}
	t.Logf("%d of %d recorded calls match", matching, len(calls))
}
