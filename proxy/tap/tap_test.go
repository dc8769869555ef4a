package tap_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/proxy/tap"
)

func none() (request, answer []byte) { return nil, nil }

func TestFilter(t *testing.T) {
	call := tap.Call{Method: "Points/Query", Collection: "a", Code: codes.NotFound, Duration: 20 * time.Millisecond}
	for name, test := range map[string]struct {
		filter tap.Filter
		passes bool
	}{
		"none":             {tap.Filter{}, true},
		"part of method":   {tap.Filter{Methods: []string{"upsert", "quer"}}, true},
		"another method":   {tap.Filter{Methods: []string{"upsert"}}, false},
		"collection":       {tap.Filter{Collections: []string{"a"}}, true},
		"not the whole":    {tap.Filter{Collections: []string{"aa"}}, false},
		"code":             {tap.Filter{Codes: []codes.Code{codes.OK, codes.NotFound}}, true},
		"another code":     {tap.Filter{Codes: []codes.Code{codes.OK}}, false},
		"slow enough":      {tap.Filter{SlowerThan: 20 * time.Millisecond}, true},
		"not slow enough":  {tap.Filter{SlowerThan: 21 * time.Millisecond}, false},
		"failed":           {tap.Filter{Failed: true}, true},
		"all have to pass": {tap.Filter{Failed: true, Collections: []string{"b"}}, false},
	} {
		var tapped tap.Tap
		w, err := tapped.Watch(test.filter)
		if err != nil {
			t.Fatal(err)
		}
		offered := call
		tapped.Offer(&offered, none)
		ended, end := context.WithCancel(t.Context())
		end()
		got := false
		for range 20 { // select draws among what is ready
			_, _, err := w.Next(ended)
			got = got || err == nil
		}
		if got != test.passes {
			t.Errorf("%s: passed is %v, want %v", name, got, test.passes)
		}
		w.Close()
	}
}

func TestWatchedOnlyWhileSomebodyWatches(t *testing.T) {
	var tapped tap.Tap
	if tapped.Watched() {
		t.Error("watched by nobody")
	}
	var all []*tap.Watcher
	for {
		w, err := tapped.Watch(tap.Filter{})
		if errors.Is(err, tap.ErrTooMany) {
			break
		}
		all = append(all, w)
	}
	if len(all) == 0 || !tapped.Watched() {
		t.Errorf("%d watch, Watched is %v", len(all), tapped.Watched())
	}
	for _, w := range all {
		w.Close()
	}
	if tapped.Watched() {
		t.Error("still watched")
	}
}

// A watcher who does not read misses calls, and hears how many; nobody waits.
func TestSlowWatcher(t *testing.T) {
	var tapped tap.Tap
	w, err := tapped.Watch(tap.Filter{Bodies: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const calls = 200
	for range calls {
		tapped.Offer(&tap.Call{}, func() ([]byte, []byte) { return tap.Body(100 << 10), nil })
	}
	held, missed := 0, int64(0)
	for held+int(missed) < calls {
		c, m, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held++
		missed += m
		if len(c.Request) != 100<<10 {
			t.Fatalf("a body of %d bytes", len(c.Request))
		}
	}
	if held > 100 { // 8 MiB of them, and one more
		t.Errorf("%d calls were held, %d missed", held, missed)
	}
	if tap.Body(2<<20) != nil {
		t.Error("a body is shown that is too large")
	}
}

// What Qdrant says may quote the call, so it is shown with bodies only.
func TestMessagesOfQdrant(t *testing.T) {
	for _, own := range []bool{true, false} {
		var tapped tap.Tap
		plain, _ := tapped.Watch(tap.Filter{})
		full, _ := tapped.Watch(tap.Filter{Bodies: true})
		tapped.Offer(&tap.Call{Code: codes.Internal, Message: "text", Own: own}, none)
		for name, test := range map[string]struct {
			from *tap.Watcher
			want bool
		}{"plain": {plain, own}, "with bodies": {full, true}} {
			c, _, err := test.from.Next(t.Context())
			if err != nil || (c.Message != "") != test.want {
				t.Errorf("own %v, %s: %q, %v", own, name, c.Message, err)
			}
		}
		if got := tapped.Recent()[0].Message; (got != "") != own {
			t.Errorf("own %v: %q is remembered", own, got)
		}
	}
}

func TestRecent(t *testing.T) {
	var tapped tap.Tap
	tapped.Offer(&tap.Call{Method: "fine"}, none)
	if got := tapped.Recent(); len(got) != 0 {
		t.Errorf("%d failures of none", len(got))
	}
	for n := range 100 {
		tapped.Offer(&tap.Call{Method: fmt.Sprint(n), Code: codes.Internal}, none)
	}
	got := tapped.Recent()
	if len(got) != 64 || got[0].Method != "99" || got[63].Method != "36" {
		t.Errorf("%d are remembered, from %v to %v", len(got), got[0], got[len(got)-1])
	}
}

// Watchers come and go while calls pass.
func TestConcurrently(t *testing.T) {
	var tapped tap.Tap
	var callers, watchers sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				tapped.Offer(&tap.Call{Code: codes.Internal}, none)
			}
		})
		watchers.Go(func() {
			for range 10 {
				w, err := tapped.Watch(tap.Filter{})
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := w.Next(ctx); err != nil {
					t.Error(err)
				}
				w.Close()
				tapped.Recent()
			}
		})
	}
	watchers.Wait()
	stop()
	callers.Wait()
}
