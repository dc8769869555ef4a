package proxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// maxAllocs is how many allocations the policy may add to a call.
const maxAllocs = 6

// course is what a Server does to a call of which nothing but the two ends is
// missing: what reads the request from its stream, and what forwards it.
type course struct {
	server  *Server
	handler grpc.UnaryHandler
	body    mem.BufferSlice
	timeout time.Duration
}

// quietLog is a log as sidecars have it, but for the system calls. One that discards
// everything would say so before there is anything to measure.
func quietLog() *slog.Logger {
	return slog.New(slog.NewJSONHandler(struct{ io.Writer }{io.Discard}, nil))
}

func newCourse(tb testing.TB, policy *Resilience, timeout time.Duration) *course {
	tb.Helper()
	return newTracedCourse(tb, policy, nil, timeout)
}

func newTracedCourse(tb testing.TB, policy *Resilience, tracer trace.Tracer, timeout time.Duration) *course {
	tb.Helper()
	log := quietLog()
	p := pool.New(pool.Config{Endpoints: []pool.Endpoint{{Address: "q:1", Dial: func(context.Context) (net.Conn, error) {
		return nil, net.ErrClosed
	}}}, Size: 1, Logger: log})
	tb.Cleanup(p.Close)
	s := New(Config{Pool: p, Resilience: policy, Collections: 50, Tracer: tracer, Slow: Slow{Read: time.Minute, Write: time.Minute, Long: time.Minute}, Logger: log})
	tb.Cleanup(s.h2.Close)
	attempt := s.onceAnAttempt()
	stack := s.stack()
	stack[len(stack)-1] = attempt[:len(attempt)-1].interceptors() // without a connection
	return &course{
		server:  s,
		handler: chainUnary(stack, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) { return nil, nil }),
		body:    mem.BufferSlice{mem.SliceBuffer("\x00\x00\x00\x00\x06\x0a\x04docs")},
		timeout: timeout,
	}
}

func (o *course) call() {
	c := calls.Get().(*Call)
	*c = Call{
		rules: o.server.rules.Load(), FullMethod: "/qdrant.Points/Query", Method: method.Lookup("/qdrant.Points/Query"), Started: time.Now(), Peer: &net.TCPAddr{},
		timeout: o.timeout, timed: o.timeout > 0, Body: o.body,
	}
	c.ctx = newCallContext(c.deadline())
	_, err := o.handler(c.ctx, c)
	if err != nil {
		panic(err)
	}
	o.server.calls.tell(c, err)
	c.release()
}

// policies are without and with all of it.
func policies() map[string]*Resilience {
	return map[string]*Resilience{"off": nil, "on": {
		Deadlines:        resilience.DefaultDeadlines(),
		Retry:            resilience.DefaultPolicy(),
		BreakerThreshold: 10,
		Admission:        resilience.DefaultAdmissionConfig(500),
	}}
}

// timeouts are those of callers: none, one that is no longer than an attempt may
// take, and one that is.
func timeouts() map[string]time.Duration {
	return map[string]time.Duration{"no timeout": 0, "short": time.Second, "long": time.Minute}
}

// TestPolicyCostsFewAllocations holds the policy to its bound, for a call that
// succeeds at its first attempt.
func TestPolicyCostsFewAllocations(t *testing.T) {
	for name, timeout := range timeouts() {
		cost := map[string]float64{}
		for state, policy := range policies() {
			cost[state] = testing.AllocsPerRun(1000, newCourse(t, policy, timeout).call)
		}
		t.Logf("%s: %v allocations without, %v with", name, cost["off"], cost["on"])
		if added := cost["on"] - cost["off"]; added > maxAllocs {
			t.Errorf("%s: the policy adds %v allocations, want %d at most", name, added, maxAllocs)
		}
	}
}

// BenchmarkPolicy is the time of a call less what reads, forwards and writes it:
// what the policy adds is the difference between on and off.
func BenchmarkPolicy(b *testing.B) {
	for name, timeout := range timeouts() {
		for state, policy := range policies() {
			b.Run(name+"/"+state, func(b *testing.B) {
				o := newCourse(b, policy, timeout)
				b.ReportAllocs()
				for b.Loop() {
					o.call()
				}
			})
		}
	}
}

// BenchmarkTell is what the log adds to a call: to one that has no line, and to one
// that has, less the system call that writes it.
func BenchmarkTell(b *testing.B) {
	for name, from := range map[string]time.Duration{"no line": time.Hour, "line": 1} {
		b.Run(name, func(b *testing.B) {
			l := newCallLog(quietLog(), Slow{Read: from})
			l.limits[slow].SetLimit(rate.Inf)
			c := &Call{
				FullMethod: "/qdrant.Points/Query", Method: method.Lookup("/qdrant.Points/Query"), Started: time.Now(), Peer: &net.TCPAddr{},
				Body: mem.BufferSlice{mem.SliceBuffer("\x00\x00\x00\x00\x06\x0a\x04docs")},
			}
			b.ReportAllocs()
			for b.Loop() {
				l.tell(c, nil)
			}
		})
	}
}

// TestNobodyWatchesCostsNothing: a call that went well, while nobody watches calls, is not
// even described.
func TestNobodyWatchesCostsNothing(t *testing.T) {
	s := newCourse(t, nil, 0).server
	c := &Call{Method: method.Lookup("/qdrant.Points/Query"), Started: time.Now()}
	if n := testing.AllocsPerRun(100, func() { _ = s.observe(t.Context(), c, nil) }); n > 0 || c.total != 0 {
		t.Errorf("%v allocations, and it was looked at: %t", n, c.total != 0)
	}
}

// BenchmarkObserve is what a call pays for the tap that nobody uses.
func BenchmarkObserve(b *testing.B) {
	s := newCourse(b, nil, 0).server
	c := &Call{Method: method.Lookup("/qdrant.Points/Query"), Started: time.Now()}
	for b.Loop() {
		_ = s.observe(b.Context(), c, nil)
	}
}

// TestNoLineCostsNothing: a call that has no line allocates nothing for the log.
func TestNoLineCostsNothing(t *testing.T) {
	l := newCallLog(quietLog(), Slow{Read: time.Hour})
	c := &Call{Method: method.Lookup("/qdrant.Points/Query"), Started: time.Now()}
	if n := testing.AllocsPerRun(100, func() { l.tell(c, nil) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
