package resilience_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// rigged is a sidecar with quick retries between a scripted upstream and a caller.
type rigged struct {
	*sidecar.Sidecar
	up *scripted
	caller
}

func start(t *testing.T, flags ...string) rigged {
	t.Helper()
	up := newScripted(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: up.url(), Args: append(unhurried("--retry-base-delay=0.005"), flags...)})
	return rigged{s, up, dial(t, s.GRPC)}
}

// gives waits until a family has counted this, and nothing else, since a page.
func (r rigged) gives(before page, family, label, want string) {
	r.t.Helper()
	var got string
	if !within(patience, func() bool {
		got = scrape(r.t, r.Sidecar).since(before, family, label)
		return got == want
	}) {
		r.t.Errorf("%s has counted %q, want %q", family, got, want)
	}
}

// gauge is the value of a series without labels.
func (r rigged) gauge(name string) float64 { return scrape(r.t, r.Sidecar)[name] }

// hold opens so many calls with bodies of this size that are never answered, and
// returns when all of them are at the upstream.
func (r rigged) hold(n, size int) (release func()) {
	r.t.Helper()
	var streams []*faultwire.Stream
	var sending sync.WaitGroup
	for i := range n {
		name := fmt.Sprint("held ", i)
		r.up.on(name, script{fault: faultwire.Fault{At: faultwire.Received, Do: faultwire.Silence}})
		s, err := r.conn.Open(faultwire.GRPCRequest(writePath).With(callField, name), false)
		if err != nil {
			r.t.Fatal(err)
		}
		streams = append(streams, s)
		sending.Go(func() {
			if err := s.SendData(faultwire.Prefixed(make([]byte, size)), true); err != nil {
				r.t.Error(err)
			}
		})
	}
	sending.Wait()
	for i := range n {
		until(r.t, "a held call to arrive", func() bool { return r.up.attempts(fmt.Sprint("held ", i)) == 1 })
	}
	return func() {
		for _, s := range streams {
			s.SendReset(http2.ErrCodeCancel)
		}
	}
}

// prefix is what a message has before it, and what is stored of it, too.
const prefix = 5

// TestLargeRequestsPass: what is above 4 MiB reaches Qdrant, once.
func TestLargeRequestsPass(t *testing.T) {
	t.Parallel()
	r := start(t)
	const most = 4<<20 - prefix
	for _, path := range []string{readPath, writePath} {
		for size, attempts := range map[int]int{most: 2, most + 1: 1} {
			for name, fault := range map[string]faultwire.Fault{
				"UNAVAILABLE": says(codes.Unavailable, "busy"),
				"reset":       faultwire.LostAfter(faultwire.ResetWith(http2.ErrCodeInternal)),
			} {
				name := fmt.Sprint(name, size, path)
				r.up.on(name, script{fault: fault, first: 1})
				before := scrape(t, r.Sidecar)
				got := r.call(path, name, make([]byte, size))
				if ok := got.code == codes.OK; r.up.attempts(name) != attempts || ok != (attempts == 2) {
					t.Errorf("%s: %v after %d attempts, want %d", name, got.code, r.up.attempts(name), attempts)
				}
				r.gives(before, notRetried, "reason", count(tooLarge, 2-attempts))
			}
		}
		got := r.call(path, "whole"+path, make([]byte, 9<<20))
		if got.code != codes.OK || len(got.body) != 9<<20 {
			t.Errorf("%s: %v with %d bytes", path, got.code, len(got.body))
		}
	}
}

// TestFullStore: what does not fit into the 64 MiB for all requests together passes,
// and is not repeated until there is room again.
func TestFullStore(t *testing.T) {
	t.Parallel()
	r := start(t)
	const size = 3 << 20 // so that it does not come at one go, and is kept for that
	attempt := func(name string) (attempts int, why string) {
		r.up.on(name, script{fault: says(codes.Unavailable, "busy"), first: 1})
		before := scrape(t, r.Sidecar)
		r.call(readPath, name, make([]byte, size))
		return r.up.attempts(name), scrape(t, r.Sidecar).since(before, notRetried, "reason")
	}
	release := r.hold(16, 4<<20-prefix)
	if n, why := attempt("full"); n != 1 || why != "too_large×1" {
		t.Errorf("with the store full: %d attempts, not retried %q", n, why)
	}
	if got := r.call(readPath, "", make([]byte, size)); got.code != codes.OK || r.up.attempts("held 0") != 1 {
		t.Errorf("with the store full: %v %s", got.code, got.message)
	}
	release()
	until(t, "the store to be empty", func() bool {
		return r.gauge("qdrant_sidecar_stored_request_bytes") == 0
	})
	if n, why := attempt("empty"); n != 2 || why != "" {
		t.Errorf("with the store empty: %d attempts, not retried %q", n, why)
	}
}

