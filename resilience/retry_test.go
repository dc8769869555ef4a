package resilience_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/resilience"
)

func half() float64 { return 0.5 }

func policy() *resilience.Policy {
	p := resilience.DefaultPolicy()
	p.Rand = half
	return &p
}

func waiting(class resilience.Class) resilience.Situation {
	return resilience.Situation{Class: class, Left: time.Minute}
}

func verdict(cause resilience.Cause) resilience.Verdict { return resilience.Verdict{Cause: cause} }

// decisions runs a call whose every attempt ends in v, and says what was decided
// after each in a word, up to the last.
func decisions(p *resilience.Policy, v resilience.Verdict, s resilience.Situation) (words []string) {
	var tries resilience.Tries
	for range 20 {
		d := p.Decide(&tries, v, s)
		switch {
		case !d.Again:
			return append(words, string(d.Reason))
		case d.Free:
			words = append(words, "free")
		case d.Elsewhere:
			words = append(words, d.Wait.String())
		default:
			words = append(words, "here "+d.Wait.String())
		}
		tries.Start(d)
	}
	return append(words, "for ever")
}

// TestRules is the table "failure of an attempt", a row each. With a random number
// of 0.5 the waits are half of 0.5, 1 and 2 s.
func TestRules(t *testing.T) {
	const (
		again = "[250ms 500ms 1s attempts]"
		free  = "[free free 250ms 500ms 1s attempts]"
		once  = "[250ms attempts]"
		slow  = "[3.75s attempts]"
		told  = "[here 2s here 2s here 2s attempts]"
		no    = "[permanent]"
		notMe = "[not_idempotent]"
	)
	limited := resilience.Verdict{Cause: resilience.RateLimited, Pushback: resilience.Pushback{Asked: true, Wait: 2 * time.Second}}
	for _, row := range []struct {
		v                        resilience.Verdict
		read, idempotent, unsafe string
	}{
		{verdict(resilience.NeverSent), free, free, free},
		{verdict(resilience.Unreachable), free, free, free},
		{verdict(resilience.MissingMessage), again, again, again},
		{verdict(resilience.NoLeader), no, slow, slow},
		{verdict(resilience.Unavailable), again, again, notMe},
		{verdict(resilience.Lost), again, again, notMe},
		{verdict(resilience.Internal), once, notMe, notMe},
		{verdict(resilience.NodeBehind), once, notMe, notMe},
		{limited, told, notMe, notMe},
		{verdict(resilience.Exhausted), no, no, no},
		{verdict(resilience.ServerTimeout), no, no, no},
		{verdict(resilience.TryTimeout), again, notMe, notMe},
		{verdict(resilience.NotCommitted), no, no, no},
		{verdict(resilience.Malformed), no, no, no},
		{verdict(resilience.Corrupt), no, no, no},
		{verdict(resilience.Rejected), no, no, no},
		{verdict(resilience.Unclear), no, no, no},
		{verdict(resilience.DeadlinePassed), "[deadline]", "[deadline]", "[deadline]"},
		{verdict(resilience.CallerGone), "[caller_gone]", "[caller_gone]", "[caller_gone]"},
		{verdict(resilience.Refused), "[refused]", "[refused]", "[refused]"},
		{verdict(resilience.OK), "[]", "[]", "[]"},
	} {
		for class, want := range map[resilience.Class]string{
			resilience.Read: row.read, resilience.IdempotentWrite: row.idempotent,
			resilience.UnsafeWrite: row.unsafe, resilience.Unknown: row.unsafe,
		} {
			t.Run(fmt.Sprintf("%v %v", row.v.Cause, class), func(t *testing.T) {
				if got := fmt.Sprint(decisions(policy(), row.v, waiting(class))); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
	}
}

// TestUnsafeIsRepeatedOnProofOnly holds the two tables against each other.
func TestUnsafeIsRepeatedOnProofOnly(t *testing.T) {
	for cause := resilience.Lost; cause <= resilience.Unclear; cause++ {
		if cause == resilience.Answered {
			continue
		}
		o := resilience.Outcome{Cause: cause, Elapsed: time.Minute}
		for _, class := range []resilience.Class{resilience.UnsafeWrite, resilience.Unknown} {
			d := policy().Decide(&resilience.Tries{}, resilience.Classify(o), waiting(class))
			if d.Again && !resilience.Classify(o).NotExecuted {
				t.Errorf("%v is repeated after %v, which proves nothing", class, cause)
			}
		}
	}
}

func TestOptIns(t *testing.T) {
	limited := resilience.Verdict{Cause: resilience.RateLimited, Pushback: resilience.Pushback{Asked: true, Wait: time.Second}}
	for _, test := range []struct {
		name  string
		set   func(*resilience.Policy)
		v     resilience.Verdict
		class resilience.Class
		want  string
	}{
		{"internal", func(p *resilience.Policy) { p.InternalWrites = true }, verdict(resilience.Internal), resilience.IdempotentWrite, "[250ms attempts]"},
		{"node behind", func(p *resilience.Policy) { p.InternalWrites = true }, verdict(resilience.NodeBehind), resilience.IdempotentWrite, "[250ms attempts]"},
		{"internal, unsafe", func(p *resilience.Policy) { p.InternalWrites = true }, verdict(resilience.Internal), resilience.UnsafeWrite, "[not_idempotent]"},
		{"internal is not consensus", func(p *resilience.Policy) { p.InternalWrites = true }, verdict(resilience.NotCommitted), resilience.IdempotentWrite, "[permanent]"},
		{"limited", func(p *resilience.Policy) { p.LimitedWrites = true }, limited, resilience.IdempotentWrite, "[here 1s here 1s here 1s attempts]"},
		{"limited, unsafe", func(p *resilience.Policy) { p.LimitedWrites = true }, limited, resilience.Unknown, "[not_idempotent]"},
		{"limited is not internal", func(p *resilience.Policy) { p.LimitedWrites = true }, verdict(resilience.Internal), resilience.IdempotentWrite, "[not_idempotent]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policy()
			test.set(p)
			if got := fmt.Sprint(decisions(p, test.v, waiting(test.class))); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestObstacles(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*resilience.Policy, *resilience.Verdict, *resilience.Situation)
		want string
	}{
		{"none", func(*resilience.Policy, *resilience.Verdict, *resilience.Situation) {}, "[250ms 500ms 1s attempts]"},
		{"caller gone", func(_ *resilience.Policy, _ *resilience.Verdict, s *resilience.Situation) { s.CallerGone = true }, "[caller_gone]"},
		{"answering", func(_ *resilience.Policy, _ *resilience.Verdict, s *resilience.Situation) { s.Answering = true }, "[answered]"},
		{"too large", func(_ *resilience.Policy, _ *resilience.Verdict, s *resilience.Situation) { s.TooLarge = true }, "[too_large]"},
		{"never repeated, and too large", func(_ *resilience.Policy, v *resilience.Verdict, s *resilience.Situation) {
			v.Cause, s.TooLarge = resilience.Rejected, true
		}, "[permanent]"},
		{"never sent, but not kept", func(_ *resilience.Policy, v *resilience.Verdict, s *resilience.Situation) {
			v.Cause, s.TooLarge = resilience.NeverSent, true
		}, "[too_large]"},
		{"no time", func(_ *resilience.Policy, _ *resilience.Verdict, s *resilience.Situation) { s.Left = 0 }, "[deadline]"},
		{"wait ends at the deadline", func(_ *resilience.Policy, _ *resilience.Verdict, s *resilience.Situation) {
			s.Left = 500 * time.Millisecond
		}, "[250ms deadline]"},
		{"no deadline", func(_ *resilience.Policy, _ *resilience.Verdict, s *resilience.Situation) {
			s.Left = resilience.NoDeadline
		}, "[250ms 500ms 1s attempts]"},
		{"off", func(p *resilience.Policy, _ *resilience.Verdict, _ *resilience.Situation) { p.Max = 0 }, "[disabled]"},
		{"off, never sent", func(p *resilience.Policy, v *resilience.Verdict, _ *resilience.Situation) {
			p.Max, v.Cause = 0, resilience.NeverSent
		}, "[free free disabled]"},
		{"told to stop", func(_ *resilience.Policy, v *resilience.Verdict, _ *resilience.Situation) { v.Pushback.Stop = true }, "[pushback]"},
		{"told when", func(_ *resilience.Policy, v *resilience.Verdict, _ *resilience.Situation) {
			v.Pushback = resilience.Pushback{Asked: true, Wait: 7 * time.Second}
		}, "[7s 7s 7s attempts]"},
		{"told too late", func(_ *resilience.Policy, v *resilience.Verdict, _ *resilience.Situation) {
			v.Pushback = resilience.Pushback{Asked: true, Wait: time.Hour}
		}, "[deadline]"},
		{"many", func(p *resilience.Policy, _ *resilience.Verdict, _ *resilience.Situation) { p.Max = 6 },
			"[250ms 500ms 1s 2s 2.5s 2.5s attempts]"},
		{"base above cap", func(p *resilience.Policy, _ *resilience.Verdict, _ *resilience.Situation) { p.Base = time.Minute },
			"[2.5s 2.5s 2.5s attempts]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, v, s := policy(), verdict(resilience.Unavailable), waiting(resilience.Read)
			test.set(p, &v, &s)
			if got := fmt.Sprint(decisions(p, v, s)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestOnceIsOfACall: other failures between do not make it twice, and a rule that
// holds once does not use up another one.
func TestOnceIsOfACall(t *testing.T) {
	p := policy()
	var tries resilience.Tries
	for _, step := range []struct {
		cause resilience.Cause
		again bool
	}{
		{resilience.Internal, true}, {resilience.Unavailable, true}, {resilience.NodeBehind, false},
	} {
		d := p.Decide(&tries, verdict(step.cause), waiting(resilience.Read))
		if d.Again != step.again {
			t.Fatalf("after %v: again %t, want %t", step.cause, d.Again, step.again)
		}
		if d.Again {
			tries.Start(d)
		}
	}
	if tries.Retries() != 2 {
		t.Errorf("%d retries counted, want 2", tries.Retries())
	}
}

// TestPushbackRestartsBackoff is A6: after a wait that the server named, backoff
// begins anew.
func TestPushbackRestartsBackoff(t *testing.T) {
	p := policy()
	var tries resilience.Tries
	pushed := resilience.Verdict{Cause: resilience.Unavailable, Pushback: resilience.Pushback{Asked: true, Wait: time.Second}}
	for i, step := range []struct {
		v    resilience.Verdict
		want time.Duration
	}{
		{verdict(resilience.Lost), 250 * time.Millisecond}, {pushed, time.Second}, {verdict(resilience.Lost), 250 * time.Millisecond},
	} {
		d := p.Decide(&tries, step.v, waiting(resilience.Read))
		if d.Wait != step.want {
			t.Errorf("retry %d: wait %v, want %v", i, d.Wait, step.want)
		}
		tries.Start(d)
	}
}

// TestFreeIsNotARetry: the upstream has seen nothing of it.
func TestFreeIsNotARetry(t *testing.T) {
	p := policy()
	var tries resilience.Tries
	tries.Start(p.Decide(&tries, verdict(resilience.NeverSent), waiting(resilience.UnsafeWrite)))
	if tries.Retries() != 0 {
		t.Errorf("%d retries, want 0", tries.Retries())
	}
}

// TestDecideChangesNothing: a decision that the budget then refuses has not happened.
func TestDecideChangesNothing(t *testing.T) {
	var tries resilience.Tries
	policy().Decide(&tries, verdict(resilience.Internal), waiting(resilience.Read))
	if tries != (resilience.Tries{}) {
		t.Errorf("changed to %+v", tries)
	}
}

func TestFullJitter(t *testing.T) {
	p := policy()
	for _, random := range []float64{0, math.Nextafter(1, 0)} {
		p.Rand = func() float64 { return random }
		d := p.Decide(&resilience.Tries{}, verdict(resilience.Unavailable), waiting(resilience.Read))
		if d.Wait < 0 || d.Wait > p.Base || random == 0 && d.Wait != 0 {
			t.Errorf("wait %v at random %v", d.Wait, random)
		}
	}
	p.Rand = nil
	waits := map[time.Duration]bool{}
	for range 100 {
		waits[p.Decide(&resilience.Tries{}, verdict(resilience.Unavailable), waiting(resilience.Read)).Wait] = true
	}
	if len(waits) < 50 {
		t.Errorf("%d different waits of 100", len(waits))
	}
}

func TestGaveUp(t *testing.T) {
	for reason, want := range map[resilience.NotRetried]bool{
		resilience.Attempts: true, resilience.OverBudget: true,
		resilience.Permanent: false, resilience.NotIdempotent: false, resilience.Disabled: false, resilience.OutOfTime: false,
		resilience.ToldToStop: false, resilience.Gone: false, resilience.TooLarge: false, "": false,
	} {
		if reason.GaveUp() != want {
			t.Errorf("%q: gave up %t, want %t", reason, !want, want)
		}
	}
}

// TestRecordedLimit goes from an answer as it was received to the decision.
func TestRecordedLimit(t *testing.T) {
	o := answer(codes.ResourceExhausted, "Rate limiting exceeded: Read rate limit exceeded")
	o.RetryAfter = "2"
	s := waiting(resilience.Read)
	if d := policy().Decide(&resilience.Tries{}, resilience.Classify(o), s); !d.Again || d.Wait != 2*time.Second {
		t.Errorf("got %+v, want 2s", d)
	}
	s.Left = 2 * time.Second
	if d := policy().Decide(&resilience.Tries{}, resilience.Classify(o), s); d.Reason != resilience.OutOfTime {
		t.Errorf("got %+v, want it not to fit", d)
	}
	o.RetryAfter = "-1"
	if d := policy().Decide(&resilience.Tries{}, resilience.Classify(o), waiting(resilience.Read)); d.Reason != resilience.ToldToStop {
		t.Errorf("got %+v, want stop", d)
	}
}
