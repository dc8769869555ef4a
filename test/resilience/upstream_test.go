package resilience_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

// callField names the call that a request belongs to. The sidecar passes it on, as
// it does all metadata.
const callField = "x-call"

// script is how the attempts of one call are served.
type script struct {
	fault faultwire.Fault
	// first is how many attempts meet the fault; 0 is all of them. The others meet later.
	first int
	later faultwire.Fault
	// answerBytes is the size of the answer; 0 is as the request.
	answerBytes int
}

// scripted is an upstream that serves each call by the script of its name, and
// counts. A call without one is answered.
type scripted struct {
	*faultwire.Server

	mu       sync.Mutex
	scripts  map[string]script
	arrived  map[string]int
	previous map[string][]string // what attempts said of those before them
}

func newScripted(t testing.TB, settings ...http2.Setting) *scripted {
	t.Helper()
	u := &scripted{scripts: map[string]script{}, arrived: map[string]int{}, previous: map[string][]string{}}
	u.Server = &faultwire.Server{Handler: u.handle, Settings: append(faultwire.QdrantSettings(), settings...)}
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

func (u *scripted) url() string { return "http://" + u.Addr() }

// on gives a call its script before it is made.
func (u *scripted) on(name string, s script) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scripts[name] = s
}

// attempts returns how many attempts of a call have arrived.
func (u *scripted) attempts(name string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.arrived[name]
}

// toldOf returns what the attempts of a call said of those before.
func (u *scripted) toldOf(name string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.previous[name]
}

func (u *scripted) handle(s *faultwire.Stream) {
	name := s.Request.Fields.Get(callField)
	if name == "" {
		s.Answer(nil) // a call that only makes up the numbers
		return
	}
	u.mu.Lock()
	u.arrived[name]++
	u.previous[name] = append(u.previous[name], s.Request.Fields.Get("grpc-previous-rpc-attempts"))
	n, script := u.arrived[name], u.scripts[name]
	u.mu.Unlock()

	fault := script.fault
	if script.first > 0 && n > script.first {
		fault = script.later
	}
	fault.Play(s, func(request []byte) faultwire.Reply {
		if script.answerBytes > 0 {
			request = make([]byte, script.answerBytes)
		}
		return faultwire.Reply{Message: request, Trailer: faultwire.Pairs("x-attempt", strconv.Itoa(n))}
	})
}

// together has calls go on when n of them have come.
func together(n int64) faultwire.Act {
	all := make(chan struct{})
	var come atomic.Int64
	wait := onceClosed(all)
	return func(s *faultwire.Stream) bool {
		if come.Add(1) == n {
			close(all)
		}
		return wait(s)
	}
}

// onceClosed has a call go on when a channel is closed.
func onceClosed(c <-chan struct{}) faultwire.Act {
	return func(s *faultwire.Stream) bool {
		select {
		case <-c:
			return true
		case <-s.Context().Done():
			return false
		}
	}
}
