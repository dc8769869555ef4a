package verdict

import (
	"fmt"
	"time"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/human"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

const (
	// far is a round trip that nobody has within a region of a cloud.
	far = 10 * time.Millisecond
	// slowRead and slowWrite are more than what a Qdrant takes that has its data in
	// memory and CPU to spare.
	slowRead  = 100 * time.Millisecond
	slowWrite = time.Second
	// endless is a time within which something should have ended.
	endless = 2 * time.Second
)

// slowNetwork: the time goes on the way.
func slowNetwork(v *view) *adminv1.Finding {
	if f := farAway(v); f != nil {
		return f
	}
	return slowWay(v)
}

// farAway: every PING takes long.
func farAway(v *view) *adminv1.Finding {
	if v.roundTrip < far {
		return nil
	}
	p50 := v.GetTotal().GetP50().AsDuration()
	if v.calls > 0 && v.roundTrip < p50/2 {
		return nil // it adds to it, but is not most of it
	}
	if s := v.GetTotal().GetServerTime(); s.GetQdrant().AsDuration() > s.GetWay().AsDuration() {
		return nil // that of a Qdrant without a processor is late, too
	}
	f := &adminv1.Finding{
		Culprit: network, Kind: "slow_network",
		Sentence: fmt.Sprintf("It is the network: a round trip to Qdrant takes %s.", human.Duration(v.roundTrip)),
		Action:   "Run app and Qdrant in the same region and zone; look for a VPN, a mesh or packet loss in between.",
	}
	if v.calls > 0 {
		f.Sentence = fmt.Sprintf("It is the network: a round trip to Qdrant takes %s, and half of the calls take %s in all.",
			human.Duration(v.roundTrip), human.Duration(p50))
	}
	for _, n := range v.GetNodes() {
		if n.GetRoundTrip() != nil {
			f.Evidence = append(f.Evidence, fmt.Sprintf("A PING to %s takes %s: no query, no disk, only the way there and back.", n.GetAddress(), human.Duration(n.GetRoundTrip().AsDuration())))
		}
	}
	f.Evidence = append(f.Evidence, v.split()...)
	return f
}

// slowWay: PINGs are quick, but what Qdrant says that it took is little of what calls
// take outside of the sidecar.
func slowWay(v *view) *adminv1.Finding {
	worst := v.worst(onTheWay)
	if worst == nil || v.behind(worst) {
		return nil
	}
	said := worst.GetServerTime()
	f := &adminv1.Finding{
		Culprit: network, Kind: "slow_network",
		Sentence: fmt.Sprintf("It is the network, or a proxy in it: %s takes %s, and Qdrant says that only %s of it are its own.", worst.GetName(),
			human.Duration(said.GetQdrant().AsDuration()+said.GetWay().AsDuration()), human.Duration(said.GetQdrant().AsDuration())),
		Action: "What delays calls but not PINGs is a thin line that large requests or answers fill (smaller batches, fewer vectors), packet loss, " +
			"a mesh or proxy with a queue of its own, or a lack of CPU at one end.",
	}
	f.Evidence = append(f.Evidence, fmt.Sprintf("In %s answers of %s Qdrant says that it took %s on average; the way there and back took %s.",
		human.Count(said.GetAnswers()), worst.GetName(), human.Duration(said.GetQdrant().AsDuration()), human.Duration(said.GetWay().AsDuration())))
	f.Evidence = append(f.Evidence, v.split()...)
	return f
}

// behind reports whether calls wait within Qdrant before it begins with them: nobody
// else has HealthChecks wait and PINGs not.
func (v *view) behind(t *adminv1.Traffic) bool {
	wait := t.GetServerTime().GetWay().AsDuration() / 2
	return v.healthCheck >= wait && v.roundTrip < wait && v.roundTrip > 0
}

// worst returns the method by which most time is spent somewhere although it is more
// than such methods take in all; nil when there is none.
func (v *view) worst(spent func(*adminv1.Traffic) time.Duration) (worst *adminv1.Traffic) {
	var most float64
	for _, t := range v.GetMethods() {
		limit := slowWrite
		if method.Lookup("/qdrant."+t.GetName()).Class == resilience.Read {
			limit = slowRead
		}
		took := spent(t)
		if t.GetCalls() == 0 || took < limit {
			continue
		}
		if total := took.Seconds() * float64(t.GetCalls()); total > most {
			worst, most = t, total
		}
	}
	return worst
}

// onTheWay is what a call takes between here and Qdrant, where that is known, and is
// more than Qdrant takes.
func onTheWay(t *adminv1.Traffic) time.Duration {
	said := t.GetServerTime()
	if way := said.GetWay().AsDuration(); way > said.GetQdrant().AsDuration() {
		return way
	}
	return 0
}

// inQdrant is what a call takes there: by Qdrant's own word, or, where it gave none,
// what it takes outside of the sidecar less the network's time.
func (v *view) inQdrant(t *adminv1.Traffic) time.Duration {
	if said := t.GetServerTime(); said != nil {
		return said.GetQdrant().AsDuration()
	}
	return max(0, upstream(t)-v.roundTrip)
}

// slow returns the method that is slow because Qdrant is; nil when there is none.
func (v *view) slow() *adminv1.Traffic {
	if worst := v.worst(v.inQdrant); worst != nil {
		return worst
	}
	if worst := v.worst(onTheWay); worst != nil && v.behind(worst) {
		return worst
	}
	return nil
}

// upstream is what calls of a group take outside of the sidecar: on average, or, when
// that is not known, what half of them take in all.
func upstream(t *adminv1.Traffic) time.Duration {
	if s := t.GetStages(); s != nil {
		return s.GetUpstream().AsDuration()
	}
	return t.GetP50().AsDuration()
}

// slowQdrant: the time goes in Qdrant.
func slowQdrant(v *view) *adminv1.Finding {
	f := &adminv1.Finding{
		Culprit: qdrant, Kind: "slow_qdrant",
		Action: "Look at Qdrant's CPU, memory and disk, and at indexing under way; at queries without a payload index for their filter, with `exact`, " +
			"a large limit or a large hnsw_ef. Slow calls are logged with the shape of their query.",
	}
	worst := v.slow()
	switch {
	case worst != nil:
		f.Sentence = v.accuse(worst)
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s calls in the last %s, half of them within %s, 99 %% within %s.", worst.GetName(),
			human.Count(worst.GetCalls()), v.window(), human.Duration(worst.GetP50().AsDuration()), human.Duration(worst.GetP99().AsDuration())))
	case v.timedOut() > 0 && v.share(v.timedOut(), 5):
		f.Sentence = fmt.Sprintf("It is Qdrant: it did not answer %s of the calls in time%s.", human.Percent(v.timedOut(), v.calls), v.besides())
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s calls ended with DEADLINE_EXCEEDED, or were given up at their deadlines, in the last %s.", human.Count(v.timedOut()), v.window()))
	case v.calls == 0 && v.GetCallsInFlight() > 0 && v.GetWindow().AsDuration() >= endless && v.unfinished() > 0:
		f.Sentence = fmt.Sprintf("It is Qdrant: %s calls are under way, and none has ended in the last %s%s.", human.Count(v.unfinished()), v.window(), v.besides())
	default:
		return nil
	}
	f.Evidence = append(f.Evidence, v.split()...)
	return f
}

