package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// newServer returns a Server whose upstream refuses, and its log.
func newServer(t *testing.T) (*Server, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	p := pool.New(pool.Config{
		Endpoints: []pool.Endpoint{{Address: "qdrant.test:6334", Dial: func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}}},
		Size:   1,
		Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(p.Close)
	s := New(Config{Pool: p, APIKey: "hush", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	t.Cleanup(s.h2.Close)
	return s, &log
}

// outer returns the stack down to the layer that explains errors, with call in
// place of the rest.
func outer(s *Server, call func() error) func(*Call) error {
	chain := chainUnary([]interceptors{s.recover(), s.outside().interceptors()}, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) {
		return nil, call()
	})
	return func(c *Call) error {
		_, err := chain(context.Background(), c)
		return err
	}
}

// newTestCall is a call as it arrives.
func newTestCall(fullMethod string) *Call {
	return &Call{rules: newRules(Rules{}), FullMethod: fullMethod, Method: method.Lookup(fullMethod), Peer: &net.TCPAddr{}}
}

func TestVerdicts(t *testing.T) {
	lost := func(sent bool, code codes.Code) error {
		return &pool.LostError{Address: "q:1", Sent: sent, Code: code, Err: errors.New("stream reset")}
	}
	for _, test := range []struct {
		cause   error
		code    codes.Code
		reason  Reason
		message string
	}{
		{&pool.ConnectError{Address: "q:1", Reason: "connection refused"}, codes.Unavailable, NoHealthyUpstream, "no connection to Qdrant at q:1: connection refused"},
		{lost(false, codes.Internal), codes.Unavailable, NoHealthyUpstream, "the call could not be sent to Qdrant at q:1: stream reset"},
		{lost(true, codes.Internal), codes.Internal, UpstreamLost, "Qdrant at q:1 ended the call without an answer: stream reset"},
		{lost(true, codes.Unavailable), codes.Unavailable, UpstreamLost, "Qdrant at q:1 ended the call without an answer: stream reset"},
		{
			&resilience.OpenError{Endpoint: "q:1", Method: "/qdrant.Points/Query", Remaining: 1500 * time.Microsecond}, codes.Unavailable, CircuitOpen,
			"/qdrant.Points/Query failed too often at q:1: no call is sent there for 2ms",
		},
		{
			&resilience.OverloadError{Reason: resilience.QueueFull, Ahead: 7}, codes.ResourceExhausted, Overloaded,
			"too many calls at once: as many wait as may (7) (send fewer at once, or see --max-concurrent-calls, --max-queued-calls and --queue-timeout)",
		},
		{resilience.ErrExpired, codes.DeadlineExceeded, DeadlineExceeded, "the call's deadline had passed when it arrived; nothing was sent"},
		{errTryTimeout, codes.DeadlineExceeded, UpstreamTimeout, "Qdrant did not answer in the time of one attempt (--try-timeout), and there was no other"},
		{
			&deadlineError{5 * time.Minute, method.WriteDeadline}, codes.DeadlineExceeded, DeadlineExceeded,
			"no answer from Qdrant within 5m0s, the time of writes whose callers set none (--write-timeout)",
		},
		{context.DeadlineExceeded, codes.DeadlineExceeded, DeadlineExceeded, "the call's deadline passed before Qdrant answered"},
		{fmt.Errorf("sending: %w", context.Canceled), codes.Canceled, Cancelled, "the caller cancelled the call"},
		{pool.ErrClosed, codes.Unavailable, ShuttingDown, "the sidecar is shutting down"},
		{
			headerTooLarge(h2.Limits{}.WithDefaults()), codes.ResourceExhausted, HeaderTooLarge,
			"the call's metadata is too large: the sidecar takes 16384 bytes (--client-max-header-list-size) in 256 fields (--client-max-header-fields)",
		},
		{errPanic, codes.Internal, Panic, "the sidecar failed on this call; its log has the details"},
		{errors.New("what?"), codes.Internal, Unexpected, "unexpected: what?"},
	} {
		t.Run(test.message, func(t *testing.T) {
			st := status.Convert(judge(test.cause).err())
			if st.Code() != test.code || st.Message() != "qdrant-sidecar: "+test.message {
				t.Errorf("%v: %s", st.Code(), st.Message())
			}
			info, ok := st.Details()[0].(*errdetails.ErrorInfo)
			if !ok || info.GetDomain() != "qdrant-sidecar" || info.GetReason() != string(test.reason) {
				t.Errorf("details %v", st.Details())
			}
		})
	}
}

func TestAnswersStayAsTheyAre(t *testing.T) {
	s, log := newServer(t)
	answer := status.Error(codes.NotFound, "Not found: Collection `ghost` doesn't exist!")
	c := newTestCall("/qdrant.Points/Query")
	err := outer(s, func() error { return answer })(c)
	if err != answer || c.Reason != "" {
		t.Errorf("%v, reason %q", err, c.Reason)
	}
	s.calls.tell(c, err)
	if text := log.String(); !strings.Contains(text, "level=INFO") || !strings.Contains(text, "code=NotFound") || strings.Contains(text, "ghost") {
		t.Errorf("logged: %s", text)
	}
}

func TestPanicIsOneFailedCall(t *testing.T) {
	s, log := newServer(t)
	err := outer(s, func() error { panic("oh") })(newTestCall("/qdrant.Points/Query"))
	if status.Code(err) != codes.Internal || !strings.HasPrefix(status.Convert(err).Message(), "qdrant-sidecar: ") {
		t.Errorf("the caller got %v", err)
	}
	if n := s.InFlight(); n != 0 {
		t.Errorf("%d calls in flight afterwards", n)
	}
	if n := testutil.ToFloat64(s.metrics.failures.WithLabelValues(string(Panic))); n != 1 {
		t.Errorf("%v panics counted", n)
	}
	if text := log.String(); !strings.Contains(text, "panic=oh") || !strings.Contains(text, "stack_test.go") {
		t.Errorf("logged: %s", text)
	}
}

func TestCallsAreCounted(t *testing.T) {
	s, _ := newServer(t)
	query := outer(s, func() error { return nil })
	for range 3 {
		query(newTestCall("/qdrant.Points/Query"))
	}
	outer(s, func() error { return context.Canceled })(newTestCall("/qdrant.Points/Query"))
	outer(s, func() error { return status.Error(codes.Code(99), "") })(newTestCall("/made/up"))
	outer(s, func() error { return status.Error(codes.Unimplemented, "") })(newTestCall("/made/up2"))
	want := `
# HELP grpc_server_handled_total Calls that ended, by the code that the caller got.
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="Canceled",grpc_method="Query",grpc_service="qdrant.Points",grpc_type="unary"} 1
grpc_server_handled_total{grpc_code="OK",grpc_method="Query",grpc_service="qdrant.Points",grpc_type="unary"} 3
grpc_server_handled_total{grpc_code="Unimplemented",grpc_method="other",grpc_service="other",grpc_type="bidi_stream"} 1
grpc_server_handled_total{grpc_code="other",grpc_method="other",grpc_service="other",grpc_type="bidi_stream"} 1
`
	if err := testutil.GatherAndCompare(s.Gatherer(), strings.NewReader(want), "grpc_server_handled_total"); err != nil {
		t.Error(err)
	}
	for _, reason := range everyReason() {
		want := 0.0
		if reason == Cancelled {
			want = 1
		}
		if n := testutil.ToFloat64(s.metrics.failures.WithLabelValues(string(reason))); n != want {
			t.Errorf("%s was counted %v times, want %v", reason, n, want)
		}
	}
	if problems, err := testutil.GatherAndLint(s.Gatherer()); err != nil || len(own(problems)) > 0 {
		t.Errorf("%v, %v", own(problems), err)
	}
}

// own leaves out what is said of metrics whose names others made.
func own(problems []promlint.Problem) []string {
	var found []string
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "qdrant_sidecar_") {
			found = append(found, p.Metric+": "+p.Text)
		}
	}
	return found
}

