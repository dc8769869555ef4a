package verdict

import (
	"fmt"
	"time"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/human"
)

// keyRefused: Qdrant does not accept who asks.
func keyRefused(v *view) *adminv1.Finding {
	missing, denied := v.codes["Unauthenticated"], v.codes["PermissionDenied"]
	if !v.share(missing+denied, 5) {
		return nil
	}
	f := &adminv1.Finding{
		Culprit: settings, Kind: "key_refused",
		Sentence: fmt.Sprintf("Qdrant refuses the API key: %s of the calls in the last %s.", human.Percent(missing+denied, v.calls), v.window()),
		Action: "Compare QDRANT_API_KEY or --api-key-file with the key that Qdrant has, and with what the app sends, which wins. " +
			"A token (JWT) may have expired. `qdrant-sidecar doctor` tries the key.",
	}
	if missing > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s calls were answered UNAUTHENTICATED: no key, or a wrong one.", human.Count(missing)))
	}
	if denied > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s calls were answered PERMISSION_DENIED: an expired token, or a key that may only read.", human.Count(denied)))
	}
	return f
}

// short is a deadline that hardly any network and Qdrant can meet at the tail.
const short = 50 * time.Millisecond

// gaveUp reports whether a caller cancelled a call because its time was over: his timer
// and ours are about as exact, so that either may be first.
func gaveUp(f *adminv1.FailedCall) bool {
	return f.GetReason() == "CANCELLED" && f.GetDeadline() != nil && f.GetDuration().AsDuration() >= f.GetDeadline().AsDuration()/2
}

// givenUp are calls that their callers cancelled because their time was over: as many
// of those that were cancelled as among the last ones.
func (v *view) givenUp() int64 {
	cancelled := v.failed(func(f *adminv1.FailedCall) bool { return f.GetReason() == "CANCELLED" })
	if len(cancelled) == 0 {
		return 0
	}
	return v.codes["Canceled"] * int64(len(v.failed(gaveUp))) / int64(len(cancelled))
}

// late are calls whose time was over.
func (v *view) late() int64 { return v.codes["DeadlineExceeded"] + v.givenUp() }

// shortDeadlines: callers give calls less time than these need.
func shortDeadlines(v *view) *adminv1.Finding {
	late := v.late()
	if !v.share(late, 5) {
		return nil
	}
	var deadlines []time.Duration
	of := v.failed(func(f *adminv1.FailedCall) bool { return f.GetCode() == "DeadlineExceeded" || gaveUp(f) })
	for _, f := range of {
		if f.GetDeadline() != nil {
			deadlines = append(deadlines, f.GetDeadline().AsDuration())
		}
	}
	given := median(deadlines)
	if len(deadlines)*2 < len(of) || len(deadlines) == 0 || given > short {
		return nil
	}
	f := &adminv1.Finding{
		Culprit: app, Kind: "short_deadlines",
		Sentence: fmt.Sprintf("It is the app: it gives calls only %s, and %s of them do not make it.", human.Duration(given), human.Percent(late, v.calls)),
		Evidence: []string{fmt.Sprintf("%s calls ended with DEADLINE_EXCEEDED, or were given up at their deadlines, in the last %s; their callers' timeout was %s (the middle one of %d).",
			human.Count(late), v.window(), human.Duration(given), len(deadlines))},
		Action: "Raise the timeout in the app's client. A few times what the slowest hundredth needs is a good one.",
	}
	f.Evidence = append(f.Evidence, v.split()...)
	return f
}

// poolTooSmall: calls wait for a place, and not because Qdrant is slow.
func poolTooSmall(v *view) *adminv1.Finding {
	q := v.GetQueue()
	wait := q.GetMeanWait().AsDuration()
	crowded := q.GetRefused() > 0 || q.GetWaiting() > 0 || v.share(q.GetWaited(), 5) && wait > 2*time.Millisecond
	if q == nil || !crowded || v.slow() != nil {
		return nil
	}
	f := &adminv1.Finding{
		Culprit: settings, Kind: "pool_too_small",
		Sentence: fmt.Sprintf("The pool is too small: calls wait for one of %s places, and Qdrant is not the slow one.", human.Count(q.GetLimit())),
		Evidence: []string{fmt.Sprintf("%s of %s places are taken, %s calls wait.", human.Count(q.GetAdmitted()), human.Count(q.GetLimit()), human.Count(q.GetWaiting()))},
		Action:   "Raise --pool-size (100 places each) or --max-concurrent-calls, or have the app send fewer calls at once.",
	}
	if q.GetWaited() > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s calls waited in the last %s, %s on average.", human.Count(q.GetWaited()), v.window(), human.Duration(wait)))
	}
	if q.GetRefused() > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s calls were turned away (RESOURCE_EXHAUSTED, OVERLOADED).", human.Count(q.GetRefused())))
	}
	f.Evidence = append(f.Evidence, v.split()...)
	return f
}

// cancelling: callers do not wait for their answers.
func cancelling(v *view) *adminv1.Finding {
	cancelled := v.codes["Canceled"] - v.givenUp()
	if cancelled < 5 || !v.share(cancelled, 10) {
		return nil
	}
	var after []time.Duration
	for _, f := range v.failed(func(f *adminv1.FailedCall) bool { return f.GetReason() == "CANCELLED" && !gaveUp(f) }) {
		after = append(after, f.GetDuration().AsDuration())
	}
	if len(after) == 0 {
		return nil
	}
	return &adminv1.Finding{
		Culprit: app, Kind: "cancelling",
		Sentence: fmt.Sprintf("It is the app: it cancels %s of its calls, after %s.", human.Percent(cancelled, v.calls), human.Duration(median(after))),
		Evidence: append([]string{fmt.Sprintf("%s calls were cancelled by their callers in the last %s.", human.Count(cancelled), v.window())}, v.split()...),
		Action: "Look for a timeout, a race or a shutdown in the app that gives calls up. If it does so because answers come too late, " +
			"compare with what Qdrant takes.",
	}
}

// badRequests: Qdrant finds fault with what it is asked.
func badRequests(v *view) *adminv1.Finding {
	bad, worst := int64(0), ""
	for _, code := range []string{"InvalidArgument", "NotFound", "AlreadyExists", "FailedPrecondition", "OutOfRange", "Unimplemented"} {
		if bad += v.codes[code]; v.codes[code] > v.codes[worst] {
			worst = code
		}
	}
	if !v.share(bad, 5) {
		return nil
	}
	f := &adminv1.Finding{
		Culprit: app, Kind: "bad_requests",
		Sentence: fmt.Sprintf("It is the app: Qdrant finds fault with %s of its requests, mostly %s.", human.Percent(bad, v.calls), worst),
		Action:   "`qdrant-sidecar tap --failed --bodies` shows such requests, and what Qdrant says about them.",
	}
	for _, e := range v.GetTotal().GetErrors() {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s calls ended with %s in the last %s.", human.Count(e.GetCalls()), e.GetCode(), v.window()))
	}
	return f
}
