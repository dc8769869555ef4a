package history_test

import (
	"sync"
	"sync/atomic"

	"qdrant-sidecar/internal/faultwire"
)

// call is what its caller knows of a call. Times are readings of the history's
// clock.
type call struct {
	number    int
	operation operation
	// conn is the client's connection that it was made on.
	conn              int
	invoked, returned int64
	// abandoned says that the caller's own cancel or deadline ended it, or might
	// have: the sidecar learns of it after the caller.
	abandoned bool
	// ok is status OK, and told what the answer says.
	ok   bool
	told result
	// application is the one that the answer names, and comes from; 0 when it names
	// none. There may be one without ok: "already exists" is an answer, too.
	application int
}

// attempt is what the upstream knows of one stream.
type attempt struct {
	call int
	// link is the connection, counted from 1; stream its number there, which the
	// sidecar gave out in the order in which it opened them.
	link   int
	stream uint32
	// retry says that the sidecar called it one (grpc-previous-rpc-attempts).
	retry bool
	fault string
	// disclaimed says that the sidecar was told that nothing was done, and truly.
	disclaimed bool
}

// application is one change of, or look at, the upstream's state.
type application struct {
	number    int // from 1
	call      int
	operation operation
	told      result
	at        int64
}

// record is a whole history, as the judges read it.
type record struct {
	calls        []call // by number
	attempts     []attempt
	applications []application // by number, from 1
	// quiet are the times at which nothing was under way, in order; the last one
	// is after every call.
	quiet []int64
}

// history is a record being written, by any goroutine.
type history struct {
	clock atomic.Int64

	mu      sync.Mutex
	record  record
	streams []*faultwire.Stream // of the attempts
	links   map[*faultwire.Conn]int
	arrived map[int]int // attempts by call
	proofs  map[int]bool
}

func newHistory() *history {
	return &history{links: map[*faultwire.Conn]int{}, arrived: map[int]int{}, proofs: map[int]bool{}}
}

// now reads the clock, which ticks with every reading: of two readings of which
// one happened before the other, it is the smaller.
func (h *history) now() int64 { return h.clock.Add(1) }

func (h *history) invoke(o operation, conn int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	number := len(h.record.calls)
	h.record.calls = append(h.record.calls, call{number: number, operation: o, conn: conn, invoked: h.now()})
	return number
}

// finish notes how a call returned. The time is read first, so that nothing of
// ours that comes after the return counts as before it.
func (h *history) finish(number int, how call) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &h.record.calls[number]
	c.returned, c.abandoned, c.ok, c.application, c.told = now, how.abandoned, how.ok, how.application, how.told
}

// arrive notes a stream and returns the attempt's number, and which of its call's
// attempts it is, from 1.
func (h *history) arrive(s *faultwire.Stream, number int, retry bool) (index, nth int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	link, ok := h.links[s.Conn()]
	if !ok {
		link = len(h.links) + 1
		h.links[s.Conn()] = link
	}
	h.arrived[number]++
	h.streams = append(h.streams, s)
	h.record.attempts = append(h.record.attempts, attempt{call: number, link: link, stream: s.ID, retry: retry})
	return len(h.streams) - 1, h.arrived[number]
}

// suffered notes what an attempt met with; proof, that its answer said by its text
// that nothing was done.
func (h *history) suffered(index int, fault string, proof bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record.attempts[index].fault = fault
	h.proofs[index] = proof
}

// intent is what the caller wanted.
func (h *history) intent(number int) (operation, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if number < 0 || number >= len(h.record.calls) {
		return operation{}, false
	}
	return h.record.calls[number].operation, true
}

// applied notes an application and returns its number. The caller holds the lock
// of the state, so that numbers and times are in the order of the state's changes.
func (h *history) applied(number int, o operation, told result) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.record.applications) + 1
	h.record.applications = append(h.record.applications, application{n, number, o, told, h.now()})
	return n
}

// rest notes that nothing is under way.
func (h *history) rest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record.quiet = append(h.record.quiet, h.now())
}

// close returns the record. Nothing may come after it.
func (h *history) close() record {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, s := range h.streams {
		h.record.attempts[i].disclaimed = s.Disclaimed() || h.proofs[i]
	}
	return h.record
}
