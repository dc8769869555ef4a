package golden

import (
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func TestRecordingIsWhole(t *testing.T) {
	calls, err := Calls()
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != 223 {
		t.Errorf("got %d calls, want 223", len(calls))
	}
	for i, c := range calls {
		if c.N != i+1 {
			t.Errorf("call %d is numbered %d", i+1, c.N)
		}
		if _, err := newRules(c.Compare); err != nil {
			t.Errorf("call %d: %v", c.N, err)
		}
		_, response, err := c.Messages()
		if err != nil {
			t.Errorf("call %d: %v", c.N, err)
		}
		if c.Response == nil {
			continue
		}
		// The recorded answer is equal to itself in every mode, or the modes are wrong.
		if err := protojson.Unmarshal(c.Response, response); err != nil {
			t.Errorf("call %d: %v", c.N, err)
		}
		for _, mode := range []string{"exact", "by-id", "scores", "operation", "unordered", "shape"} {
			c.Compare = mode
			if diffs := c.Diff(proto.Clone(response), nil, nil); len(diffs) > 0 {
				t.Errorf("call %d differs from itself in mode %s: %v", c.N, mode, diffs)
			}
		}
	}
}

func TestDiff(t *testing.T) {
	const (
		query  = "/qdrant.Points/Query"
		upsert = "/qdrant.Points/Upsert"
		list   = "/qdrant.Collections/List"
		two    = `{"result":[{"id":{"num":"1"},"score":0.5,"version":"1"},{"id":{"num":"2"},"score":0.25}]}`
	)
	for _, tc := range []struct {
		name, mode, method, want, got string
		same                          bool
	}{
		{"time is left out", "exact", query, two, two[:len(two)-1] + `,"time":0.1}`, true},
		{"the commit is left out", "shape", "/qdrant.Qdrant/HealthCheck", `{"version":"1.18.3"}`, `{"version":"1.18.3","commit":"db8f"}`, true},
		{"another version", "exact", query, two, `{"result":[{"id":{"num":"1"},"score":0.5,"version":"2"},{"id":{"num":"2"},"score":0.25}]}`, false},
		{"another version", "scores", query, two, `{"result":[{"id":{"num":"1"},"score":0.5},{"id":{"num":"2"},"score":0.25}]}`, true},
		{"a score within the tolerance", "scores", query, two, `{"result":[{"id":{"num":"1"},"score":0.50009},{"id":{"num":"2"},"score":0.25}]}`, true},
		{"a score beyond the tolerance", "scores", query, two, `{"result":[{"id":{"num":"1"},"score":0.5002},{"id":{"num":"2"},"score":0.25}]}`, false},
		{"a score of nearly nothing", "scores", query, `{"result":[{"id":{"num":"1"}}]}`, `{"result":[{"id":{"num":"1"},"score":1e-5}]}`, true},
		{"another order", "scores", query, two, `{"result":[{"id":{"num":"2"},"score":0.25},{"id":{"num":"1"},"score":0.5}]}`, false},
		{"another order", "by-id", query, two, `{"result":[{"id":{"num":"2"},"score":0.25},{"id":{"num":"1"},"score":0.5,"version":"1"}]}`, true},
		{"one missing", "by-id", query, two, `{"result":[{"id":{"num":"1"},"score":0.5,"version":"1"}]}`, false},
		{"another payload", "scores", query, `{"result":[{"payload":{"a":{"integer_value":"1"}}}]}`, `{"result":[{"payload":{"a":{"integer_value":"2"}}}]}`, false},
		{"a payload too many", "scores", query, `{"result":[{}]}`, `{"result":[{"payload":{"a":{"integer_value":"2"}}}]}`, false},
		{"another operation", "operation", upsert, `{"result":{"operation_id":"1","status":"Completed"}}`, `{"result":{"operation_id":"9","status":"Completed"}}`, true},
		{"another status", "operation", upsert, `{"result":{"status":"Completed"}}`, `{"result":{"status":"Acknowledged"}}`, false},
		{"another order", "unordered", list, `{"collections":[{"name":"a"},{"name":"b"}]}`, `{"collections":[{"name":"b"},{"name":"a"}]}`, true},
		{"another name", "unordered", list, `{"collections":[{"name":"a"},{"name":"b"}]}`, `{"collections":[{"name":"b"},{"name":"c"}]}`, false},
		{"other values", "shape", list, `{"collections":[{"name":"a"}]}`, `{"collections":[{"name":"b"}]}`, true},
		{"a field missing", "shape", list, `{"collections":[{"name":"a"}]}`, `{"collections":[{}]}`, false},
	} {
		t.Run(tc.mode+": "+tc.name, func(t *testing.T) {
			c := Call{Method: tc.method, Compare: tc.mode, Request: []byte("{}"), Response: []byte(tc.want)}
			_, response, err := c.Messages()
			if err != nil {
				t.Fatal(err)
			}
			if err := protojson.Unmarshal([]byte(tc.got), response); err != nil {
				t.Fatal(err)
			}
			if diffs := c.Diff(response, nil, nil); (len(diffs) == 0) != tc.same {
				t.Errorf("got differences %q, want none: %t", diffs, tc.same)
			}
		})
	}
}

func TestDiffOfStatus(t *testing.T) {
	c := Call{Code: CodeName(codes.NotFound), Message: "gone", Compare: "exact", Trailers: map[string][]string{"retry-after": {"1"}}}
	good := metadata.Pairs("retry-after", "1", "other", "x")
	for _, tc := range []struct {
		name    string
		trailer metadata.MD
		err     error
		same    bool
	}{
		{"the same", good, status.Error(codes.NotFound, "gone"), true},
		{"another code", good, status.Error(codes.Internal, "gone"), false},
		{"another message", good, status.Error(codes.NotFound, "Gone"), false},
		{"no error", good, nil, false},
		{"no trailer", nil, status.Error(codes.NotFound, "gone"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diffs := c.Diff(&qdrant.QueryResponse{}, tc.trailer, tc.err); (len(diffs) == 0) != tc.same {
				t.Errorf("got differences %q, want none: %t", diffs, tc.same)
			}
		})
	}
}
