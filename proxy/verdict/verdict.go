// Package verdict says what statistics mean: is it Qdrant, the network, the app, or
// how the sidecar is set up? It is a pure function, so that every conclusion can be
// tested, and so that the page, the command line and whoever asks the admin API hear
// the same.
package verdict

import (
	"fmt"
	"slices"
	"time"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/human"
)

// The culprits, under shorter names.
const (
	nobody   = adminv1.Finding_CULPRIT_NONE
	qdrant   = adminv1.Finding_CULPRIT_QDRANT
	network  = adminv1.Finding_CULPRIT_NETWORK
	app      = adminv1.Finding_CULPRIT_APP
	settings = adminv1.Finding_CULPRIT_SETTINGS
)

// rules are asked in this order, in which what explains others comes first: a node
// that is sick opens breakers; an open breaker makes calls fail; a Qdrant that is slow
// fills the queue and lets deadlines pass.
var rules = []func(*view) *adminv1.Finding{
	keyRefused,
	sickNode,
	breakerOpen,
	goAwayStorm,
	shortDeadlines,
	poolTooSmall,
	slowNetwork,
	slowQdrant,
	cancelling,
	connectionsLost,
	qdrantFails,
	badRequests,
}

// Of returns what there is to say about statistics, the most telling first, and at
// least one thing. The statistics' own findings are not looked at.
func Of(s *adminv1.Statistics) []*adminv1.Finding {
	v := newView(s)
	for _, rule := range []func(*view) *adminv1.Finding{paused, unreachable, drained} {
		if f := rule(v); f != nil {
			return []*adminv1.Finding{f} // all else follows from it
		}
	}
	var found []*adminv1.Finding
	for _, rule := range rules {
		if f := rule(v); f != nil {
			found = append(found, f)
		}
	}
	if found == nil {
		found = append(found, well(v))
	}
	return found
}

// view is statistics as the rules look at them.
type view struct {
	*adminv1.Statistics
	calls int64
	codes map[string]int64
	// failures are those that ended in the window.
	failures []*adminv1.FailedCall
	// roundTrip is the network's time, and healthCheck that of a Qdrant which has nothing
	// to do for it: those of the farthest node that is in use. 0 when nobody knows.
	roundTrip, healthCheck time.Duration
}

func newView(s *adminv1.Statistics) *view {
	v := &view{Statistics: s, calls: s.GetTotal().GetCalls(), codes: map[string]int64{}}
	for _, e := range s.GetTotal().GetErrors() {
		v.codes[e.GetCode()] += e.GetCalls()
	}
	since := s.GetTime().AsTime().Add(-s.GetWindow().AsDuration())
	for _, f := range s.GetLastFailures() {
		if f.GetTime().AsTime().After(since) {
			v.failures = append(v.failures, f)
		}
	}
	for _, n := range s.GetNodes() {
		if ready(n) > 0 {
			v.roundTrip = max(v.roundTrip, n.GetRoundTrip().AsDuration())
			v.healthCheck = max(v.healthCheck, n.GetHealthCheck().AsDuration())
		}
	}
	return v
}

// ready is how many connections of a node take calls.
func ready(n *adminv1.Node) int {
	count := 0
	for _, c := range n.GetConnections() {
		if c.GetState() == adminv1.Connection_STATE_READY {
			count++
		}
	}
	return count
}

// share reports whether so many calls are at least that percentage of all.
func (v *view) share(calls int64, percent float64) bool {
	return calls > 0 && float64(calls)*100 >= percent*float64(v.calls)
}

// failed are the recent failures that have something in common.
func (v *view) failed(is func(*adminv1.FailedCall) bool) []*adminv1.FailedCall {
	return slices.Collect(func(yield func(*adminv1.FailedCall) bool) {
		for _, f := range v.failures {
			if is(f) && !yield(f) {
				return
			}
		}
	})
}

// median returns the middle one; 0 for that of nothing.
func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func (v *view) window() string { return human.Duration(v.GetWindow().AsDuration()) }

// well is said when there is nothing to complain of.
func well(v *view) *adminv1.Finding {
	switch {
	case v.calls > 0:
		t := v.GetTotal()
		f := &adminv1.Finding{
			Culprit: nobody, Kind: "well",
			Sentence: fmt.Sprintf("All is well: %s calls a second, half of them within %s, 99 %% within %s.",
				human.Rate(t.GetRate()), human.Duration(t.GetP50().AsDuration()), human.Duration(t.GetP99().AsDuration())),
		}
		f.Evidence = append(f.Evidence, v.split()...)
		return f
	case v.GetCallsInFlight() > 0:
		return &adminv1.Finding{
			Culprit: nobody, Kind: "waiting",
			Sentence: fmt.Sprintf("No call has ended in the last %s, and %s are under way.", v.window(), human.Count(v.GetCallsInFlight())),
			Evidence: v.split(),
		}
	default:
		connected := "Qdrant is connected."
		if !slices.ContainsFunc(v.GetNodes(), func(n *adminv1.Node) bool { return ready(n) > 0 }) {
			connected = "Qdrant is not connected yet."
		}
		return &adminv1.Finding{
			Culprit: nobody, Kind: "idle",
			Sentence: fmt.Sprintf("Nothing to judge: no call in the last %s. %s", v.window(), connected),
			Evidence: v.split(),
		}
	}
}

// split says where time goes, as far as that is known.
func (v *view) split() []string {
	var lines []string
	if s := v.GetTotal().GetStages(); s != nil {
		lines = append(lines, fmt.Sprintf("Of a call, on average: %s waiting for a place, %s network and Qdrant, %s the sidecar.",
			human.Duration(s.GetQueue().AsDuration()), human.Duration(s.GetUpstream().AsDuration()), human.Duration(s.GetOwn().AsDuration())))
	}
	if s := v.GetTotal().GetServerTime(); s != nil {
		lines = append(lines, fmt.Sprintf("By Qdrant's own word, in %s answers: %s Qdrant, so %s the way there and back.",
			human.Count(s.GetAnswers()), human.Duration(s.GetQdrant().AsDuration()), human.Duration(s.GetWay().AsDuration())))
	}
	if v.roundTrip > 0 {
		lines = append(lines, fmt.Sprintf("The network alone: a PING to Qdrant takes %s.", human.Duration(v.roundTrip)))
	}
	return lines
}
