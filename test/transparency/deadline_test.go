package transparency_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"qdrant-sidecar/internal/faultwire"
)

// parseTimeout reads grpc-timeout: up to eight digits and a unit.
func parseTimeout(value string) (time.Duration, error) {
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second,
		'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	if len(value) < 2 || len(value) > 9 || units[value[len(value)-1]] == 0 {
		return 0, fmt.Errorf("grpc-timeout %q is malformed", value)
	}
	n, err := strconv.ParseUint(value[:len(value)-1], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("grpc-timeout %q: %w", value, err)
	}
	return time.Duration(n) * units[value[len(value)-1]], nil
}

// forwarded is the timeout that the upstream received, which must be one value.
func forwarded(t *testing.T, x exchange) time.Duration {
	t.Helper()
	values := x.Request.Fields.All("grpc-timeout")
	if len(values) != 1 {
		t.Fatalf("the upstream received grpc-timeout %q, want one", values)
	}
	timeout, err := parseTimeout(values[0])
	if err != nil {
		t.Fatal(err)
	}
	return timeout
}

var timeouts = []string{"5S", "5000m", "99999999u", "1H", "90M", "99999999S"}

// The upstream is told what is left of the caller's deadline, or a hundredth more, so that
// it is not the first to give up.
func TestDeadline(t *testing.T) {
	const lost = 4 * time.Second // generous: a race build on a busy machine
	r := newRig(t)
	answer := func(s *faultwire.Stream) { s.Answer(nil) }
	forEachPath(t, func(t *testing.T, path string) {
		for _, value := range timeouts {
			t.Run(value, func(t *testing.T) {
				sent, err := parseTimeout(value)
				if err != nil {
					t.Fatal(err)
				}
				direct, through := r.compare(t, call{path: path, extra: []string{"grpc-timeout", value}, answer: answer})
				if got := forwarded(t, direct); got != sent {
					t.Errorf("directly the upstream received %v", got)
				}
				if got := forwarded(t, through); got > sent+sent/100 || got <= sent-lost {
					t.Errorf("of %v the upstream received %v", sent, got)
				}
			})
		}
		t.Run("none", func(t *testing.T) {
			_, through := r.compare(t, call{path: path, answer: answer})
			if got := through.Request.Fields.All("grpc-timeout"); got != nil {
				t.Errorf("the upstream received grpc-timeout %q, the client sent none", got)
			}
		})
	})
}

// A known method is forwarded when its message is there; the time that the
// client took for it is gone.
func TestDeadlineCountsFromTheHeaders(t *testing.T) {
	const (
		timeout = 30 * time.Second
		slow    = 1200 * time.Millisecond
	)
	r := newRig(t)
	received := make(chan exchange, 1)
	script := func(s *faultwire.Stream) {
		received <- exchange{Request: readRequest(s)}
		s.Answer(nil)
	}
	r.script.Store(&script)
	conn := r.through().dial(t)
	s := open(t, conn, knownMethod, "grpc-timeout", "30S")
	if err := conn.Ping([8]byte{1}); err != nil {
		t.Fatal(err)
	}
	nextPingAck(t, conn) // and so the sidecar has the headers
	<-time.After(slow)
	if err := s.SendData(faultwire.Prefixed(nil), true); err != nil {
		t.Fatal(err)
	}
	if got := forwarded(t, wait(t, "the call", received)); got > timeout-slow+timeout/100 || got <= timeout/2 {
		t.Errorf("%v after a call with %v began the upstream received %v", slow, timeout, got)
	}
}