// TestLargeAnswersAreNotTakenBack: once the caller has a part of it there is no other
// attempt, for any class.
func TestLargeAnswersAreNotTakenBack(t *testing.T) {
	t.Parallel()
	r := start(t)
	for path, why := range map[string]string{readPath: "answered", writePath: "answered", unsafePath: notIdempotent, unknownPath: notIdempotent} {
		name := "cut" + path
		r.up.on(name, script{fault: faultwire.Fault{At: faultwire.Halved, Do: faultwire.ResetWith(http2.ErrCodeInternal)}, answerBytes: 12 << 20})
		before := scrape(t, r.Sidecar)
		got := r.call(path, name, nil)
		if got.code != codes.Internal || got.reason() != "UPSTREAM_LOST" || r.up.attempts(name) != 1 || got.told() != "" {
			t.Errorf("%s: %v %q after %d attempts, pushback %q", path, got.code, got.message, r.up.attempts(name), got.told())
		}
		r.gives(before, notRetried, "reason", count(why, 1))
	}
}

// TestBudgetIsShared: of eight calls that fail together, of two methods, three are
// repeated, and the others are told not to come again.
func TestBudgetIsShared(t *testing.T) {
	t.Parallel()
	const callers, repeated = 8, 3
	r := start(t)
	before := scrape(t, r.Sidecar)
	all := together(callers)
	refused := make(chan struct{}) // closed when those are answered that are not repeated
	var calls sync.WaitGroup
	var mu sync.Mutex
	codesSeen, attempts := map[codes.Code]int{}, 0
	for i := range callers {
		name := fmt.Sprint("call ", i)
		r.up.on(name, script{
			fault: faultwire.Fault{At: faultwire.Received, Do: faultwire.Then(all, says(codes.Unavailable, "busy").Do)},
			first: 1,
			later: faultwire.Fault{At: faultwire.Received, Do: onceClosed(refused)},
		})
		calls.Go(func() {
			got := r.call([]string{readPath, writePath}[i%2], name, nil)
			mu.Lock()
			defer mu.Unlock()
			codesSeen[got.code]++
			attempts += r.up.attempts(name)
			if got.code != codes.OK {
				if codesSeen[got.code] == callers-repeated {
					close(refused)
				}
				if got.told() != "-1" || got.message != "busy" {
					t.Errorf("%v %q, pushback %q", got.code, got.message, got.told())
				}
			}
		})
	}
	calls.Wait()
	if codesSeen[codes.OK] != repeated || codesSeen[codes.Unavailable] != callers-repeated || attempts != callers+repeated {
		t.Errorf("%v in %d attempts", codesSeen, attempts)
	}
	r.gives(before, notRetried, "reason", "budget×5")
}

// TestRefusedCalls: what finds no place is answered so that callers come later.
func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	r := start(t, "--max-concurrent-calls=1", "--max-queued-calls=0", "--circuit-breaker-threshold=1")
	release := r.hold(1, 0)
	defer release()
	for _, path := range []string{readPath, writePath, unsafePath, unknownPath} {
		before := scrape(t, r.Sidecar)
		got := r.call(path, "refused"+path, nil)
		if got.code != codes.ResourceExhausted || got.reason() != "OVERLOADED" || got.told() != "1000" || got.last.Get("retry-after") != "1" ||
			r.up.attempts("refused"+path) != 0 {
			t.Errorf("%s: %v %q, %d attempts\n%s", path, got.code, got.message, r.up.attempts("refused"+path), got.last)
		}
		r.gives(before, notRetried, "reason", "refused×1")
		r.gives(before, failures, "reason", "OVERLOADED×1")
		r.gives(before, moved, "to", "")
	}
	if got := r.call(healthPath, "", nil); got.code != codes.OK {
		t.Errorf("a health check: %v %s", got.code, got.message)
	}
}

// TestLeavingCallers: nothing is begun for who left while his call waited.
func TestLeavingCallers(t *testing.T) {
	t.Parallel()
	r := start(t)
	before := scrape(t, r.Sidecar)
	r.up.on("gone", script{fault: says(codes.Unavailable, "busy", "grpc-retry-pushback-ms", "30000")})
	s := r.begin(readPath, "gone")
	until(t, "the retry to wait", func() bool { return r.gauge("qdrant_sidecar_retries_in_flight") == 1 })
	if err := s.SendReset(http2.ErrCodeCancel); err != nil {
		t.Error(err)
	}
	r.gives(before, notRetried, "reason", "caller_gone×1")
	r.gives(before, failures, "reason", "CANCELLED×1")
	until(t, "the call to end", func() bool { return r.gauge("qdrant_sidecar_calls_in_flight") == 0 })
	if n := r.up.attempts("gone"); n != 1 || r.gauge("qdrant_sidecar_retries_in_flight") != 0 {
		t.Errorf("%d attempts", n)
	}
}

