package resilience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/resilience"
)

// queueUp starts calls that want in, each of which is told of in the channel.
func queueUp(ctx context.Context, t *testing.T, a *resilience.Admission, n int) <-chan error {
	t.Helper()
	ended := make(chan error, n)
	for range n {
		go func() { ended <- a.Acquire(ctx) }()
	}
	synctest.Wait()
	return ended
}

// TestPause has calls wait beyond what they may otherwise, and go on together.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(2, 3, time.Second)
		if err := a.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Pause()
		a.Pause()
		ended := queueUp(t.Context(), t, a, 3)
		time.Sleep(time.Hour)
		if s := a.State(); s != (resilience.AdmissionState{InFlight: 1, Waiting: 3, Limit: 2}) {
			t.Errorf("%+v", s)
		}
		// What was under way ends, and its place is for nobody.
		a.Release()
		var full *resilience.OverloadError
		if err := a.Acquire(t.Context()); !errors.As(err, &full) || !full.Paused || full.Reason != resilience.QueueFull || full.Ahead != 3 {
			t.Errorf("one more than may wait got %v", err)
		}
		a.Resume()
		a.Resume()
		synctest.Wait()
		if s := a.State(); s != (resilience.AdmissionState{InFlight: 2, Waiting: 1, Limit: 2}) {
			t.Errorf("after the pause: %+v", s)
		}
		// The time of the one that finds no place begins with the end of the pause.
		time.Sleep(time.Second - time.Nanosecond)
		if s := a.State(); s.Waiting != 1 {
			t.Errorf("it did not wait: %+v", s)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		admitted, late := 0, 0
		for range 3 {
			switch err := <-ended; {
			case err == nil:
				admitted++
			case errors.As(err, &full) && full.Reason == resilience.QueuedTooLong && !full.Paused:
				late++
			default:
				t.Error(err)
			}
		}
		if admitted != 2 || late != 1 {
			t.Errorf("%d were let in and %d waited too long", admitted, late)
		}
		// The hour has left no idea of a slow queue.
		go func() { _ = a.Acquire(t.Context()) }()
		synctest.Wait()
		if s := a.State(); s.Waiting != 1 {
			t.Errorf("a call was turned away: %+v", s)
		}
		a.Release()
		synctest.Wait()
	})
}

// TestPauseOfWaiters begins a pause while calls wait for a place: their time stops.
func TestPauseOfWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 1, time.Second)
		if err := a.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended := queueUp(t.Context(), t, a, 1)
		time.Sleep(time.Second / 2)
		a.Pause()
		time.Sleep(time.Minute)
		a.Resize(5, 5)
		synctest.Wait()
		if s := a.State(); s.Waiting != 1 || s.Limit != 5 {
			t.Errorf("%+v", s)
		}
		a.Resume()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestPauseEndsWithCall ends calls, and not their places, with their contexts.
func TestPauseEndsWithCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 1, time.Second)
		a.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := a.Acquire(ctx)
		if !errors.Is(err, resilience.ErrPaused) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		a.Resume()
		if s := a.State(); s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestRefuse ends the wait of all, and of those who come.
func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission(1, 2, time.Second)
		a.Refuse() // without a pause, nothing
		if err := a.Acquire(t.Context()); err != nil {
			t.Error(err)
		}
		a.Pause()
		ended := queueUp(t.Context(), t, a, 2)
		a.Refuse()
		for range 2 {
			if err := <-ended; !errors.Is(err, resilience.ErrEnding) {
				t.Error(err)
			}
		}
		if err := a.Acquire(t.Context()); !errors.Is(err, resilience.ErrEnding) {
			t.Error(err)
		}
		a.Release()
		a.Resume()
		if err := a.Acquire(t.Context()); err != nil {
			t.Error(err)
		}
		a.Release()
	})
}

// TestPauser pauses several, until it is told or the time is over.
func TestPauser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends []resilience.PauseState
		p := resilience.NewPauser(func(s resilience.PauseState) { ends = append(ends, s) })
		a, b := admission(1, 5, time.Second), admission(1, 5, time.Second)
		p.Add(a)
		if s := p.Resume(); s != (resilience.PauseState{}) {
			t.Errorf("without a pause: %+v", s)
		}
		began := time.Now()
		if s, err := p.Pause(0); err != nil || s != (resilience.PauseState{Began: began}) {
			t.Errorf("%+v, %v", s, err)
		}
		p.Add(b) // comes later, and is paused as well
		first, second := queueUp(t.Context(), t, a, 1), queueUp(t.Context(), t, b, 1)
		time.Sleep(48 * time.Hour) // for ever
		if s := p.State(); s != (resilience.PauseState{Began: began, Waiting: 2}) {
			t.Errorf("%+v", s)
		}
		// A second one changes the end of the first, longer and shorter.
		for _, most := range []time.Duration{time.Hour, time.Minute} {
			if s, err := p.Pause(most); err != nil || s.Began != began || s.Ends != time.Now().Add(most) {
				t.Errorf("%+v, %v", s, err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(ends) != 1 || ends[0].Waiting != 2 || p.State() != (resilience.PauseState{}) {
			t.Errorf("ended %+v, and is %+v", ends, p.State())
		}
		for _, ended := range []<-chan error{first, second} {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		a.Release()

		// Resume stops the clock.
		if _, err := p.Pause(time.Minute); err != nil {
			t.Error(err)
		}
		if s := p.Resume(); s.Began != time.Now() {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour)
		if len(ends) != 1 {
			t.Error("a pause ended that was over")
		}

		if _, err := p.Pause(time.Minute); err != nil {
			t.Error(err)
		}
		third := queueUp(t.Context(), t, a, 1)
		p.Refuse()
		if err := <-third; !errors.Is(err, resilience.ErrEnding) {
			t.Error(err)
		}
		if _, err := p.Pause(0); !errors.Is(err, resilience.ErrEnding) {
			t.Error(err)
		}
		if s := p.State(); s.Began.IsZero() {
			t.Error("the pause is over")
		}
	})
}
