package resilience_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"qdrant-sidecar/resilience"
)

// breakerModel is a breaker as one would write it to be read: everything that has
// happened, and what follows from it.
type breakerModel struct {
	threshold int
	state     resilience.State // half-open only while it has let a probe through
	period    int              // counts openings and closings
	began     time.Time        // of the period
	results   []modelResult    // of the period, closed
	inARow    int
	openFor   time.Duration
	alone     bool
	openings  int
	probe     *modelPermit // the one that keeps others out
	probeEnds time.Time
}

type modelResult struct {
	second int // since the period began
	ok     bool
}

type modelPermit struct {
	period int
	probe  bool
}

func (m *breakerModel) allow(now time.Time) *modelPermit {
	p := &modelPermit{period: m.period}
	if m.state == resilience.Closed {
		return p
	}
	if m.state == resilience.Open && m.remaining(now) >= 0 || m.probe != nil && !now.After(m.probeEnds) {
		return nil
	}
	p.probe = true
	m.state, m.probe, m.probeEnds = resilience.HalfOpen, p, now.Add(5*time.Second)
	return p
}

func (m *breakerModel) remaining(now time.Time) time.Duration {
	openFor := m.openFor
	if m.alone {
		openFor = min(openFor, 5*time.Second)
	}
	return m.began.Add(max(openFor, 1)).Sub(now)
}

func (m *breakerModel) done(p *modelPermit, fault resilience.Fault, now time.Time) {
	if p.period != m.period {
		return
	}
	if p == m.probe {
		m.probe = nil
	}
	switch {
	case fault == resilience.Unproven, fault == resilience.Aside && m.state == resilience.Closed:
		return
	case fault != resilience.Upstream:
		m.inARow = 0
	default:
		m.inARow++
	}
	ok := fault != resilience.Upstream
	if m.state != resilience.Closed {
		m.move(ok, now)
		return
	}
	second := int(now.Sub(m.began) / time.Second)
	m.results = append(m.results, modelResult{second, ok})
	all, good := 0, 0
	for _, r := range m.results {
		if second-r.second < 10 {
			all++
			if r.ok {
				good++
			}
		}
	}
	if !ok && (m.inARow >= m.threshold || all >= 20 && good*5 < all*4) {
		m.move(false, now)
	}
}

// move closes or opens it.
func (m *breakerModel) move(closed bool, now time.Time) {
	m.period++
	m.began, m.results, m.probe = now, nil, nil
	if closed {
		m.state, m.openings = resilience.Closed, 0
		return
	}
	m.openFor = time.Minute
	if m.openings < 6 {
		m.openFor = time.Second << m.openings
	}
	m.state = resilience.Open
	m.openings++
}

func (m *breakerModel) recovered() {
	if m.state != resilience.Closed {
		m.openFor, m.probe = 0, nil
	}
}

// inBubble runs one check of a property in a bubble of its own. rapid speaks by
// panics, which have to get out of it.
func inBubble(t *testing.T, rt *rapid.T, check func(*rapid.T)) {
	var said any
	synctest.Test(t, func(*testing.T) {
		defer func() { said = recover() }()
		check(rt)
	})
	if said != nil {
		panic(said)
	}
}

func TestBreakerModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, rt, func(t *rapid.T) {
			threshold := rapid.IntRange(1, 30).Draw(t, "threshold")
			real := open1(resilience.BreakerConfig{Threshold: threshold})
			model := &breakerModel{threshold: threshold, began: time.Now()}
			type permit struct {
				real  resilience.Permit
				model *modelPermit
			}
			var underWay []permit
			allow := func(t *rapid.T) bool {
				p, err := real.Allow(0)
				want := model.allow(time.Now())
				if (err == nil) != (want != nil) {
					t.Fatalf("allowed: %v; by the model: %t", err, want != nil)
				}
				if err != nil {
					refused, ok := errors.AsType[*resilience.OpenError](err)
					if !ok || refused.Probing != (model.probe != nil) || refused.Remaining < 0 {
						t.Fatalf("refused with %#v", err)
					}
					return false
				}
				underWay = append(underWay, permit{p, want})
				return true
			}
			done := func(i int, fault resilience.Fault) {
				p := underWay[i]
				underWay = append(underWay[:i], underWay[i+1:]...)
				p.real.Done(fault)
				model.done(p.model, fault, time.Now())
			}
			// Mostly clear results, for something to happen.
			fault := rapid.SampledFrom([]resilience.Fault{
				resilience.Unproven, resilience.NoFault, resilience.NoFault, resilience.Caller, resilience.Aside,
				resilience.Upstream, resilience.Upstream, resilience.Upstream,
			})
			t.Repeat(map[string]func(*rapid.T){
				"allow": func(t *rapid.T) { allow(t) },
				"done": func(t *rapid.T) {
					if len(underWay) == 0 {
						t.Skip("nothing under way")
					}
					done(rapid.IntRange(0, len(underWay)-1).Draw(t, "which"), fault.Draw(t, "fault"))
				},
				"attempts": func(t *rapid.T) {
					f := fault.Draw(t, "fault")
					for range rapid.IntRange(1, 20).Draw(t, "times") {
						if allow(t) {
							done(len(underWay)-1, f)
						}
					}
				},
				"pass": func(t *rapid.T) {
					time.Sleep(rapid.SampledFrom([]time.Duration{1, 2, time.Millisecond, 300 * time.Millisecond,
						time.Second, 1700 * time.Millisecond, 5*time.Second + 1, 11 * time.Second, time.Minute + 1}).Draw(t, "time"))
				},
				"alone": func(t *rapid.T) {
					model.alone = !model.alone
					real.SetAlone(model.alone)
				},
				"recovered": func(t *rapid.T) {
					real.Recovered()
					model.recovered()
				},
				"": func(t *rapid.T) {
					got := real.Status()[0]
					want := resilience.Status{Method: got.Method, State: model.state, Failures: model.inARow}
					if model.state == resilience.Open {
						want.Remaining = model.remaining(time.Now())
						if want.Remaining < 0 {
							want.State, want.Remaining = resilience.HalfOpen, 0
						}
					}
					if got != want {
						t.Fatalf("status %+v, want %+v", got, want)
					}
				},
			})
		})
	})
}