func TestIdentify(t *testing.T) {
	c := &Call{rules: newRules(Rules{}), FullMethod: "/qdrant.Points/Count", Method: method.Lookup("/qdrant.Points/Count"), Body: mem.BufferSlice{mem.SliceBuffer("\x00\x00\x00\x00\x06\x0a\x04docs")}}
	s, _ := newServer(t)
	if err := s.identify(t.Context(), c); err != nil || c.Collection != "docs" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAPIKeyIsAddedForThoseWithoutOne(t *testing.T) {
	s, _ := newServer(t)
	for _, test := range []struct {
		header h2.Fields
		want   []string
	}{
		{nil, []string{"hush"}},
		{h2.Fields{{Name: "x", Value: "y"}}, []string{"hush"}},
		{h2.Fields{{Name: "api-key", Value: "mine"}}, []string{"mine"}},
		{h2.Fields{{Name: "api-key", Value: ""}}, []string{""}},
		{h2.Fields{{Name: "authorization", Value: "Bearer x"}}, nil},
		{h2.Fields{{Name: "openai-api-key", Value: "x"}}, []string{"hush"}},
	} {
		c := &Call{Header: test.header, rules: s.rules.Load()}
		if err := addAPIKey(t.Context(), c); err != nil || fmt.Sprint(c.Header.Values("api-key")) != fmt.Sprint(test.want) {
			t.Errorf("%v: %q, want %q", test.header, c.Header.Values("api-key"), test.want)
		}
	}
	c := &Call{rules: s.rules.Load()}
	if err := addAPIKey(t.Context(), c); err != nil || !c.Header[0].Sensitive {
		t.Error("the key may enter the tables of HPACK")
	}
}

func TestLinesOfALevelAreBounded(t *testing.T) {
	s, log := newServer(t)
	ours := outer(s, func() error { return &pool.ConnectError{Address: "q:1", Reason: "connection refused"} })
	theirs := outer(s, func() error { return status.Error(codes.NotFound, "") })
	for range 1000 {
		for path, fail := range map[string]func(*Call) error{"/qdrant.Points/Query": theirs, "/" + strings.Repeat("x", 10_000): ours} {
			c := newTestCall(path)
			s.calls.tell(c, fail(c))
		}
	}
	for level, want := range map[string]string{"WARN": "reason=NO_HEALTHY_UPSTREAM", "INFO": "code=NotFound"} {
		n := strings.Count(log.String(), "level="+level+" msg=\"call failed\"")
		if n < LineBurst || n > 2*LineBurst || !strings.Contains(log.String(), want) {
			t.Errorf("1,000 failures wrote %d lines of %s", n, level)
		}
	}
	if n := log.Len(); n > 100_000 {
		t.Errorf("the log of long method names has %d bytes", n)
	}
}

func TestRefusedCallsAreCountedAndGoNoFurther(t *testing.T) {
	s, _ := newServer(t)
	c := newTestCall("/qdrant.Points/Query")
	c.refused = errHeaderTooLarge
	chain := chainUnary(s.stack(), &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) {
		t.Error("the call was passed on")
		return nil, nil
	})
	if _, err := chain(t.Context(), c); status.Code(err) != codes.ResourceExhausted || c.Reason != HeaderTooLarge {
		t.Errorf("%v, reason %q", err, c.Reason)
	}
	if n := testutil.ToFloat64(s.metrics.failures.WithLabelValues(string(HeaderTooLarge))); n != 1 {
		t.Errorf("%v calls counted", n)
	}
}
