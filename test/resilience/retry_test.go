package resilience_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/test/sidecar"
)

// lane is a sidecar, a class of methods that is called through it, and the column of
// the table that holds for them.
type lane struct {
	name, path string
	flags      []string
	want       func(row) want
}

// The columns of a row.
const (
	read = iota
	idempotent
	unsafe
	unknown
)

func column(i int) func(row) want { return func(r row) want { return r.want[i] } }

// optedIn: what a write may do after INTERNAL and at a rate limit is a setting; it is
// a read then.
func optedIn(r row) want {
	if slices.Contains([]string{"internal", "node_behind", "rate_limited"}, r.outcome) {
		return r.want[read]
	}
	return r.want[idempotent]
}

// off: a plain forwarder sends what was never sent another way, as often as it costs
// nothing, and does no more.
func off(i int) func(row) want {
	return func(r row) want {
		w := r.want[i]
		void := r.outcome == "never_sent" && i != unknown
		switch {
		case w == works(1), void && w == works(2):
			return w
		case void:
			return want{3, "disabled"}
		case w.why == "", w.why == "attempts", w.why == "deadline":
			return stays("disabled")
		default:
			return w
		}
	}
}

// TestWhatMayBeRepeated leads a call of each class into each failure. Lanes share no
// sidecar, because the reasons are counted for all methods together.
func TestWhatMayBeRepeated(t *testing.T) {
	t.Parallel()
	for _, l := range []lane{
		{"Read", readPath, nil, column(read)},
		{"IdempotentWrite", writePath, nil, column(idempotent)},
		{"UnsafeWrite", unsafePath, nil, column(unsafe)},
		{"Unknown", unknownPath, nil, column(unknown)},
		{"IdempotentWrite, opted in", writePath, []string{"--retry-writes-on-internal", "--retry-writes-on-rate-limit"}, optedIn},
		{"IdempotentWrite, strict", writePath, []string{"--retry-writes=false"}, column(unsafe)},
		{"Read, off", readPath, []string{"--resilience=off"}, off(read)},
		{"IdempotentWrite, off", writePath, []string{"--resilience=off"}, off(idempotent)},
		{"UnsafeWrite, off", unsafePath, []string{"--resilience=off"}, off(unsafe)},
		{"Unknown, off", unknownPath, []string{"--resilience=off"}, off(unknown)},
	} {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.run(t)
		})
	}
}

func (l lane) run(t *testing.T) {
	up := newScripted(t)
	s := sidecar.Start(t, sidecar.Options{
		Upstream: up.url(),
		// A place in the pool rests when its connection did not live long, and here few do.
		Args: append(unhurried("--retry-base-delay=0.005", "--circuit-breaker-threshold=0", "--pool-size=40"), l.flags...),
	})
	c := dial(t, s.GRPC)
	metrics := scrape(t, s)
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			c := caller{t, c.conn}
			up.on(r.name, r.script)
			w := l.want(r)
			c.pad(5 * (w.attempts - 1)) // a fifth of it are the retries that this one may have
			got := c.call(l.path, r.name, []byte("hello"))
			if w.why == "" {
				r.succeeded(t, got, w)
			} else {
				r.failed(t, got, w)
			}
			if n := up.attempts(r.name); n != w.attempts {
				t.Errorf("%d attempts, want %d", n, w.attempts)
			}
			metrics = r.counted(t, s, metrics, w)
			r.announced(t, up, w)
		})
	}
	for _, r := range rows() {
		if n, w := up.attempts(r.name), l.want(r); n != w.attempts && !t.Failed() {
			t.Errorf("%s: %d attempts in the end, want %d", r.name, n, w.attempts)
		}
	}
}

// succeeded holds the answer against that of the attempt which it must come from.
func (r row) succeeded(t *testing.T, got answer, w want) {
	t.Helper()
	if r.name == "OK" { // which is scripted, too
		r.hasExtras(t, got)
	} else if n := got.last.Get("x-attempt"); n != fmt.Sprint(w.attempts) || string(got.body) != "hello" {
		t.Errorf("the answer is of attempt %q: %q", n, got.body)
	}
	if got.code != codes.OK || got.told() != "" {
		t.Errorf("%v %q, pushback %q", got.code, got.message, got.told())
	}
}

