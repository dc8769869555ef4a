package load

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pace begins calls at even times until the run stops. It sleeps in the kernel,
// because the runtime's own timers are late by up to a millisecond on an idle
// machine, and that is more than what is measured.
func pace(rate int, sessions []*session, state *phase) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel may round a sleep up by the thread's slack, 50 microseconds
	// unless it is told otherwise; 0 brings that back.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return err
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }()
	interval := time.Second / time.Duration(rate)
	due := time.Now()
	for i := 0; !state.stopping.Load(); i++ {
		due = due.Add(interval)
		for d := time.Until(due); d > 0; d = time.Until(due) {
			ts := unix.NsecToTimespec(int64(d))
			_ = unix.Nanosleep(&ts, nil) // interrupted, it goes on
		}
		if s := sessions[i%len(sessions)]; !s.ended() {
			if err := s.begin(due); err != nil {
				return err
			}
		}
	}
	return nil
}
