package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
)

// hasty is the policy of tests that wait for real, on the slowest of machines, too.
func hasty() *proxy.Resilience {
	policy := standard()
	policy.Deadlines.Read, policy.Deadlines.Try = time.Minute, 0
	policy.Retry.Base = time.Millisecond
	return policy
}

// TestFailuresOfTheWire goes through what the transport can know of an attempt,
// for each class: the first attempt of a call fails, all others succeed.
func TestFailuresOfTheWire(t *testing.T) {
	strict := hasty()
	strict.KeepWrites = true
	for _, test := range []struct {
		name   string
		fault  faultwire.Fault
		policy *proxy.Resilience
		again  []string // methods that succeed at the second attempt
		fail   []string // methods that fail at the first
	}{
		{"refused", faultwire.Refusal(), hasty(), []string{read, write, unsafe, health}, nil},
		{"refused, off", faultwire.Refusal(), nil, []string{read, write, unsafe, health}, nil},
		{"refused, strictly", faultwire.Refusal(), strict, []string{read, write, unsafe}, nil},
		{"GOAWAY below", faultwire.Fault{Do: faultwire.Then(faultwire.SayGoAway(faultwire.Below, http2.ErrCodeNo, ""), faultwire.Silence)}, hasty(), []string{read, write, unsafe}, nil},
		{"lost before it was applied", faultwire.LostBefore(faultwire.Abort), hasty(), []string{read, write}, []string{unsafe, other}},
		{"applied, and lost", faultwire.LostAfter(faultwire.Abort), hasty(), []string{read, write}, []string{unsafe, other}},
		{"applied, and lost, strictly", faultwire.LostAfter(faultwire.Abort), strict, []string{read}, []string{write, unsafe}},
		{"applied, and lost, off", faultwire.LostAfter(faultwire.Abort), nil, nil, []string{read, write, unsafe, other}},
		{"applied, and reset", faultwire.LostAfter(faultwire.ResetWith(http2.ErrCodeInternal)), hasty(), []string{read, write}, []string{unsafe, other}},
		{"reset in the message", faultwire.Fault{At: faultwire.Halved, Do: faultwire.ResetWith(http2.ErrCodeCancel)}, hasty(), []string{read, write}, []string{unsafe}},
	} {
		for i, method := range append(test.again, test.fail...) {
			t.Run(test.name+method, func(t *testing.T) {
				code, attempts := codes.OK, int64(2)
				if i >= len(test.again) {
					code, attempts = codes.Unavailable, 1
				}
				var arrivals atomic.Int64
				conn := dial(t, faulty(t, test.policy, func(*faultwire.Stream) faultwire.Fault {
					if arrivals.Add(1) == 1 {
						return test.fault
					}
					return faultwire.Fault{}
				}))
				var reply rawgrpc.Message
				err := conn.Invoke(within(t), method, &rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer("hello")}}, &reply)
				defer reply.Free()
				if got := status.Code(err); (got == codes.OK) != (code == codes.OK) || arrivals.Load() != attempts {
					t.Errorf("%v after %d attempts, want %v after %d", err, arrivals.Load(), code, attempts)
				}
				if err != nil && !strings.HasPrefix(status.Convert(err).Message(), "qdrant-sidecar: ") {
					t.Error(err)
				}
			})
		}
	}
}

// wantsMuch is a request whose answer is three times what is stored of one.
const wantsMuch = "much"

// faulty runs a sidecar before an upstream that serves calls with faults, and
// returns its address.
func faulty(t *testing.T, policy *proxy.Resilience, fault func(*faultwire.Stream) faultwire.Fault) string {
	t.Helper()
	upstream := &faultwire.Server{Handler: func(s *faultwire.Stream) {
		fault(s).Play(s, func(request []byte) faultwire.Reply {
			if string(request) == wantsMuch {
				request = make([]byte, 12<<20)
			}
			return faultwire.Reply{Message: request}
		})
	}}
	if err := upstream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := upstream.Close(); err != nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.DiscardHandler)
	connections := pool.New(pool.Config{Endpoints: []pool.Endpoint{{Address: upstream.Addr()}}, Size: 2, Logger: log})
	t.Cleanup(connections.Close)
	return front(t, proxy.New(proxy.Config{Pool: connections, Resilience: policy, Logger: log}))
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestWhatIsNotKeptIsNotRepeated sends a request that is too large to be kept, and
// one whose answer is: half of it has gone to the caller when it is cut.
func TestWhatIsNotKeptIsNotRepeated(t *testing.T) {
	for _, test := range []struct {
		name    string
		request []byte
		at      faultwire.Stage
	}{
		{"a large request", make([]byte, 5<<20), faultwire.Received},
		{"a large answer", []byte(wantsMuch), faultwire.Halved},
	} {
		t.Run(test.name, func(t *testing.T) {
			var arrivals atomic.Int64
			conn := dial(t, faulty(t, hasty(), func(*faultwire.Stream) faultwire.Fault {
				arrivals.Add(1)
				return faultwire.Fault{At: test.at, Do: faultwire.ResetWith(http2.ErrCodeInternal)}
			}))
			var reply rawgrpc.Message
			err := conn.Invoke(within(t), read, &rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer(test.request)}}, &reply,
				grpc.MaxCallRecvMsgSize(1<<30))
			reply.Free()
			if err == nil || arrivals.Load() != 1 {
				t.Errorf("%v after %d attempts", err, arrivals.Load())
			}
		})
	}
}

// TestCallsAreNotMistaken makes calls of all kinds at once, many of which fail,
// are repeated, cut short or refused: each must get its own answer. It is for the
// race detector, too: the records of calls are used again.
func TestCallsAreNotMistaken(t *testing.T) {
	policy := hasty()
	policy.Admission.Limit, policy.Admission.MaxWait = 40, 20*time.Millisecond
	policy.BreakerThreshold = 1000
	plan := faultwire.NewPlan(1,
		faultwire.Weighted{Weight: 90},
		faultwire.Weighted{Weight: 4, Fault: faultwire.Fault{At: faultwire.Received, Do: faultwire.Status("14", "mine")}},
		faultwire.Weighted{Weight: 3, Fault: faultwire.Refusal()},
		faultwire.Weighted{Weight: 3, Fault: faultwire.LostAfter(faultwire.ResetWith(http2.ErrCodeInternal))},
	)
	var n atomic.Int64
	conn := dial(t, faulty(t, policy, func(*faultwire.Stream) faultwire.Fault { return plan.Draw(fmt.Sprint(n.Add(1))) }))
	var calls sync.WaitGroup
	var ok, failed atomic.Int64
	for caller := range 50 {
		calls.Go(func() {
			for i := range 40 {
				mine := fmt.Sprintf("%d of %d", i, caller)
				var reply rawgrpc.Message
				method := []string{read, write, unsafe, other}[(caller+i)%4]
				err := conn.Invoke(within(t), method, &rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer(mine)}}, &reply)
				got := string(reply.Data.Materialize())
				reply.Free()
				switch {
				case err == nil && got == mine:
					ok.Add(1)
				case err == nil:
					t.Errorf("%q got %q", mine, got)
				default:
					failed.Add(1)
				}
			}
		})
	}
	calls.Wait()
	t.Logf("%d calls succeeded, %d failed, in %d attempts", ok.Load(), failed.Load(), n.Load())
	if ok.Load() < 1000 || failed.Load() == 0 {
		t.Error("this tests nothing")
	}
}
