package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/test/sidecar"
)

// delayed answers after a while, as Qdrant does that took half of it.
func delayed(d time.Duration) handler {
	return func(c call) ([]byte, error) {
		if c.method == healthCheck {
			return healthy(c)
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			// Its second field is the time in most answers.
			return proto.Marshal(&qdrant.QueryResponse{Time: d.Seconds() / 2})
		case <-c.ctx.Done():
			return nil, c.ctx.Err()
		}
	}
}

// lineOf waits for the line of a call.
func lineOf(t *testing.T, s *sidecar.Sidecar, message, method string) sidecar.Line {
	t.Helper()
	line, err := s.Log().Wait(bounded(t), func(l sidecar.Line) bool { return l.Message == message && l.Attrs["method"] == method })
	if err != nil {
		t.Fatalf("no line %q of %s: %v\n%s", message, method, err, s.Log())
	}
	return line
}

// wantFields compares some fields of a line.
func wantFields(t *testing.T, line sidecar.Line, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if got := line.Attrs[name]; fmt.Sprint(got) != fmt.Sprint(value) {
			t.Errorf("%s is %v, want %v: %s", name, got, value, line.Text)
		}
	}
}

// between holds that a number of a line is in a range.
func between(t *testing.T, line sidecar.Line, name string, least, most float64) {
	t.Helper()
	if got, ok := line.Attrs[name].(float64); !ok || got < least || got > most {
		t.Errorf("%s is %v, want %v to %v: %s", name, line.Attrs[name], least, most, line.Text)
	}
}

// TestSlowCallsAreLogged by the setting for their kind.
func TestSlowCallsAreLogged(t *testing.T) {
	t.Parallel()
	const takes = 50 * time.Millisecond
	u := newUpstream(t, delayed(takes))
	methods := map[string]string{"slow-read": readMethod, "slow-write": writeMethod, "slow-long": unsafeMethod}
	for name := range methods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flags := []string{"--log-level=info"}
			for other := range methods {
				if other == name {
					flags = append(flags, "--"+other+"=0.05")
				} else {
					flags = append(flags, "--"+other+"=0")
				}
			}
			s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: flags})
			conn := newConn(t, s.GRPC)
			for other, method := range methods {
				if other != name {
					callOnce(t, conn, method)
				}
			}
			callOnce(t, conn, methods[name])
			lineOf(t, s, "slow call", methods[name])
			for _, line := range s.Log().Lines() {
				if line.Message == "slow call" && line.Attrs["method"] != methods[name] {
					t.Errorf("--%s has this logged: %s", name, line.Text)
				}
			}
		})
	}
	t.Run("REST", func(t *testing.T) {
		t.Parallel()
		s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", REST: true, Args: []string{"--slow-read=1ns"}})
		if p := mustGet(t, s.REST, "/collections"); p.code != http.StatusOK {
			t.Fatalf("%+v", p)
		}
		if _, err := s.Log().Wait(bounded(t), func(l sidecar.Line) bool {
			return l.Message == "slow REST request" && l.Attrs["route"] == "GET /collections"
		}); err != nil {
			t.Errorf("no line: %v\n%s", err, s.Log())
		}
	})
	refused(t, quiet(), []string{"check-config", "--slow-read=-1s", "--slow-write=x", "--slow-long=48h"}, []string{"--slow-read", "--slow-write", "--slow-long"})
}

func callOnce(t *testing.T, conn *grpc.ClientConn, method string) {
	t.Helper()
	if err := conn.Invoke(bounded(t), method, &qdrant.CountPoints{}, &qdrant.CountResponse{}); err != nil {
		t.Fatal(err)
	}
}

