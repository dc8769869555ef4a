package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/proxy"
)

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// calls returns the lines about calls so far, and forgets all. A caller has its answer
// before the line is written, so all else in the bubble comes to rest first.
func (j *journal) calls(t *testing.T) []map[string]any {
	t.Helper()
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []map[string]any
	for line := range bytes.Lines(j.text.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("a line that is no JSON: %q", line)
		}
		if fields["code"] != nil {
			found = append(found, fields)
		}
	}
	j.text.Reset()
	return found
}

// last returns the line about the newest call.
func (j *journal) last(t *testing.T) map[string]any {
	t.Helper()
	found := j.calls(t)
	if len(found) == 0 {
		t.Fatal("nothing was logged of a call")
	}
	return found[len(found)-1]
}

// TestSlowCalls logs what takes long, by the class of the method, and nothing else
// that went well.
func TestSlowCalls(t *testing.T) {
	limits := proxy.Slow{Read: time.Second, Write: 2 * time.Second, Long: 3 * time.Second}
	for _, test := range []struct {
		name, method string
		late         proxy.Slow
		takes        time.Duration
		logged       bool
	}{
		{"a read in time", read, limits, 999 * time.Millisecond, false},
		{"a slow read", read, limits, time.Second, true},
		{"a write in time", write, limits, 1999 * time.Millisecond, false},
		{"a slow write", write, limits, 2 * time.Second, true},
		{"a long one in time", unsafe, limits, 2999 * time.Millisecond, false},
		{"a slow long one", unsafe, limits, 3 * time.Second, true},
		{"of any length", other, limits, time.Hour, false},
		{"no limit", read, proxy.Slow{}, 4 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, standard(), func(arrival) error { time.Sleep(test.takes); return nil }, func(r *rig) { r.late = test.late })
				synctest.Wait()
				r.call(test.method)
				synctest.Wait()
				lines := r.log.calls(t)
				if len(lines) > 0 != test.logged {
					t.Fatalf("%v", lines)
				}
				if test.logged && (lines[0]["msg"] != "slow call" || lines[0]["level"] != "INFO" || lines[0]["code"] != "OK" || lines[0]["seconds"] != test.takes.Seconds()) {
					t.Errorf("%v", lines[0])
				}
			})
		})
	}
}

// deafness is how long deaf needs.
const deafness = time.Millisecond

// deaf notices that a call's deadline has passed, but not at the same moment as the
// sidecar.
func deaf(a arrival) error {
	<-a.Context().Done()
	time.Sleep(deafness)
	return nil
}

// TestImpatience says of calls that their callers did not wait for whose idea that was.
func TestImpatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), deaf, func(r *rig) { r.late.Read = time.Second })
		synctest.Wait()
		r.call(read, "grpc-timeout", "1m")
		synctest.Wait()
		line := r.log.last(t)
		if line["msg"] != "call failed" || line["code"] != "DeadlineExceeded" || line["reason"] != "DEADLINE_EXCEEDED" || line["deadline_seconds"] != 0.001 || line["seconds"] != 0.001 {
			t.Errorf("1 ms: %v", line)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Microsecond)
		r.callWith(ctx, read, "", "grpc-timeout", "1m") // and is gone before that is over
		cancel()
		synctest.Wait()
		if line := r.log.last(t); line["msg"] != "caller gave up" || line["level"] != "INFO" || line["code"] != "Canceled" || line["deadline_seconds"] != 0.001 {
			t.Errorf("1 ms: %v", line)
		}

		for after, want := range map[time.Duration]int{100 * time.Millisecond: 0, 2 * time.Second: 1} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			r.callWith(ctx, read, "")
			cancel()
			synctest.Wait()
			lines := r.log.calls(t)
			if len(lines) != want {
				t.Fatalf("cancelled after %v: %v", after, lines)
			}
			if want > 0 && (lines[0]["msg"] != "slow call" || lines[0]["code"] != "Canceled" || lines[0]["reason"] != "CANCELLED" || lines[0]["deadline_seconds"] != nil) {
				t.Errorf("cancelled after %v: %v", after, lines[0])
			}
		}
		time.Sleep(deafness)
	})
}

