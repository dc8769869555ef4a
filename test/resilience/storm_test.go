package resilience_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// recovers is how long after the upstream is back calls succeed again.
const recovers = 2 * time.Second

// stormAmplification is the most attempts, dials included, for each call that begins
// while the upstream is down.
const stormAmplification = 1.25

// ended is how a call went; times are from the storm's beginning.
type ended struct {
	begun, took time.Duration
	code        codes.Code
	message     string
}

// storm makes calls at a rate, whatever becomes of those before.
type storm struct {
	start time.Time
	call  func(method string) (codes.Code, string)

	calls sync.WaitGroup
	mu    sync.Mutex
	all   []ended
}

func (s *storm) one() {
	method := []string{readPath, readPath, writePath, unsafePath}[rand.N(4)]
	e := ended{begun: time.Since(s.start)}
	e.code, e.message = s.call(method)
	e.took = time.Since(s.start) - e.begun
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, e)
}

// blow begins so many calls a second, and returns how many it were. Where the machine
// is slow it takes longer.
func (s *storm) blow(d time.Duration, rate int) (n int) {
	pause := time.Second / time.Duration(rate)
	n = int(d / pause)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for range n {
		s.calls.Go(s.one)
		<-tick.C
	}
	return n
}

// check logs the figures and holds them against what is promised. The upstream was down from fell to rose, in which time n
// calls began and so many attempts and dials were seen.
func (s *storm) check(t *testing.T, fell, rose time.Duration, n int, attempts, dials int64, normal time.Duration) {
	t.Helper()
	good, last, text := 0, rose, "none"
	for _, e := range s.all {
		switch {
		case e.code == codes.OK:
			good++
		case e.begun > last:
			last, text = e.begun, fmt.Sprint(e.code, " ", e.message)
		case e.begun+e.took < fell:
			t.Errorf("before the outage: %v %s", e.code, e.message)
		}
	}
	amplification := float64(attempts+dials) / float64(n)
	t.Logf("of %d calls in the outage %d attempts and %d dials arrived, %.3f a call; the last call to fail began %v after the return: %s; %d of %d calls succeeded in all",
		n, attempts, dials, amplification, (last - rose).Round(time.Millisecond), text, good, len(s.all))
	if amplification >= stormAmplification {
		t.Errorf("%.3f attempts a call, want less than %v", amplification, stormAmplification)
	}
	if last-rose > normal {
		t.Errorf("a call that began %v after the upstream's return failed: %s", last-rose, text)
	}
}

// stormUpstream answers each call after a moment, unless it is held or not well.
type stormUpstream struct {
	mu      sync.Mutex
	healthy chan struct{} // closed while nothing is wrong
	failing error         // what it answers while something is; nil for nothing at all
	cut     func()        // what it does instead; nil for nothing at all
}

func (u *stormUpstream) serve(ctx context.Context, method string) error {
	if method == healthPath {
		return nil
	}
	time.Sleep(10 * time.Millisecond)
	u.mu.Lock()
	healthy, failing, cut := u.healthy, u.failing, u.cut
	u.mu.Unlock()
	if failing != nil {
		return failing
	}
	if cut != nil {
		cut()
	}
	select {
	case <-healthy:
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.failing // of those who were held
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold has calls wait; fail answers those and all others with an error; drop has calls
// cut connections; recover ends each, and those who wait are answered.
func (u *stormUpstream) hold() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.healthy = make(chan struct{})
}

func (u *stormUpstream) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failing = err
	close(u.healthy)
}

func (u *stormUpstream) drop(cut func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cut = cut
}

func (u *stormUpstream) recover() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cut = nil
	if u.failing != nil || u.healthy == nil {
		u.failing, u.healthy = nil, make(chan struct{})
	}
	close(u.healthy)
}

// outage is a way to be down for ten seconds.
type outage struct {
	name       string
	fall, rise func(*rig, *stormUpstream)
	// normal is how long after the end no call fails any more. That of an upstream
	// which cannot be reached is noticed by the first connection. Of one that can all
	// the time nobody knows before a call has tried, which is every 5 s at the least.
	normal time.Duration
	// scale divides the number of calls.
	scale int
	// again says that those who wait are tried again in the outage, too.
	again bool
}

