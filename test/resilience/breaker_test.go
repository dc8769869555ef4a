package resilience_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// judgement is what a breaker makes of an outcome.
type judgement string

// The judgements: one more in a row; none in a row any more; as if it had not been.
const (
	failure judgement = "failure"
	success judgement = "success"
	neither judgement = "neither"
)

// tripRow is an outcome and what it counts as, for methods of every class.
type tripRow struct {
	name string
	script
	want judgement
	// timeout is the caller's, "" for none; cancel has him leave.
	timeout string
	cancel  bool
	// short says that it is this outcome only if it takes less than shortest.
	short bool
}

// shortest is how long an attempt must take for its end to speak against the upstream,
// where it could be that somebody had little time.
const shortest = time.Second

// tripRows is the rule of what is a failure, made complete.
func tripRows() []tripRow {
	said := func(want judgement, code codes.Code, text string, fields ...string) tripRow {
		return tripRow{name: strings.TrimSpace(code.String() + " " + text), script: script{fault: says(code, text, fields...)}, want: want}
	}
	after := func(d time.Duration, r tripRow) tripRow {
		r.name += fmt.Sprintf(" after %v", d)
		r.fault.Do = faultwire.Then(faultwire.Pause(d), r.fault.Do)
		return r
	}
	wire := func(name string, want judgement, at faultwire.Stage, do faultwire.Act) tripRow {
		return tripRow{name: name, script: script{fault: faultwire.Fault{At: at, Do: do}}, want: want}
	}
	hung := func(want judgement, timeout string) tripRow {
		r := wire("silent for "+timeout, want, faultwire.Received, faultwire.Silence)
		r.timeout = timeout
		return r
	}
	short := func(r tripRow) tripRow {
		r.short = true
		return r
	}
	const long = shortest + 100*time.Millisecond
	rows := []tripRow{
		said(failure, codes.Unavailable, "busy"),
		said(failure, codes.Internal, service+"task panicked"),
		said(failure, codes.Internal, ownRead),
		said(failure, codes.Internal, noLeader),
		said(failure, codes.Internal, notCommitted),
		said(failure, codes.DataLoss, "broken"),
		after(long, said(failure, codes.DeadlineExceeded, "slow")),
		after(long, said(failure, codes.Canceled, timeoutExpired)),
		hung(failure, "3S"), // of which some passes before there is an attempt
		wire("reset", failure, faultwire.Applied, faultwire.ResetWith(http2.ErrCodeInternal)),
		wire("reset in the message", failure, faultwire.Halved, faultwire.ResetWith(http2.ErrCodeCancel)),
		{name: "aborted", script: script{fault: faultwire.LostAfter(faultwire.Abort)}, want: failure},

		said(success, codes.OK, ""),
		said(success, codes.Internal, missingMessage),
		said(success, codes.Internal, undecodable),
		said(success, codes.Internal, badFrame),
		wire("OK after a while", success, faultwire.Applied, faultwire.Pause(long)),

		said(neither, codes.Internal, remoteRead),
		said(neither, codes.Internal, remoteWrite),
		said(neither, codes.ResourceExhausted, "limit", "retry-after", "1"),
		said(neither, codes.ResourceExhausted, "storage", "qdrant-insufficient-storage", "1"),
		short(said(neither, codes.Canceled, timeoutExpired)),
		short(said(neither, codes.DeadlineExceeded, "your own")),
		said(neither, codes.Unknown, "what"),
		said(neither, codes.Aborted, "what"),
		short(hung(neither, "50m")),
		{name: "expired", want: neither, timeout: "0m"},
		{name: "cancelled", script: script{fault: faultwire.Fault{At: faultwire.Received, Do: faultwire.Silence}}, want: neither, cancel: true},
		wire("refused", neither, faultwire.Arrived, faultwire.RefuseStream),
		wire("GOAWAY below it", neither, faultwire.Arrived, faultwire.Then(faultwire.SayGoAway(faultwire.Below, http2.ErrCodeNo, ""), faultwire.Silence)),
	}
	for _, code := range []codes.Code{
		codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.Unauthenticated, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented,
	} {
		rows = append(rows, said(success, code, "yours"))
	}
	return rows
}