// TestLine is the whole line of a call that has everything.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, err := proto.Marshal(&qdrant.CountResponse{Time: 0.25})
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, standard(), func(a arrival) error {
			time.Sleep(time.Second)
			if a.n == 1 {
				return unavailable
			}
			if err := a.SendMsg(&rawgrpc.Reply{Data: mem.BufferSlice{mem.SliceBuffer(answer)}}); err != nil {
				return err
			}
			time.Sleep(time.Second)
			return mistaken
		})
		synctest.Wait()
		request, err := proto.Marshal(&qdrant.CountPoints{CollectionName: "docs", Exact: new(true)})
		if err != nil {
			t.Fatal(err)
		}
		const trace = "0af7651916cd43dd8448eb211c80319c"
		r.callWith(t.Context(), "/qdrant.Points/Count", string(request), "grpc-timeout", "1M", "user-agent", "python", "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		synctest.Wait()
		got := r.log.last(t)
		delete(got, "time")
		want := map[string]any{
			"level": "INFO", "msg": "call failed", "method": "/qdrant.Points/Count", "collection": "docs", "code": "InvalidArgument",
			"seconds": 3.5, "receive_seconds": 0.0, "queue_seconds": 0.0, "backoff_seconds": 0.5, "upstream_seconds": 3.0, "own_seconds": 0.0,
			"first_byte_seconds": 1.0, "server_seconds": 0.25, "deadline_seconds": 60.0,
			"request_bytes": 5.0 + float64(len(request)), "answer_bytes": 5.0 + float64(len(answer)), "attempts": 2.0, "not_retried": "permanent",
			"upstream": "qdrant.test:6334", "connection": 1.0, "peer": "bufconn", "sdk": "python", "trace_id": trace, "query": map[string]any{"exact": true},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

// TestLargeRequestsAreTold of, although their bytes are gone by then.
func TestLargeRequestsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(arrival) error { return mistaken })
		synctest.Wait()
		request := &qdrant.UpsertPoints{CollectionName: "docs"}
		for range 1000 {
			request.Points = append(request.Points, &qdrant.PointStruct{Vectors: qdrant.NewVectors(make([]float32, 2000)...)})
		}
		body, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		r.callWith(t.Context(), write, string(body))
		synctest.Wait()
		line := r.log.last(t)
		told, _ := line["write"].(map[string]any)
		size, _ := line["request_bytes"].(float64)
		// Some of the 8 MB is here before it is passed on.
		if n, _ := told["points"].(float64); n < 1 || n > 999 || told["dimension"] != 2000.0 || told["partly"] != "cut" || size > 5+float64(len(body)) {
			t.Errorf("%d bytes: %v", len(body), line)
		}
	})
}

// TestNothingElseIsLogged at the most talkative level: no credential, and nothing of
// what a request, its metadata, an answer or an error of Qdrant's holds.
func TestNothingElseIsLogged(t *testing.T) {
	const marker = "s3cr3t"
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error {
			if len(a.header.Get("fail")) > 0 {
				return status.Error(codes.Internal, marker)
			}
			return a.SendMsg(&rawgrpc.Reply{Data: mem.BufferSlice{mem.SliceBuffer(marker)}})
		}, func(r *rig) { r.level = slog.LevelDebug })
		synctest.Wait()
		condition := qdrant.NewMatch(marker, marker)
		for method, request := range map[string]proto.Message{
			read: &qdrant.QueryPoints{
				Using: new(marker), Filter: &qdrant.Filter{Must: []*qdrant.Condition{condition, qdrant.NewHasID(qdrant.NewIDUUID(marker))}},
				Query: qdrant.NewQueryDocument(&qdrant.Document{Text: marker}),
			},
			write: &qdrant.UpsertPoints{Points: []*qdrant.PointStruct{{Id: qdrant.NewIDUUID(marker), Payload: qdrant.NewValueMap(map[string]any{marker: marker})}}},
			other: &qdrant.DeletePoints{Points: qdrant.NewPointsSelector(qdrant.NewIDUUID(marker))},
		} {
			body, err := proto.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			for _, extra := range [][]string{{}, {"fail", "1"}, {"grpc-encoding", marker}} {
				r.callWith(t.Context(), method, string(body), append(extra, "api-key", marker, "authorization", "Bearer "+marker, "openai-api-key", marker, "x-"+marker, marker,
					"traceparent", "00-"+marker+"-b7ad6b7169203331-01")...)
			}
		}
		synctest.Wait()
		r.log.mu.Lock()
		defer r.log.mu.Unlock()
		if n := strings.Count(r.log.text.String(), "\n"); n < 9 {
			t.Errorf("only %d lines", n)
		}
		for line := range bytes.Lines(r.log.text.Bytes()) {
			if bytes.Contains(line, []byte(marker)) {
				t.Errorf("%s", line)
			}
		}
	})
}

// TestManualHasTheFields compares the fields that lines have with the manual, both
// ways.
func TestManualHasTheFields(t *testing.T) {
	page, err := os.ReadFile("../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n## Fields\n")
	table, _, _ = strings.Cut(table, "\n## ")
	manual := map[string]bool{}
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllStringSubmatch(table, -1) {
		manual[match[1]] = true
	}
	seen := map[string]bool{}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error {
			if a.method == other {
				return deaf(a)
			}
			time.Sleep(time.Millisecond)
			answer, err := proto.Marshal(&qdrant.CountResponse{Time: 0.25})
			if err != nil {
				return err
			}
			if err := a.SendMsg(&rawgrpc.Reply{Data: mem.BufferSlice{mem.SliceBuffer(answer)}}); err != nil {
				return err
			}
			return mistaken
		})
		synctest.Wait()
		request, err := proto.Marshal(&qdrant.QueryPoints{CollectionName: "docs", Limit: new(uint64(3))})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 { // more than are written at once
			r.callWith(t.Context(), read, string(request), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "user-agent", "test")
		}
		time.Sleep(time.Second)
		r.callWith(t.Context(), write, "")
		r.callWith(t.Context(), other, "", "grpc-timeout", "1m")
		time.Sleep(deafness)
		synctest.Wait()
		for _, line := range r.log.calls(t) {
			for name := range line {
				seen[name] = true
			}
		}
	})
	for _, name := range []string{"time", "level", "msg"} {
		delete(seen, name)
	}
	if got, want := slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(manual)); !slices.Equal(got, want) {
		t.Errorf("lines have %q\nthe manual %q", got, want)
	}
}
