package history_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/faultwire"
)

// Metadata of the test's own. The sidecar passes it on, as it does all metadata.
const (
	callHeader    = "x-call-number"        // of a request: the call's number
	appliedHeader = "x-application-number" // of an answer: the application that it comes from
	retryHeader   = "grpc-previous-rpc-attempts"
)

// upstream is a Qdrant as small as can be, on a wire that misbehaves.
type upstream struct {
	server  *faultwire.Server
	history *history
	plan    *faultwire.Plan
	byPath  map[string]rpc
	calm    atomic.Bool // no faults
	busy    atomic.Int64

	mu     sync.Mutex
	states map[string]string // by register
	broken []string          // what should be impossible
}

func startUpstream(t *testing.T, h *history, seed uint64) *upstream {
	t.Helper()
	u := &upstream{history: h, plan: faultwire.NewPlan(seed, misfortunes()...), byPath: map[string]rpc{}, states: map[string]string{}}
	for _, r := range rpcs() {
		u.byPath[r.path] = r // kinds of the same path are told apart by their requests
	}
	u.server = &faultwire.Server{
		Handler: u.handle,
		// So few that the sidecar needs several connections, and the loss of one
		// does not take all calls with it.
		Settings: append(faultwire.QdrantSettings(), maxStreams(8)),
	}
	if err := u.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.server.Close(); err != nil {
			t.Error(err)
		}
		for _, what := range u.broken {
			t.Error(what)
		}
	})
	return u
}

func (u *upstream) handle(s *faultwire.Stream) {
	number, err := strconv.Atoi(s.Request.Fields.Get(callHeader))
	if err != nil {
		s.Answer(nil) // the sidecar asks for our health
		return
	}
	u.busy.Add(1)
	defer u.busy.Add(-1)
	index, nth := u.history.arrive(s, number, s.Request.Fields.Get(retryHeader) != "")
	fault := faultwire.Fault{Name: "no faults in this time"}
	if !u.calm.Load() {
		fault = u.plan.Draw(strconv.Itoa(number) + "/" + strconv.Itoa(nth))
	}
	reached := fault.Play(s, func(request []byte) faultwire.Reply {
		return u.apply(number, s.Request.Fields.Get(":path"), request)
	})
	u.history.suffered(index, fault.Name, proving(fault.Name) && reached == faultwire.Received)
}

// apply is the state machine.
func (u *upstream) apply(number int, path string, request []byte) faultwire.Reply {
	intent, known := u.history.intent(number)
	r, served := u.byPath[path]
	if !known || !served {
		return u.impossible("call " + strconv.Itoa(number) + " of " + path + " is nobody's")
	}
	message := r.emptyRequest()
	if err := proto.Unmarshal(request, message); err != nil {
		return u.impossible("the request of " + intent.String() + " arrived as something else: " + err.Error())
	}
	o := r.operation(message)
	if o.kind == listAliases {
		// It asks for all of them. We answer with the one that its caller will look
		// for, because its register's history is all that is judged.
		o.register = intent.register
	}
	u.mu.Lock()
	next, told := o.step(u.states[o.register])
	u.states[o.register] = next
	n := u.history.applied(number, o, told)
	u.mu.Unlock()

	reply := faultwire.Reply{Trailer: faultwire.Pairs(appliedHeader, strconv.Itoa(n))}
	answer, err := r.reply(o, told)
	if err != nil {
		reply.Code, reply.Text = int(status.Code(err)), status.Convert(err).Message()
		return reply
	}
	if reply.Message, err = proto.Marshal(answer); err != nil {
		return u.impossible(err.Error())
	}
	return reply
}

func (u *upstream) impossible(what string) faultwire.Reply {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.broken = append(u.broken, what)
	return faultwire.Reply{Code: 13, Text: "impossible"}
}

// rest waits until no call is being served, puts that on record, and begins a time
// without faults.
func (u *upstream) rest(t *testing.T) {
	t.Helper()
	u.calm.Store(true)
	until(t, "the upstream to be idle", func() bool { return u.busy.Load() == 0 })
	u.history.rest()
}

// until polls for what nobody announces.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