// TestWhatABreakerCounts puts each outcome between two failures and a third, of the
// three that open a breaker: a failure opens it, after what is neither the third does,
// and after a success it stays closed.
func TestWhatABreakerCounts(t *testing.T) {
	t.Parallel()
	for class, path := range map[string]string{"Read": readPath, "IdempotentWrite": writePath, "UnsafeWrite": unsafePath, "Unknown": unknownPath} {
		for part := range 2 { // a row that opens it has to wait until it is closed
			t.Run(fmt.Sprint(class, part), func(t *testing.T) {
				t.Parallel()
				up := newScripted(t)
				s := sidecar.Start(t, sidecar.Options{Upstream: up.url(), Args: unhurried(
					"--retry-max=0", "--circuit-breaker-threshold=3", "--pool-size=40",
				)})
				conn := dial(t, s.GRPC).conn
				for i, r := range tripRows() {
					if i%2 != part {
						continue
					}
					t.Run(r.name, func(t *testing.T) {
						c := breakerCaller{caller: caller{t, conn}, sidecar: s, up: up, path: path, name: fmt.Sprint("row ", i, " call ")}
						if got := c.judge(r); got != r.want {
							t.Errorf("it counts as %s, want %s", got, r.want)
						}
					})
				}
			})
		}
	}
}

// breakerCaller finds out what the breaker of a method makes of an outcome.
type breakerCaller struct {
	caller
	sidecar    *sidecar.Sidecar
	up         *scripted
	path, name string
	calls      int
}

// one makes a call that is served by a script, and reports whether the breaker let
// it through.
func (c *breakerCaller) one(s script, extra ...string) (answer, bool) {
	c.t.Helper()
	c.calls++
	name := fmt.Sprint(c.name, c.calls)
	c.up.on(name, s)
	a := c.call(c.path, name, nil, extra...)
	if a.reason() == "CIRCUIT_OPEN" {
		c.checkRefusal(a, name)
		return a, false
	}
	return a, true
}

// checkRefusal: it names the method, the endpoint and the time, and is not sent.
func (c *breakerCaller) checkRefusal(a answer, name string) {
	c.t.Helper()
	for _, part := range []string{c.up.Addr(), strings.TrimPrefix(c.path, unknownPath), "no call is sent there for "} {
		if !strings.Contains(a.message, part) {
			c.t.Errorf("%q does not say %q", a.message, part)
		}
	}
	if wait, err := time.ParseDuration(a.told() + "ms"); err != nil || wait <= 0 || wait > 5*time.Second {
		c.t.Errorf("come again after %q ms", a.told())
	}
	if a.code != codes.Unavailable || c.up.attempts(name) != 0 {
		c.t.Errorf("%v after %d attempts", a.code, c.up.attempts(name))
	}
}

// judge asks the metric whether a breaker has opened: that calls are refused does not
// last, and may be over before the next call.
func (c *breakerCaller) judge(r tripRow) judgement {
	c.t.Helper()
	opened := func() int { return scrape(c.t, c.sidecar).counts(moved, "to")["open"] }
	broken := script{fault: says(codes.Unavailable, "busy")}
	for range 20 {
		c.close()
		before := opened()
		for range 2 {
			c.one(broken)
		}
		took := c.play(r)
		if r.short && took >= shortest {
			continue // it was another outcome
		}
		if opened() > before {
			return failure
		}
		if c.one(broken); opened() > before {
			return neither
		}
		return success
	}
	c.t.Fatalf("it never took less than %v", shortest)
	return ""
}

// play makes the call of a row, and returns how long it took.
func (c *breakerCaller) play(r tripRow) time.Duration {
	c.t.Helper()
	if r.cancel {
		c.cancel(r.script)
		return 0
	}
	var extra []string
	if r.timeout != "" {
		extra = []string{"grpc-timeout", r.timeout}
	}
	a, passed := c.one(r.script, extra...)
	if !passed {
		c.t.Error("two failures have opened it")
	}
	return a.took
}