// TestStorm takes the upstream down when 3,000 callers wait for it, with 500 more
// calls each second.
func TestStorm(t *testing.T) {
	t.Parallel()
	for _, o := range []outage{
		{
			"killed",
			func(r *rig, _ *stormUpstream) { r.kill() },
			func(r *rig, up *stormUpstream) { up.recover(); r.revive() },
			2 * time.Second, 1, false,
		},
		{
			"takes calls and drops them with their connections",
			func(r *rig, up *stormUpstream) { up.drop(r.cut); r.cut() },
			func(_ *rig, up *stormUpstream) { up.recover() },
			5 * time.Second, 1, false,
		},
		{
			"answers UNAVAILABLE",
			func(_ *rig, up *stormUpstream) {
				up.fail(status.Error(codes.Unavailable, "Service unavailable: starting"))
			},
			func(_ *rig, up *stormUpstream) { up.recover() },
			5 * time.Second, 10, false,
		},
		{
			"hangs",
			func(*rig, *stormUpstream) {},
			func(_ *rig, up *stormUpstream) { up.recover() },
			5 * time.Second, 10, true,
		},
	} {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, o.run)
		})
	}
}

func (o outage) run(t *testing.T) {
	rate, waiting, poolSize := 500/o.scale, 3000/o.scale, 35
	up := &stormUpstream{}
	up.recover()
	r := newRig(t, defaults(poolSize), poolSize, up.serve)
	s := &storm{start: time.Now(), call: func(method string) (codes.Code, string) {
		return r.call(t.Context(), method, "grpc-timeout", "20S")
	}}
	s.blow(time.Second, rate)
	up.hold()
	for range waiting {
		s.calls.Go(s.one)
	}
	time.Sleep(time.Second)
	if n := r.server.InFlight(); n < waiting {
		t.Errorf("only %d callers wait", n)
	}
	dials, attempts := r.dials.Load(), r.arrivals.Load()
	fell := time.Since(s.start)
	o.fall(r, up)
	n := s.blow(10*time.Second, rate)
	dials, attempts = r.dials.Load()-dials, r.arrivals.Load()-attempts
	o.rise(r, up)
	rose := time.Since(s.start)
	s.blow(o.normal+time.Second, rate)
	s.calls.Wait()
	if o.again {
		n += waiting
	}
	s.check(t, fell, rose, n, attempts, dials, o.normal)
}

// TestStormForReal is the same through the binary, on a small scale: the upstream
// takes connections and ends them. How soon all is well again is for fake time; here
// it is, and stays so.
func TestStormForReal(t *testing.T) {
	t.Parallel()
	const rate, waiting = 100, 200
	var down, holding atomic.Bool
	var attempts atomic.Int64
	up := &faultwire.Server{
		Greet: func(int) faultwire.Greeting {
			if down.Load() {
				return faultwire.Refuse
			}
			return faultwire.SpeakHTTP2
		},
		Handler: func(s *faultwire.Stream) {
			attempts.Add(1)
			if !holding.Load() {
				faultwire.Fault{}.Play(s, func([]byte) faultwire.Reply { return faultwire.Reply{} })
			}
		},
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { up.Close() })
	// Those who wait have time until all of them have come.
	side := sidecar.Start(t, sidecar.Options{Upstream: "http://" + up.Addr(), Args: unhurried()})
	c := dial(t, side.GRPC)
	s := &storm{start: time.Now(), call: func(method string) (codes.Code, string) {
		a := c.call(method, "", nil)
		return a.code, a.message
	}}
	s.blow(time.Second/2, rate)
	holding.Store(true)
	for range waiting {
		s.calls.Go(s.one)
	}
	arrived := attempts.Load()
	until(t, "callers to wait", func() bool { return attempts.Load() >= arrived+waiting })
	fell := time.Since(s.start)
	down.Store(true)
	dials, arrived := up.Stats().Connections, attempts.Load()
	for _, conn := range up.Conns() {
		conn.Abort()
	}
	n := s.blow(3*time.Second, rate)
	newDials, arrived := int64(up.Stats().Connections-dials), attempts.Load()-arrived
	holding.Store(false)
	recovery := func() time.Duration {
		down.Store(false)
		back := time.Now()
		for _, method := range []string{readPath, writePath, unsafePath} {
			until(t, method+" to succeed again", func() bool { code, _ := s.call(method); return code == codes.OK })
		}
		return time.Since(back)
	}
	took := recovery()
	rose := time.Since(s.start)
	s.blow(time.Second, rate)
	s.calls.Wait()
	s.check(t, fell, rose, n, arrived, newDials, 0)
	// At best: a slow machine is not slow all of the time.
	for range 4 {
		if took <= recovers {
			break
		}
		down.Store(true)
		for _, conn := range up.Conns() {
			conn.Abort()
		}
		until(t, "a call to fail", func() bool { code, _ := s.call(readPath); return code != codes.OK })
		took = min(took, recovery())
	}
	if took > recovers {
		t.Errorf("it took %v to recover, want %v at most", took, recovers)
	}
}
