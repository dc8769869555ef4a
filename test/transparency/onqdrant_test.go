package transparency_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/live"
	"qdrant-sidecar/test/sidecar"
)

// liveRig is a real Qdrant, a sidecar in front of it, and a collection that is the
// test's own. What the scripted tests know of both ends is known of one here: the
// caller's. In return nothing that comes back is what the test expected anyway.
type liveRig struct {
	qdrant          live.Qdrant
	sidecar         *sidecar.Sidecar
	direct, through side
}

const (
	liveCollection = "transparency"
	livePoints     = 20
)

// newLiveRig skips the test when there is no Qdrant.
func newLiveRig(t *testing.T) *liveRig {
	t.Helper()
	r := &liveRig{qdrant: live.WantOne(t)}
	r.direct = side{"direct", r.qdrant.Nodes[0]}
	r.do(t, "/qdrant.Collections/Delete", &qdrant.DeleteCollection{CollectionName: liveCollection}, nil)
	r.do(t, "/qdrant.Collections/Create", &qdrant.CreateCollection{
		CollectionName: liveCollection,
		VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 4, Distance: qdrant.Distance_Dot}),
	}, nil)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		r.at(ctx, t, r.direct, "/qdrant.Collections/Delete", &qdrant.DeleteCollection{CollectionName: liveCollection}, nil)
	})
	points := make([]*qdrant.PointStruct, livePoints)
	for i := range points {
		points[i] = &qdrant.PointStruct{
			Id: qdrant.NewIDNum(uint64(i)), Vectors: qdrant.NewVectors(float32(i), 1, 0, float32(-i)),
			Payload: qdrant.NewValueMap(map[string]any{"n": i}), // one: Qdrant's order of several is random
		}
	}
	r.do(t, "/qdrant.Points/Upsert", &qdrant.UpsertPoints{CollectionName: liveCollection, Wait: new(true), Points: points}, nil)
	// As for a scripted upstream: what the policy makes of failures is tested elsewhere.
	r.sidecar = sidecar.Start(t, sidecar.Options{
		Upstream: r.qdrant.URL(),
		Args:     []string{"--retry-max=0", "--circuit-breaker-threshold=0", "--timeout=3m", "--write-timeout=1m"},
	})
	r.through = side{"through the sidecar", r.sidecar.GRPC}
	return r
}

// do makes a call directly, which must end well, and reads its answer unless that is
// nil.
func (r *liveRig) do(t *testing.T, path string, ask, answer proto.Message) {
	t.Helper()
	r.at(bounded(t), t, r.direct, path, ask, answer)
}

// at is do, to one side.
func (r *liveRig) at(ctx context.Context, t *testing.T, to side, path string, ask, answer proto.Message) {
	t.Helper()
	body, err := proto.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	got, err := call{path: path, body: faultwire.Prefixed(body), extra: r.key()}.ask(ctx, to)
	if err != nil || got.Trailer.Get("grpc-status") != "0" || len(got.Messages) != 1 {
		t.Fatalf("%s %s: %d messages, %v\n%s", to.name, path, len(got.Messages), err, got.Trailer)
	}
	if answer == nil {
		return
	}
	if err := proto.Unmarshal(got.Messages[0].Payload, answer); err != nil {
		t.Fatal(err)
	}
}

// key is the field that Qdrant wants to see.
func (r *liveRig) key() []string {
	if r.qdrant.APIKey == "" {
		return nil
	}
	return []string{"api-key", r.qdrant.APIKey}
}

// question is a call that is answered the same each time.
type question struct {
	name, path string
	ask        proto.Message
	status     string // grpc-status
}