// close waits until the breaker lets calls through again, and has so many succeed
// that the success rate stays out of it: of what lies between two of these, and both,
// however much of the first its window has left, four fifths succeed.
func (c *breakerCaller) close() {
	c.t.Helper()
	until(c.t, "the breaker to close", func() bool {
		a, passed := c.one(script{})
		return passed && a.code == codes.OK
	})
	for range 24 {
		if a, _ := c.one(script{}); a.code != codes.OK {
			c.t.Errorf("%v %s", a.code, a.message)
		}
	}
}

// cancel makes a call whose caller leaves when it is under way, and waits until the
// sidecar has understood, as it tells the upstream.
func (c *breakerCaller) cancel(s script) {
	c.t.Helper()
	c.calls++
	name := fmt.Sprint(c.name, c.calls)
	c.up.on(name, s)
	call := c.begin(c.path, name)
	until(c.t, "the call to arrive", func() bool { return c.up.attempts(name) == 1 })
	resets := len(c.up.Stats().Resets)
	if err := call.SendReset(http2.ErrCodeCancel); err != nil {
		c.t.Error(err)
	}
	until(c.t, "the reset", func() bool { return len(c.up.Stats().Resets) > resets })
}

// TestASuccessRateOpensABreaker: a fifth of failures is borne, more are not.
func TestASuccessRateOpensABreaker(t *testing.T) {
	t.Parallel()
	for every, opens := range map[int64]bool{4: true, 6: false} {
		synctest.Test(t, func(t *testing.T) {
			policy := defaults(5)
			policy.Retry.Max = 0
			var r *rig
			r = newRig(t, policy, 5, func(context.Context, string) error {
				if r.arrivals.Load()%every == 0 {
					return status.Error(codes.Unavailable, "busy")
				}
				return nil
			})
			for range 100 {
				r.call(t.Context(), writePath)
			}
			if n := r.arrivals.Load(); (n < 100) != opens || n < 20 {
				t.Errorf("one of %d fails: %d of 100 calls were let through", every, n)
			}
		})
	}
}

// TestBreakersAreByMethod: what fails is one kind of work. And health checks, who are
// to know, ask no breaker.
func TestBreakersAreByMethod(t *testing.T) {
	t.Parallel()
	up := newScripted(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: up.url(), Args: []string{"--retry-max=0", "--circuit-breaker-threshold=1"}})
	c := breakerCaller{caller: dial(t, s.GRPC), sidecar: s, up: up, path: writePath, name: "one"}
	c.one(script{fault: says(codes.Unavailable, "busy")})
	if _, passed := c.one(script{}); passed {
		t.Error("it did not open")
	}
	for _, path := range []string{readPath, unsafePath, unknownPath} {
		if a := c.call(path, "", nil); a.code != codes.OK {
			t.Errorf("%s: %v %s", path, a.code, a.message)
		}
	}
	for range 5 {
		name := fmt.Sprint("health", c.calls)
		c.calls++
		up.on(name, script{fault: says(codes.Unavailable, "unwell")})
		if a := c.call(healthPath, name, nil); a.message != "unwell" || up.attempts(name) != 1 {
			t.Errorf("a health check: %v %q, %d attempts", a.code, a.message, up.attempts(name))
		}
	}
	if got := scrape(t, s).counts(moved, "to")["open"]; got != 1 {
		t.Errorf("%d breakers opened, want 1", got)
	}
}

// TestALostConnectionIsOneFailure, whatever number of calls was on it.
func TestALostConnectionIsOneFailure(t *testing.T) {
	t.Parallel()
	r := start(t, "--retry-max=0", "--circuit-breaker-threshold=2")
	const calls = 30
	before := scrape(t, r.Sidecar)
	r.hold(calls, 0)
	for _, conn := range r.up.Conns() {
		conn.Abort()
	}
	r.gives(before, failures, "reason", count("UPSTREAM_LOST", calls))
	r.gives(before, moved, "to", "")
	if a := r.call(writePath, "", nil); a.code != codes.OK {
		t.Errorf("the next call: %v %s", a.code, a.message)
	}
}