// TestSlowReadIsLogged with what it asked for, and where its time went; also when
// its bytes are compressed.
func TestSlowReadIsLogged(t *testing.T) {
	t.Parallel()
	const takes = 200 * time.Millisecond
	u := newUpstream(t, delayed(takes))
	for name, options := range map[string][]grpc.CallOption{"plain": nil, "gzip": {grpc.UseCompressor(gzip.Name)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--slow-read=0.1"}})
			client := newClient(t, s.GRPC, func(c *qdrant.Config) { c.GrpcOptions = append(c.GrpcOptions, grpc.WithDefaultCallOptions(options...)) })
			ctx := metadata.AppendToOutgoingContext(bounded(t), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			_, err := client.Query(ctx, &qdrant.QueryPoints{
				CollectionName: "docs", Query: qdrant.NewQuery(1, 2, 3, 4), Limit: new(uint64(50)), WithVectors: qdrant.NewWithVectors(true),
				Params:   &qdrant.SearchParams{HnswEf: new(uint64(512))},
				Filter:   &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("city", "Berlin"), qdrant.NewRange("price", &qdrant.Range{Gt: new(1.0)})}},
				Prefetch: []*qdrant.PrefetchQuery{{Limit: new(uint64(1000))}},
			})
			if err != nil {
				t.Fatal(err)
			}
			line := lineOf(t, s, "slow call", readMethod)
			wantFields(t, line, map[string]any{
				"code": "OK", "attempts": 1, "upstream": u.addr, "connection": 0, "server_seconds": takes.Seconds() / 2,
				"trace_id": "0af7651916cd43dd8448eb211c80319c", "reason": nil, "error": nil,
				"query": map[string]any{
					"kind": "nearest", "limit": 50, "vectors": 1, "dimension": 4, "filter_conditions": 2, "filter_clauses": "must", "filter_kinds": "match,range",
					"filter_depth": 1, "prefetch": 1, "prefetch_depth": 1, "prefetch_limit": 1000, "hnsw_ef": 512, "with_vectors": true,
				},
			})
			between(t, line, "seconds", takes.Seconds(), patience.Seconds())
			between(t, line, "upstream_seconds", takes.Seconds(), patience.Seconds())
			between(t, line, "queue_seconds", 0, 0)
			between(t, line, "request_bytes", 50, 500)
			if sdk, _ := line.Attrs["sdk"].(string); !strings.Contains(sdk, "grpc-go") {
				t.Errorf("the SDK is %q", sdk)
			}
			if strings.Contains(line.Text, "Berlin") || strings.Contains(line.Text, "city") {
				t.Errorf("what was searched for is in %s", line.Text)
			}
		})
	}
}

// TestFailedWriteIsLogged with how much it was to write.
func TestFailedWriteIsLogged(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, func(c call) ([]byte, error) {
		if c.method == healthCheck {
			return healthy(c)
		}
		return nil, status.Error(codes.FailedPrecondition, "No target shard of Berlin")
	})
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url()})
	_, err := newClient(t, s.GRPC).Upsert(bounded(t), &qdrant.UpsertPoints{
		CollectionName: "docs", Wait: new(true), Ordering: &qdrant.WriteOrdering{Type: qdrant.WriteOrderingType_Medium},
		Points: []*qdrant.PointStruct{
			{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1, 2, 3)}, {Id: qdrant.NewIDNum(2), Vectors: qdrant.NewVectors(1, 2, 3)},
		},
	})
	if statusOf(err).Code() != codes.FailedPrecondition {
		t.Fatal(err)
	}
	line := lineOf(t, s, "call failed", writeMethod)
	wantFields(t, line, map[string]any{
		"level": nil, "code": "FailedPrecondition", "attempts": 1, "not_retried": "permanent", "collection": "docs", "reason": nil, "error": nil, "answer_bytes": 0,
		"write": map[string]any{"points": 2, "vectors": 1, "dimension": 3, "wait": true, "ordering": "medium"},
	})
	between(t, line, "request_bytes", 30, 200)
	if line.Level != "INFO" || strings.Contains(line.Text, "Berlin") {
		t.Errorf("%s", line.Text)
	}
}