func (q question) body(t testing.TB) []byte {
	t.Helper()
	body, err := proto.Marshal(q.ask)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var questions = []question{
	{"health", "/qdrant.Qdrant/HealthCheck", &qdrant.HealthCheckRequest{}, "0"},
	{"count", "/qdrant.Points/Count", &qdrant.CountPoints{CollectionName: liveCollection, Exact: new(true)}, "0"},
	{"query", "/qdrant.Points/Query", &qdrant.QueryPoints{
		CollectionName: liveCollection, Query: qdrant.NewQuery(1, 2, 3, 4), Limit: new(uint64(5)),
		WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
	}, "0"},
	{"scroll", "/qdrant.Points/Scroll", &qdrant.ScrollPoints{
		CollectionName: liveCollection, Limit: new(uint32(livePoints)), WithPayload: qdrant.NewWithPayload(true),
	}, "0"},
	{"no such collection", "/qdrant.Points/Count", &qdrant.CountPoints{CollectionName: "there is none"}, "5"},
	{"an invalid argument", "/qdrant.Points/Query", &qdrant.QueryPoints{
		CollectionName: liveCollection, Query: qdrant.NewQuery(1, 2, 3),
	}, "3"},
	{"unknown method", "/qdrant.Points/NoSuch", &emptypb.Empty{}, "12"},
	{"unknown service", "/acme.Thing/Do", &emptypb.Empty{}, "12"},
}

// forEachQuestion runs test once a question.
func forEachQuestion(t *testing.T, test func(t *testing.T, q question)) {
	t.Helper()
	for _, q := range questions {
		t.Run(q.name, func(t *testing.T) { test(t, q) })
	}
}

// compare makes the call to both sides and fails for every difference. It returns
// what came back directly.
func (r *liveRig) compare(t *testing.T, c call) (direct faultwire.Response) {
	t.Helper()
	c.extra = append(slices.Clip(c.extra), r.key()...)
	direct, err := c.ask(bounded(t), r.direct)
	through, throughErr := c.ask(bounded(t), r.through)
	equal(t, exchange{Response: timeless(c.path, direct), Err: err}, exchange{Response: timeless(c.path, through), Err: throughErr})
	return direct
}

// timeless is the answer without what Qdrant makes anew for each: the field date,
// and the time that it took, which is in the message. All else stays as it came. Of
// compressed messages with a time, whose bytes depend on it, the content is left.
func timeless(path string, answer faultwire.Response) faultwire.Response {
	answer.Header, answer.Trailer = undated(answer.Header), undated(answer.Trailer)
	number := timeField(path)
	if number == 0 {
		return answer
	}
	answer.Messages = slices.Clone(answer.Messages)
	for i, m := range answer.Messages {
		if m.Flag == 1 {
			payload, err := gunzipped(m.Payload)
			if err != nil {
				continue // to be compared as it is
			}
			m.Payload = payload
		}
		answer.Messages[i].Payload = zeroed(number, m.Payload)
	}
	return answer
}

// undated replaces dates, if that is what they are.
func undated(fields faultwire.Fields) faultwire.Fields {
	fields = slices.Clone(fields)
	for i, f := range fields {
		if f.Name != "date" {
			continue
		}
		if _, err := http.ParseTime(f.Value); err == nil {
			fields[i].Value = "(a date)"
		}
	}
	return fields
}

// timeField is the number of the field time in a method's answer, 0 for none.
func timeField(path string) protowire.Number {
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return 0
	}
	d, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return 0
	}
	m := d.Methods().ByName(protoreflect.Name(method))
	if m == nil {
		return 0
	}
	field := m.Output().Fields().ByName("time")
	if field == nil || field.Kind() != protoreflect.DoubleKind {
		return 0
	}
	return field.Number()
}

// zeroed is a message whose double of that number is 0. Where it is stays.
func zeroed(number protowire.Number, message []byte) []byte {
	out := slices.Clone(message)
	for rest := out; len(rest) > 0; {
		n, kind, size := protowire.ConsumeField(rest)
		if size < 0 {
			return message
		}
		if n == number && kind == protowire.Fixed64Type {
			clear(rest[size-8 : size])
		}
		rest = rest[size:]
	}
	return out
}

// TestTimeless holds that only what must be is forgotten.
func TestTimeless(t *testing.T) {
	t.Parallel()
	answer := func(count uint64, took float64) []byte {
		wire, err := proto.Marshal(&qdrant.CountResponse{Result: &qdrant.CountResult{Count: count}, Time: took})
		if err != nil {
			t.Fatal(err)
		}
		return wire
	}
	whole := func(date string, message faultwire.Message) string {
		x := exchange{Response: timeless("/qdrant.Points/Count", faultwire.Response{
			Header: faultwire.Pairs("date", date), Messages: []faultwire.Message{message},
		})}
		return strings.Join(x.lines(), "\n")
	}
	const date = "Mon, 23 Nov 2026 12:00:00 GMT"
	first := whole(date, faultwire.Message{Payload: answer(7, 0.25)})
	packed := whole(date, faultwire.Message{Flag: 1, Payload: gzipped(answer(7, 0.25))})
	for _, test := range []struct{ name, want, got string }{
		{"date", first, whole("Tue, 24 Nov 2026 12:00:00 GMT", faultwire.Message{Payload: answer(7, 0.25)})},
		{"time", first, whole(date, faultwire.Message{Payload: answer(7, 99)})},
		{"time, compressed", packed, whole(date, faultwire.Message{Flag: 1, Payload: gzipped(answer(7, 99))})},
	} {
		if test.want != test.got {
			t.Errorf("%s is told apart:\n%s\n%s", test.name, test.want, test.got)
		}
	}
	for _, test := range []struct{ name, not, got string }{
		{"no date", first, whole("soon", faultwire.Message{Payload: answer(7, 0.25)})},
		{"no time", first, whole(date, faultwire.Message{Payload: answer(7, 0)})},
		{"another count", first, whole(date, faultwire.Message{Payload: answer(8, 0.25)})},
		{"compressed", first, packed},
		{"another count, compressed", packed, whole(date, faultwire.Message{Flag: 1, Payload: gzipped(answer(8, 0.25))})},
		{"part of a message", first, whole(date, faultwire.Message{Payload: answer(7, 0.25)[:5]})},
	} {
		if test.not == test.got {
			t.Errorf("%s is not told:\n%s", test.name, test.got)
		}
	}
	if got := timeField("/qdrant.Qdrant/HealthCheck") + timeField("/qdrant.Points/NoSuch") + timeField("/acme.Thing/Do") + timeField("x"); got != 0 {
		t.Errorf("there is no time, not in field %d", got)
	}
}

// expect fails unless an answer ended so.
func expect(t *testing.T, answer faultwire.Response, status string) {
	t.Helper()
	if got := answer.Trailer.Get("grpc-status"); got != status {
		t.Errorf("Qdrant itself answers grpc-status %q, want %q:\n%s", got, status, answer.Trailer)
	}
}