// failed holds the answer against what Qdrant said last, or the sidecar's own.
func (r row) failed(t *testing.T, got answer, w want) {
	t.Helper()
	told := r.asks
	if w.why == "attempts" {
		told = "-1" // lest a caller who repeats multiplies it
	}
	if got.code != r.code || got.reason() != r.reason || got.told() != told {
		t.Errorf("%v %q, reason %q, pushback %q; want %v, %q, %q", got.code, got.message, got.reason(), got.told(), r.code, r.reason, told)
	}
	if r.reason != "" {
		return
	}
	if got.message != encoded(r.text) {
		t.Errorf("the message is %q, want %q", got.message, encoded(r.text))
	}
	r.hasExtras(t, got)
}

func (row) hasExtras(t *testing.T, got answer) {
	t.Helper()
	if notes := got.last.All("x-note"); !slices.Equal(notes, []string{"a", "", "a"}) || got.last.Get("grpc-status-details-bin") != "AAEC" {
		t.Errorf("the metadata is not Qdrant's:\n%s", got.last)
	}
}

// counted waits for the metrics to say what happened, and returns them: a caller may
// be a little faster than they are.
func (r row) counted(t *testing.T, s *sidecar.Sidecar, before page, w want) (now page) {
	t.Helper()
	failed, ok := w.attempts, 0
	if w.why == "" {
		failed, ok = w.attempts-1, 1
	}
	outcome := r.outcome
	if outcome == "rate_limited" && w.why == permanent {
		outcome = "exhausted" // see row.want
	}
	outcomes := []string{count("ok", ok), count(outcome, failed)}
	slices.Sort(outcomes)
	wants := [...]string{count(w.why, 1), strings.TrimSpace(strings.Join(outcomes, " ")), ""}
	if w.why != "" {
		wants[2] = count(r.reason, 1)
	}
	var got [3]string
	if !within(patience, func() bool {
		now = scrape(t, s)
		got = [...]string{now.since(before, notRetried, "reason"), now.since(before, attempted, "outcome"), now.since(before, failures, "reason")}
		return got == wants
	}) {
		t.Errorf("counted (not retried, attempts, own failures): %q, want %q", got, wants)
	}
	return now
}

// announced: the upstream is told how many attempts it may have seen before.
func (r row) announced(t *testing.T, up *scripted, w want) {
	t.Helper()
	var told []string
	free := 0
	if r.outcome == "never_sent" {
		free = 2
	}
	for i := range w.attempts {
		if n := i - free; n > 0 {
			told = append(told, fmt.Sprint(n))
		} else {
			told = append(told, "")
		}
	}
	if got := up.toldOf(r.name); !slices.Equal(got, told) {
		t.Errorf("attempts said of those before: %q, want %q", got, told)
	}
}

// TestCallsMadeAgainAtOnce plays SDKs that make a failed call again by themselves: on another connection, as Rust's
// does, and three times, as Python's uploads do.
func TestCallsMadeAgainAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t, "--repeat-window=1m") // also for the slowest of machines
	for _, path := range []string{readPath, writePath} {
		name := "again " + path
		r.up.on(name, script{fault: says(codes.Unavailable, "busy")})
		r.pad(20) // for the budget
		if got := r.call(path, name, []byte("x")); got.reason() != "" || r.up.attempts(name) != 4 {
			t.Errorf("%s: %d attempts: %v %s", path, r.up.attempts(name), got.code, got.message)
		}
		for range 3 {
			got := dial(t, r.GRPC).call(path, name, []byte("x"))
			if got.code != codes.Unavailable || got.reason() != "ATTEMPTS_EXHAUSTED" || got.told() != "-1" || r.up.attempts(name) != 4 {
				t.Errorf("%s again: %d attempts: %v %s", path, r.up.attempts(name), got.code, got.message)
			}
		}
	}
}