// TestImpatientCallersAreLogged: those whose calls have too little time, and those that
// go away.
func TestImpatientCallersAreLogged(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, delayed(patience))
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		s := sidecar.Start(t, sidecar.Options{Upstream: u.url()})
		conn := newConn(t, s.GRPC)
		callHealth(t, conn)
		told := func(l sidecar.Line) bool {
			return l.Attrs["method"] == readMethod && (l.Message == "caller gave up" || l.Attrs["reason"] == "DEADLINE_EXCEEDED")
		}
		// Some of so short calls never leave the client.
		short := time.Millisecond
		eventually(t, "a line", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), short)
			defer cancel()
			short = min(2*short, time.Second)
			_ = conn.Invoke(ctx, readMethod, &qdrant.QueryPoints{}, &qdrant.QueryResponse{})
			if slices.ContainsFunc(s.Log().Lines(), told) {
				return nil
			}
			return fmt.Errorf("nobody tells of a caller with little time in\n%s", s.Log())
		})
		line, err := s.Log().Wait(bounded(t), told)
		if err != nil {
			t.Fatal(err)
		}
		between(t, line, "deadline_seconds", 0.0000001, 1)
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		arrived := make(chan struct{}, 1)
		u := newUpstream(t, func(c call) ([]byte, error) {
			if c.method == readMethod {
				arrived <- struct{}{}
			}
			return delayed(patience)(c)
		})
		for flag, want := range map[string]string{"--slow-read=1us": "slow call", "--log-level=debug": "call ended"} {
			s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{flag}})
			conn := newConn(t, s.GRPC)
			ctx, cancel := context.WithCancel(t.Context())
			ended := invoke(ctx, conn, readMethod)
			receive(t, "the call", arrived)
			cancel()
			if err := receive(t, "the end of the call", ended); statusOf(err).Code() != codes.Canceled {
				t.Fatal(err)
			}
			line := lineOf(t, s, want, readMethod)
			wantFields(t, line, map[string]any{"code": "Canceled", "reason": "CANCELLED", "deadline_seconds": nil, "not_retried": "caller_gone"})
		}
	})
}

func callHealth(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	if err := conn.Invoke(bounded(t), healthCheck, &qdrant.HealthCheckRequest{}, &qdrant.HealthCheckReply{}); err != nil {
		t.Fatal(err)
	}
}

// TestLogsHoldNoData plants a mark wherever users have data or keys, has everything
// logged, and looks for it.
func TestLogsHoldNoData(t *testing.T) {
	t.Parallel()
	const mark, number, float = "m4rk-0f-d4ta", 7246813579, 7246.8125
	marked := fmt.Sprintf("%s %d %v", mark, uint64(number), float)
	u := newUpstream(t, func(c call) ([]byte, error) {
		switch {
		case c.method == healthCheck:
			return healthy(c)
		case len(c.header.Get("fail")) > 0:
			code := codes.Code(len(c.header.Get("fail")[0]))
			return nil, status.Error(code, marked)
		}
		return proto.Marshal(&qdrant.ScrollResponse{Result: []*qdrant.RetrievedPoint{{Payload: qdrant.NewValueMap(map[string]any{mark: marked})}}})
	})
	s := sidecar.Start(t, sidecar.Options{
		Upstream: u.url(), Args: []string{"--log-level=debug", "--slow-read=0.001", "--retry-base-delay=0"}, Env: []string{"QDRANT_API_KEY=" + mark},
	})
	conn := newConn(t, s.GRPC)
	filter := &qdrant.Filter{
		Must:    []*qdrant.Condition{qdrant.NewMatch(mark, mark), qdrant.NewMatchInts(mark, number), qdrant.NewRange(mark, &qdrant.Range{Lt: new(float)})},
		MustNot: []*qdrant.Condition{qdrant.NewHasID(qdrant.NewIDNum(number), qdrant.NewIDUUID(mark))},
	}
	requests := map[string]proto.Message{
		readMethod: &qdrant.QueryPoints{
			Using: new(mark), Query: qdrant.NewQuery(float, float), Filter: filter, ScoreThreshold: new(float32(float)),
			ShardKeySelector: &qdrant.ShardKeySelector{ShardKeys: []*qdrant.ShardKey{qdrant.NewShardKey(mark)}},
		},
		"/qdrant.Points/Scroll": &qdrant.ScrollPoints{Offset: qdrant.NewIDUUID(mark), OrderBy: &qdrant.OrderBy{Key: mark}, Filter: filter},
		writeMethod: &qdrant.UpsertPoints{Points: []*qdrant.PointStruct{{
			Id: qdrant.NewIDUUID(mark), Payload: qdrant.NewValueMap(map[string]any{mark: marked}), Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{mark: qdrant.NewVector(float)}),
		}}},
		"/qdrant.Points/Delete": &qdrant.DeletePoints{Points: qdrant.NewPointsSelector(qdrant.NewIDNum(number))},
		"/acme.Thing/Do":        &qdrant.Document{Text: marked},
	}
	for method, request := range requests {
		// "" answers well; the others fail with as many codes.
		for _, fail := range []string{"", "xx", "xxxxx", strings.Repeat("x", 13), strings.Repeat("x", 14)} {
			header := []string{
				"authorization", "Bearer " + mark, "api-key", mark, "openai-api-key", mark, "x-note", mark, "tracestate", mark, "baggage", "a=" + mark, "traceparent", mark,
			}
			if fail != "" {
				header = append(header, "fail", fail)
			}
			ctx := metadata.AppendToOutgoingContext(bounded(t), header...)
			err := conn.Invoke(ctx, method, request, &qdrant.Document{}, grpc.ForceCodec(discard{}))
			if (err == nil) != (fail == "") {
				t.Errorf("%s %q: %v", method, fail, err)
			}
		}
		lineOf(t, s, "call failed", method)
	}
	lineOf(t, s, "call ended", writeMethod)
	for _, line := range s.Log().Lines() {
		for _, value := range []string{mark, fmt.Sprint(uint64(number)), fmt.Sprint(float)} {
			if strings.Contains(line.Text, value) {
				t.Errorf("%s is in %s", value, line.Text)
			}
		}
	}
}

