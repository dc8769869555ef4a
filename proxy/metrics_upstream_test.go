package proxy

import (
	"testing"
	"time"
)

// TestSomeAreAsked: all of a few calls, and of many some, which do not depend on when
// they come.
func TestSomeAreAsked(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var s said
	// second has so many calls in one, evenly, and returns how many are asked.
	second := func(calls int) (asked int) {
		for i := range calls {
			if s.turn(at.Add(time.Duration(i) * time.Second / time.Duration(calls))) {
				asked++
			}
		}
		at = at.Add(time.Second)
		return asked
	}
	period := func(rate int) (asked int) {
		for range int(askPeriod / time.Second) {
			asked += second(rate)
		}
		return asked
	}
	if n := period(3); n != 15 {
		t.Errorf("of 15 calls %d are asked", n)
	}
	if n := period(100_000); n < askMost || n > 12*askMost {
		t.Errorf("of calls that become many, %d are asked", n)
	}
	for range 3 {
		if n := period(100_000); n < askSome/2 || n > 2*askSome {
			t.Errorf("of many calls %d are asked", n)
		}
	}
	// Most calls come at the start of a second, when one is not asked sooner than later.
	early := 0
	for range 5 * int(askPeriod/time.Second) {
		for range 900 {
			if s.turn(at) {
				early++
			}
		}
		late := at.Add(900 * time.Millisecond)
		for range 100 {
			if s.turn(late) {
				early -= 9
			}
		}
		at = at.Add(time.Second)
	}
	if early < -askSome || early > askSome {
		t.Errorf("of one call in ten it is not one in ten that is asked: off by %d", early)
	}
	period(1)
	if n := period(1); n != 5 {
		t.Errorf("of calls that become few, %d are asked", n)
	}
}
