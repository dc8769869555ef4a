package resilience_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"qdrant-sidecar/resilience"
)

func TestDeadlines(t *testing.T) {
	now := time.Unix(1000, 0)
	d := resilience.Deadlines{Read: time.Second, Write: time.Minute, Long: time.Hour}
	for _, test := range []struct {
		name  string
		d     resilience.Deadlines
		class resilience.Class
		kind  resilience.Kind
		given time.Duration
		want  time.Duration
	}{
		{"read", d, resilience.Read, resilience.Ordinary, 0, time.Second},
		{"idempotent write", d, resilience.IdempotentWrite, resilience.Ordinary, 0, time.Minute},
		{"unsafe write", d, resilience.UnsafeWrite, resilience.Ordinary, 0, time.Minute},
		{"long read", d, resilience.Read, resilience.Long, 0, time.Hour},
		{"long write", d, resilience.UnsafeWrite, resilience.Long, 0, time.Hour},
		{"unknown", d, resilience.Unknown, resilience.Ordinary, 0, time.Hour},
		{"given longer", d, resilience.Read, resilience.Ordinary, 24 * time.Hour, 24 * time.Hour},
		{"given shorter", d, resilience.UnsafeWrite, resilience.Long, 1, 1},
		{"off", resilience.Deadlines{}, resilience.Read, resilience.Ordinary, 0, 0},
		{"off, given", resilience.Deadlines{}, resilience.Read, resilience.Ordinary, time.Second, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			at := func(after time.Duration) time.Time {
				if after == 0 {
					return time.Time{}
				}
				return now.Add(after)
			}
			got, err := test.d.For(test.class, test.kind, now, at(test.given))
			if err != nil || !got.Equal(at(test.want)) {
				t.Errorf("got %v, %v; want %v", got, err, at(test.want))
			}
		})
	}
}

func TestExpired(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, ago := range []time.Duration{0, time.Second} {
		_, err := resilience.DefaultDeadlines().For(resilience.Read, resilience.Ordinary, now, now.Add(-ago))
		if !errors.Is(err, resilience.ErrExpired) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v ago: got %v", ago, err)
		}
	}
}

func TestTry(t *testing.T) {
	now := time.Unix(1000, 0)
	d := resilience.Deadlines{Try: 5 * time.Second}
	for _, test := range []struct {
		name  string
		d     resilience.Deadlines
		class resilience.Class
		kind  resilience.Kind
		left  time.Duration
		want  time.Duration
	}{
		{"read with time", d, resilience.Read, resilience.Ordinary, 6 * time.Second, 5 * time.Second},
		{"read without deadline", d, resilience.Read, resilience.Ordinary, 0, 5 * time.Second},
		{"read with as much time", d, resilience.Read, resilience.Ordinary, 5 * time.Second, 0},
		{"read with less", d, resilience.Read, resilience.Ordinary, time.Second, 0},
		{"long read", d, resilience.Read, resilience.Long, time.Minute, 0},
		{"write", d, resilience.IdempotentWrite, resilience.Ordinary, time.Minute, 0},
		{"unknown", d, resilience.Unknown, resilience.Ordinary, time.Minute, 0},
		{"off", resilience.Deadlines{}, resilience.Read, resilience.Ordinary, time.Minute, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var deadline time.Time
			if test.left > 0 {
				deadline = now.Add(test.left)
			}
			if got := test.d.ForTry(test.class, test.kind, now, deadline); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