// discard is a codec that reads nothing.
type discard struct{}

func (discard) Marshal(v any) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }
func (discard) Unmarshal([]byte, any) error   { return nil }
func (discard) Name() string                  { return "proto" }

// TestLinesNameTheCause of what goes wrong most often.
func TestLinesNameTheCause(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handle handler // nil is nobody there
		flags  []string
		calls  int // at once
		before int // calls one by one before them
		method string
		level  string
		text   string
		fields map[string]any
		queued bool
	}{
		"too few places": {
			delayed(time.Second), []string{"--max-concurrent-calls=1", "--queue-timeout=1m", "--slow-read=1.05"}, 2, 0, readMethod,
			"INFO", "slow call", map[string]any{"code": "OK", "attempts": 1, "reason": nil}, true,
		},
		"too many calls": {
			delayed(3 * time.Second), []string{"--max-concurrent-calls=1", "--max-queued-calls=0"}, 2, 0, readMethod,
			"WARN", "call failed", map[string]any{"code": "ResourceExhausted", "reason": "OVERLOADED", "attempts": 0, "upstream": nil}, false,
		},
		"expired key": {
			refusing(codes.Unauthenticated), nil, 1, 0, readMethod,
			"INFO", "call failed", map[string]any{"code": "Unauthenticated", "reason": nil, "error": nil, "attempts": 1}, false,
		},
		"wrong port": {
			nil, nil, 1, 0, readMethod,
			"WARN", "call failed", map[string]any{"code": "Unavailable", "reason": "NO_HEALTHY_UPSTREAM", "upstream": nil}, false,
		},
		"breaker open": {
			refusing(codes.Unavailable), []string{"--circuit-breaker-threshold=2"}, 5, 2, unsafeMethod,
			"WARN", "call failed", map[string]any{"code": "Unavailable", "reason": "CIRCUIT_OPEN", "attempts": 0}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := sidecar.Options{Upstream: "http://" + unusedAddress(t), Args: test.flags, Unready: true}
			if test.handle != nil {
				options.Upstream, options.Unready = newUpstream(t, test.handle).url(), false
			}
			s := sidecar.Start(t, options)
			conn := newConn(t, s.GRPC)
			var calls sync.WaitGroup
			call := func() { _ = conn.Invoke(bounded(t), test.method, &qdrant.CountPoints{}, &qdrant.CountResponse{}) }
			for range test.before {
				call()
			}
			for range test.calls {
				calls.Go(call)
			}
			calls.Wait()
			matches := func(l sidecar.Line) bool {
				if l.Message != test.text || l.Level != test.level {
					return false
				}
				for name, value := range test.fields {
					if fmt.Sprint(l.Attrs[name]) != fmt.Sprint(value) {
						return false
					}
				}
				waited, _ := l.Attrs["queue_seconds"].(float64)
				return !test.queued || waited > 0.05
			}
			if _, err := s.Log().Wait(bounded(t), matches); err != nil {
				t.Errorf("no line says so: %v\n%s", err, s.Log())
			}
		})
	}
}

// refusing answers all but HealthCheck with a status.
func refusing(code codes.Code) handler {
	return func(c call) ([]byte, error) {
		if c.method == healthCheck {
			return healthy(c)
		}
		return nil, status.Error(code, "no")
	}
}