// TestLateCalls: a deadline that passes is nobody's reason for another attempt, and
// one that has passed for none at all.
func TestLateCalls(t *testing.T) {
	t.Parallel()
	for _, path := range []string{readPath, writePath, unsafePath, unknownPath} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			for timeout, attempts := range map[string]int{"2S": 1, "0m": 0} {
				r.up.on(timeout, script{fault: faultwire.Fault{At: faultwire.Received, Do: faultwire.Silence}})
				before := scrape(t, r.Sidecar)
				got := r.call(path, timeout, nil, "grpc-timeout", timeout)
				if got.code != codes.DeadlineExceeded || got.reason() != "DEADLINE_EXCEEDED" || got.told() != "" || r.up.attempts(timeout) > attempts {
					t.Errorf("%s: %v %q after %d attempts, pushback %q", timeout, got.code, got.message, r.up.attempts(timeout), got.told())
				}
				r.gives(before, notRetried, "reason", count("deadline", attempts))
				r.gives(before, failures, "reason", "DEADLINE_EXCEEDED×1")
			}
		})
	}
}

// TestHealthChecksAreNotRepeated: who asks wants to know.
func TestHealthChecksAreNotRepeated(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.up.on("unwell", script{fault: says(codes.Unavailable, "busy")})
	before := scrape(t, r.Sidecar)
	if got := r.call(healthPath, "unwell", nil); got.message != "busy" || r.up.attempts("unwell") != 1 || got.told() != "" {
		t.Errorf("%v %q after %d attempts, pushback %q", got.code, got.message, r.up.attempts("unwell"), got.told())
	}
	r.gives(before, notRetried, "reason", "disabled×1")
}

// TestTooMuchMetadata: what does not arrive whole is not passed on.
func TestTooMuchMetadata(t *testing.T) {
	t.Parallel()
	r := start(t)
	before := scrape(t, r.Sidecar)
	got := r.call(readPath, "much", nil, "x-much", strings.Repeat("x", 20<<10))
	if got.code != codes.ResourceExhausted || got.reason() != "HEADER_TOO_LARGE" || r.up.attempts("much") != 0 {
		t.Errorf("%v %q after %d attempts", got.code, got.message, r.up.attempts("much"))
	}
	r.gives(before, failures, "reason", "HEADER_TOO_LARGE×1")
}

// TestWhatIsAddedMakesMetadataTooLarge: a caller whose own metadata is small enough for Qdrant learns what made it too
// large. One who sent all of it himself is answered by Qdrant.
func TestWhatIsAddedMakesMetadataTooLarge(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("lent"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, "--api-key-file="+key)
	refuse := func(s *faultwire.Stream) bool {
		s.SendHeaders(faultwire.Pairs(":status", "431"), true)
		return false
	}
	before := scrape(t, r.Sidecar)
	for _, path := range []string{readPath, "/acme.Thing/Do"} {
		r.up.on("own "+path, script{fault: faultwire.Fault{Do: refuse}})
		own, _ := r.try(bounded(t), path, "own "+path, nil, "api-key", "own") // it has no status of gRPC's
		if own.last.Get(":status") != "431" {
			t.Errorf("%s with a key of the caller's own: %v, want Qdrant's answer", path, own.last)
		}
		r.up.on("lent "+path, script{fault: faultwire.Fault{Do: refuse}})
		got := r.call(path, "lent "+path, nil)
		if got.code != codes.ResourceExhausted || got.reason() != "HEADER_TOO_LARGE" || !strings.Contains(got.message, "its API key") {
			t.Errorf("%s: %v %q", path, got.code, got.message)
		}
		if n := r.up.attempts("lent " + path); n != 1 {
			t.Errorf("%s: %d attempts", path, n)
		}
	}
	r.up.on("again", script{fault: says(codes.Unavailable, "busy"), first: 1})
	if got := r.call(readPath, "again", nil); got.code != codes.OK {
		t.Errorf("afterwards: %v %q", got.code, got.message)
	}
	r.gives(before, failures, "reason", "HEADER_TOO_LARGE×2")
}

// TestShutdownCutsCalls: who is cut is told why.
func TestShutdownCutsCalls(t *testing.T) {
	t.Parallel()
	r := start(t, "--drain-timeout=0.1")
	r.up.on("cut", script{fault: faultwire.Fault{At: faultwire.Received, Do: faultwire.Silence}})
	answers := make(chan answer, 1)
	go func() { answers <- r.call(readPath, "cut", nil) }()
	until(t, "the call to arrive", func() bool { return r.up.attempts("cut") == 1 })
	r.Stop()
	if got := <-answers; got.code != codes.Unavailable || got.reason() != "SHUTTING_DOWN" || r.up.attempts("cut") != 1 {
		t.Errorf("%v %q after %d attempts", got.code, got.message, r.up.attempts("cut"))
	}
}
