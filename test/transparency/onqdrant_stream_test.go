package transparency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/faultwire"
)

// mostResets are what Qdrant bears of a connection at once.
const mostResets = 20

// A burst of cancelled calls ends a connection to Qdrant. Through the sidecar it
// ends none: neither the callers', nor that on which their calls went on.
func TestResetsOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	for n, code := range map[int]http2.ErrCode{mostResets: http2.ErrCodeNo, mostResets + 1: http2.ErrCodeEnhanceYourCalm} {
		t.Run(fmt.Sprintf("%d directly", n), func(t *testing.T) {
			conn := r.direct.dial(t)
			if err := conn.SendRaw(burst(t, n, r.key())); err != nil {
				t.Fatal(err)
			}
			if err := conn.Ping([8]byte{1}); err != nil {
				t.Fatal(err)
			}
			if got := complaint(t, conn); got != code {
				t.Errorf("Qdrant itself: GOAWAY %v, want %v", got, code)
			}
		})
	}
	t.Run("through the sidecar", func(t *testing.T) {
		const callers, rounds = 20, 5
		body := faultwire.Prefixed(questions[2].body(t))
		ctx := bounded(t)
		conns := make([]*faultwire.Conn, callers)
		for i := range conns {
			conns[i] = r.through.dial(t)
		}
		for range rounds {
			var all sync.WaitGroup
			for _, conn := range conns {
				all.Go(func() {
					if err := abandon(ctx, conn, mostResets, body, r.key()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		counters := 0
		for line := range strings.Lines(r.metrics(t)) {
			if strings.HasPrefix(line, "qdrant_sidecar_goaways_total{") {
				if counters++; !strings.HasSuffix(line, " 0\n") {
					t.Errorf("Qdrant has ended a connection: %s", line)
				}
			}
		}
		if counters == 0 {
			t.Error("nobody counts what Qdrant ends")
		}
	})
}

// burst is n streams, each opened with a whole request and reset, in one go.
func burst(t *testing.T, n int, key []string) []byte {
	t.Helper()
	var wire, block bytes.Buffer
	framer, encoder := http2.NewFramer(&wire, nil), hpack.NewEncoder(&block)
	body := faultwire.Prefixed(questions[2].body(t))
	for i := range uint32(n) {
		block.Reset()
		for _, f := range faultwire.GRPCRequest(questions[2].path, key...) {
			if err := encoder.WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		id := 2*i + 1
		if err := errors.Join(
			framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}),
			framer.WriteData(id, true, body),
			framer.WriteRSTStream(id, http2.ErrCodeCancel),
		); err != nil {
			t.Fatal(err)
		}
	}
	return wire.Bytes()
}

// complaint is the code of a GOAWAY, or NO_ERROR when a PING is answered and none
// came before.
func complaint(t *testing.T, conn *faultwire.Conn) http2.ErrCode {
	t.Helper()
	for {
		event, err := conn.Next(bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		switch e := event.(type) {
		case faultwire.GoAway:
			return e.Code
		case faultwire.PingAck:
			return http2.ErrCodeNo
		}
	}
}

// abandon makes n calls and cancels them, and then one that must end well.
func abandon(ctx context.Context, conn *faultwire.Conn, n int, body []byte, key []string) error {
	fields := faultwire.GRPCRequest(questions[2].path, key...)
	var streams []*faultwire.Stream
	for range n {
		s, err := conn.Open(fields, false)
		if err != nil {
			return err
		}
		if err := s.SendData(body, true); err != nil {
			return err
		}
		streams = append(streams, s)
	}
	for _, s := range streams {
		// One that is answered already is over.
		if err := s.SendReset(http2.ErrCodeCancel); err != nil && !errors.Is(err, faultwire.ErrReset) {
			return err
		}
	}
	answer, err := conn.Call(ctx, fields, body)
	if err == nil && answer.Trailer.Get("grpc-status") != "0" {
		err = fmt.Errorf("after cancelled calls one ended with\n%s", answer.Trailer)
	}
	return err
}

func (r *liveRig) metrics(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(bounded(t), http.MethodGet, "http://"+r.sidecar.Metrics+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

var reflectionMethods = []string{
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}

// Reflection is the one stream that Qdrant has: it answers message by message, and
// both ends may wait for each other.
func TestStreamOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	asks := []*reflectionpb.ServerReflectionRequest{
		{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "qdrant.Points"}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "no.Such"}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}},
	}
	for _, path := range reflectionMethods {
		t.Run(path, func(t *testing.T) {
			var seen [2]exchange
			for i, to := range []side{r.direct, r.through} {
				answer, err := converse(bounded(t), open(t, to.dial(t), path, r.key()...), asks)
				seen[i] = exchange{Response: timeless(path, answer), Err: err}
			}
			equal(t, seen[0], seen[1])
			if n := len(seen[0].Response.Messages); n < 2 {
				t.Errorf("Qdrant itself answered %d questions", n)
			}
		})
	}
}

// A message on it takes no more than a millisecond longer each way.
func TestDelayOfAMessageOnQdrant(t *testing.T) {
	r := newLiveRig(t)
	ask, err := proto.Marshal(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	if err != nil {
		t.Fatal(err)
	}
	best := func(to side, enough time.Duration) time.Duration {
		s := open(t, to.dial(t), reflectionMethods[0], r.key()...)
		in := &inflow{stream: s, answer: true}
		took := bestRound(enough, func(i int) {
			if err := s.SendMessage(ask); err != nil {
				t.Fatal(err)
			}
			if !in.until(bounded(t), func() bool { return in.messageCount() > i }) {
				t.Fatalf("%s: the stream has ended: %v\n%s", to.name, in.err, in.trailer)
			}
		})
		if err := s.HalfClose(); err != nil {
			t.Fatal(err)
		}
		return took
	}
	direct := best(r.direct, math.MaxInt64)
	through := best(r.through, direct+added)
	t.Logf("%v directly, %v through the sidecar", direct, through)
	if through > direct+added {
		t.Errorf("%v through the sidecar, %v directly", through, direct)
	}
}

// converse asks one thing after the other, each when the one before is answered. A
// stream that fails ends it.
func converse(ctx context.Context, s *faultwire.Stream, asks []*reflectionpb.ServerReflectionRequest) (faultwire.Response, error) {
	in := &inflow{stream: s, answer: true}
	for i, ask := range asks {
		message, err := proto.Marshal(ask)
		if err != nil {
			return faultwire.Response{}, err
		}
		if err := s.SendMessage(message); err != nil {
			break
		}
		if !in.until(ctx, func() bool { return in.messageCount() > i }) {
			break
		}
	}
	if !in.over {
		_ = s.HalfClose() // what came of it is what is received
	}
	in.until(ctx, func() bool { return false })
	return in.asResponse(), in.err
}
