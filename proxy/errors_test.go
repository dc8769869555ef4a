package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// anyCause draws what can end a call in the sidecar, and what nobody thought of.
func anyCause(t *rapid.T) error {
	text := rapid.StringN(0, 20, 40).Draw(t, "text")
	span := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "span"))
	cause := rapid.SampledFrom([]error{
		&pool.ConnectError{Address: "q:1", Reason: text},
		&pool.LostError{Address: "q:1", Sent: rapid.Bool().Draw(t, "sent"), Code: codes.Internal, Err: errors.New(text)},
		&resilience.OpenError{Endpoint: "q:1", Method: text, Remaining: span},
		&resilience.OverloadError{Reason: resilience.QueuedTooLong, Expected: span},
		&resilience.OverloadError{Reason: resilience.QueueFull},
		&deadlineError{span, method.ReadDeadline},
		&resilience.ExhaustedError{GivenUp: resilience.GivenUp{Attempts: 4, Code: codes.Unavailable, Message: text}},
		resilience.ErrExpired, errTryTimeout, context.DeadlineExceeded, context.Canceled, pool.ErrClosed, errPanic,
		headerTooLarge(h2.Limits{}), errors.New(text),
	}).Draw(t, "cause")
	if rapid.Bool().Draw(t, "wrapped") {
		return fmt.Errorf("while trying: %w", cause)
	}
	return cause
}

// TestReasonsAreAll holds the list of them to what the source defines.
func TestReasonsAreAll(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	var defined []Reason
	for _, match := range regexp.MustCompile(`Reason\s+= "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		defined = append(defined, Reason(match[1]))
	}
	if !slices.Equal(defined, everyReason()) {
		t.Errorf("defined are %q, listed %q", defined, everyReason())
	}
}

// TestOwnErrorsSayWhoseTheyAre: to people, to programs, and to the metrics.
func TestOwnErrorsSayWhoseTheyAre(t *testing.T) {
	s, _ := newServer(t)
	rapid.Check(t, func(t *rapid.T) {
		cause := anyCause(t)
		c := newTestCall("/qdrant.Points/Query")
		reason := judge(cause).reason
		before := testutil.ToFloat64(s.metrics.failures.WithLabelValues(string(reason)))
		st := status.Convert(outer(s, func() error { return cause })(c))
		if st.Code() == codes.OK || !strings.HasPrefix(st.Message(), "qdrant-sidecar: ") || len(st.Message()) == len("qdrant-sidecar: ") {
			t.Errorf("%v becomes %v", cause, st)
		}
		if len(st.Details()) != 1 {
			t.Fatalf("details %v", st.Details())
		}
		info, ok := st.Details()[0].(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != "qdrant-sidecar" || info.GetReason() != string(c.Reason) || !slices.Contains(everyReason(), c.Reason) {
			t.Errorf("details %v, reason %q", st.Details(), c.Reason)
		}
		if c.Reason != reason || testutil.ToFloat64(s.metrics.failures.WithLabelValues(string(reason))) != before+1 {
			t.Errorf("%q was not counted as such", reason)
		}
		for _, f := range ownAnswer(st.Err(), c.advice, false) {
			if f.Name == pushbackField && c.Reason != CircuitOpen && c.Reason != Overloaded && c.Reason != Exhausted {
				t.Errorf("%s: %s: %s", c.Reason, f.Name, f.Value)
			}
		}
	})
}
