package tap

import "sync"

// maxRecent is how many failures are remembered: a screen full.
const maxRecent = 64

// ring remembers the calls that failed last.
type ring struct {
	mu    sync.Mutex
	calls [maxRecent]Call
	// added is how many ever were.
	added int
}

func (r *ring) add(c *Call) {
	kept := *c
	kept.Request, kept.Answer = nil, nil
	if !kept.Own {
		kept.Message = ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[r.added%maxRecent] = kept
	r.added++
}

// all returns them, the newest first.
func (r *ring) all() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	var calls []Call
	for i := r.added - 1; i >= 0 && i >= r.added-maxRecent; i-- {
		calls = append(calls, r.calls[i%maxRecent])
	}
	return calls
}
