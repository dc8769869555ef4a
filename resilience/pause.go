package resilience

import (
	"errors"
	"sync"
	"time"
)

// ErrPaused is in the errors of those whose wait for the end of a pause was in vain.
var ErrPaused = errors.New("calls are paused")

// ErrEnding is what those get who wait for the end of a pause when the process ends.
var ErrEnding = errors.New("the process ends, and calls are paused")

// pause is that of an [Admission], under its lock.
type pause struct {
	// resumed is closed when it ends; nil while there is none.
	resumed chan struct{}
	// refusing says that nobody is to wait for that any more.
	refusing bool
}

func (p *pause) on() bool { return p.resumed != nil }

// Pause lets nobody in any more until Resume. They wait in the queue, whose length is
// bounded as ever, but for as long as their contexts let them: those who wait already,
// too.
func (a *Admission) Pause() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.pause.on() {
		a.pause.resumed = make(chan struct{})
		a.limit.Store(0)
	}
}

// Resume ends a pause. For those who do not get a place at once the time that they may
// wait begins anew.
func (a *Admission) Resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.pause.on() {
		return
	}
	a.limit.Store(int64(a.places))
	a.admitLocked()
	// How long the pause was, and how fast it ended, says nothing about the upstream.
	a.pace = pace{last: time.Now(), places: a.places}
	close(a.pause.resumed)
	a.pause = pause{}
}

// Refuse has all whom a pause makes wait, now or later, fail with [ErrEnding]. It
// does nothing while there is none.
func (a *Admission) Refuse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.pause.on() {
		return
	}
	a.pause.refusing = true
	for a.queue.len > 0 {
		w := a.queue.pop()
		a.waiting.Add(-1)
		w.refused = ErrEnding
		close(w.served)
	}
}

// PauseState is a pause, seen from outside. The zero value is none.
type PauseState struct {
	// Began is when it did; zero for no pause.
	Began time.Time
	// Ends is when it does by itself; zero for never.
	Ends time.Time
	// Waiting is how many wait for that.
	Waiting int
}

// Pauser pauses Admissions together. Safe for concurrent use.
type Pauser struct {
	// ended is told of each pause that has ended by itself.
	ended func(PauseState)

	mu         sync.Mutex
	admissions []*Admission
	present    PauseState
	end        *time.Timer
	refusing   bool
}

// NewPauser returns a Pauser that pauses nothing yet. ended is told, under no lock, of
// a pause that has ended because its time was over.
func NewPauser(ended func(PauseState)) *Pauser { return &Pauser{ended: ended} }

// Add has an Admission be paused with the others.
func (p *Pauser) Add(a *Admission) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.admissions = append(p.admissions, a)
	if !p.present.Began.IsZero() {
		a.Pause()
	}
}

// Pause begins a pause that ends by itself after most, 0 for never; or changes when
// the present one does. The error is [ErrEnding], after Refuse.
func (p *Pauser) Pause(most time.Duration) (PauseState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusing {
		return PauseState{}, ErrEnding
	}
	now := time.Now()
	if p.present.Began.IsZero() {
		p.present.Began = now
		for _, a := range p.admissions {
			a.Pause()
		}
	}
	p.stopTimer()
	p.present.Ends = time.Time{}
	if most > 0 {
		p.present.Ends = now.Add(most)
		p.end = time.AfterFunc(most, func() { p.timeIsOver(now.Add(most)) })
	}
	return p.stateLocked(), nil
}

// timeIsOver ends the pause that was to end then, unless that has changed meanwhile.
func (p *Pauser) timeIsOver(ends time.Time) {
	p.mu.Lock()
	if !p.present.Ends.Equal(ends) {
		p.mu.Unlock()
		return
	}
	was := p.resumeLocked()
	p.mu.Unlock()
	p.ended(was)
}

// Resume ends the pause and returns it as it was; the zero value if there was none.
func (p *Pauser) Resume() PauseState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resumeLocked()
}

func (p *Pauser) resumeLocked() PauseState {
	was := p.stateLocked()
	p.stopTimer()
	p.present = PauseState{}
	for _, a := range p.admissions {
		a.Resume()
	}
	return was
}

// Refuse has those who wait, or would, fail with [ErrEnding], and forbids further
// pauses. A present one goes on.
func (p *Pauser) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = true
	p.stopTimer()
	for _, a := range p.admissions {
		a.Refuse()
	}
}

// State returns the present pause; the zero value for none.
func (p *Pauser) State() PauseState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stateLocked()
}

func (p *Pauser) stateLocked() PauseState {
	s := p.present
	if s.Began.IsZero() {
		return s
	}
	for _, a := range p.admissions {
		s.Waiting += a.State().Waiting
	}
	return s
}

func (p *Pauser) stopTimer() {
	if p.end != nil {
		p.end.Stop()
		p.end = nil
	}
}