// accuse says of a method that Qdrant is what is slow, and by whose word.
func (v *view) accuse(t *adminv1.Traffic) string {
	said := t.GetServerTime()
	switch {
	case said == nil:
		return fmt.Sprintf("It is Qdrant: it takes %s for %s%s.", human.Duration(v.inQdrant(t)), t.GetName(), v.besides())
	case onTheWay(t) > 0:
		return fmt.Sprintf("It is Qdrant: %s waits %s before Qdrant begins with it, and so do HealthChecks%s.", t.GetName(),
			human.Duration(said.GetWay().AsDuration()), v.besides())
	default:
		return fmt.Sprintf("It is Qdrant: it says itself that it takes %s for %s%s.", human.Duration(said.GetQdrant().AsDuration()), t.GetName(), v.besides())
	}
}

// timedOut are calls whose time passed, and which had some.
func (v *view) timedOut() int64 {
	if shortDeadlines(v) != nil {
		return 0
	}
	return v.late()
}

// unfinished is how many calls are with Qdrant now.
func (v *view) unfinished() (calls int64) {
	for _, n := range v.GetNodes() {
		for _, c := range n.GetConnections() {
			calls += int64(c.GetInFlight())
		}
	}
	return calls
}

// besides acquits the network, if that can be.
func (v *view) besides() string {
	if v.roundTrip == 0 || v.roundTrip >= far {
		return ""
	}
	return fmt.Sprintf(", and the network only %s", human.Duration(v.roundTrip))
}

// connectionsLost: calls end because their connections do.
func connectionsLost(v *view) *adminv1.Finding {
	lost := v.failed(func(f *adminv1.FailedCall) bool { return f.GetReason() == "UPSTREAM_LOST" })
	if len(lost) == 0 || !v.share(int64(len(lost)), 1) {
		return nil
	}
	return &adminv1.Finding{
		Culprit: network, Kind: "connections_lost",
		Sentence: "Connections to Qdrant break while calls are under way: Qdrant restarts or crashes, or the network cuts them.",
		Evidence: []string{
			fmt.Sprintf("%d of the last %d failures are calls whose connection was lost (UPSTREAM_LOST).", len(lost), len(v.failures)),
			capital(lost[0].GetMessage()) + ".",
		},
		Action: "Look for restarts of Qdrant (its log, its pod's last state: out of memory?), and for idle timeouts of what is in between.",
	}
}

// qdrantFails: Qdrant answers, and says that it failed.
func qdrantFails(v *view) *adminv1.Finding {
	failed := v.failed(func(f *adminv1.FailedCall) bool {
		switch f.GetOutcome() {
		case "internal", "unavailable", "data_loss", "no_leader", "not_committed", "node_behind", "rate_limited", "exhausted", "server_timeout":
			return f.GetReason() == ""
		default:
			return false
		}
	})
	if len(failed) == 0 || !v.share(int64(len(failed)), 1) {
		return nil
	}
	f := &adminv1.Finding{
		Culprit: qdrant, Kind: "qdrant_fails",
		Sentence: fmt.Sprintf("It is Qdrant: it answers calls with errors of its own, the last one %s for %s.", failed[0].GetCode(), failed[0].GetMethod()),
		Action:   "Qdrant's log says more. `qdrant-sidecar tap --failed --bodies` shows its words as they come.",
	}
	count := map[string]int{}
	for _, failure := range failed {
		count[outcome(failure)]++
	}
	for _, failure := range failed {
		if o := outcome(failure); count[o] > 0 {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%d of the last %d failures: %s (%s).", count[o], len(v.failures), failure.GetCode(), o))
			count[o] = 0
		}
	}
	return f
}
