package history_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// witness is the judge that knows both ends. It returns a sentence for each breach
// of what docs/guarantees.md promises. Calls of class once, and of those that are
// worse to repeat, may be attempted again only if nothing was done.
func witness(r record, once class) []string {
	var breaches []string
	breaches = append(breaches, unfounded(r)...)
	breaches = append(breaches, repeated(r, once)...)
	return append(breaches, late(r)...)
}

// unfounded finds acknowledgements that nothing stands behind, and applications of
// what nobody asked for. An answer has to come from an application of the caller's
// own call, with his operation, made between his call and his return.
func unfounded(r record) []string {
	var breaches []string
	for _, c := range r.calls {
		if c.application == 0 {
			if c.ok {
				breaches = append(breaches, fmt.Sprintf("call %d (%v) was acknowledged, and never applied", c.number, c.operation))
			}
			continue
		}
		if c.application > len(r.applications) {
			breaches = append(breaches, fmt.Sprintf("call %d names application %d, which there is not", c.number, c.application))
			continue
		}
		a := r.applications[c.application-1]
		switch {
		case a.call != c.number:
			breaches = append(breaches, fmt.Sprintf("call %d (%v) was given the answer of call %d", c.number, c.operation, a.call))
		case a.told != c.told:
			breaches = append(breaches, fmt.Sprintf("call %d (%v) was told %v, and the upstream said %v", c.number, c.operation, c.told, a.told))
		case a.at < c.invoked || a.at > c.returned:
			breaches = append(breaches, fmt.Sprintf("call %d (%v) of %d to %d was applied at %d", c.number, c.operation, c.invoked, c.returned, a.at))
		}
	}
	for _, a := range r.applications { // of the others, too: every attempt is the same call
		if c := r.calls[a.call]; a.operation != c.operation {
			breaches = append(breaches, fmt.Sprintf("call %d (%v) was applied as %v", c.number, c.operation, a.operation))
		}
	}
	return breaches
}

// repeated finds calls that were attempted again although that was not allowed:
// after any attempt of which the sidecar could not know that nothing was done. Such a breach is one whether or not the state machine was hit
// twice, because the sidecar gambled; being hit twice is told apart.
//
// Attempts are counted and not ordered: the order in which two connections are
// read need not be the one in which they were written.
func repeated(r record, once class) []string {
	var breaches []string
	doubtful, applied := make([]int, len(r.calls)), make([]int, len(r.calls))
	for _, a := range r.attempts {
		if !a.disclaimed {
			doubtful[a.call]++
		}
	}
	for _, a := range r.applications {
		applied[a.call]++
	}
	for _, c := range r.calls {
		class := c.operation.kind.class()
		if class < once {
			continue
		}
		if applied[c.number] > 1 {
			breaches = append(breaches, fmt.Sprintf("call %d (%v, %v) was applied %d times", c.number, c.operation, class, applied[c.number]))
		}
		if doubtful[c.number] > 1 {
			breaches = append(breaches, fmt.Sprintf("call %d (%v, %v) was attempted again after an attempt that may have been applied: %v",
				c.number, c.operation, class, attemptsOf(r, c.number)))
		}
	}
	return breaches
}

// late finds attempts that were begun after their caller had his answer, or for a
// caller who had left.
//
// When an attempt was begun only the sidecar knows, and when it arrives proves
// nothing: a busy reader, a stalled connection or a dying one delay it for as long
// as they like. So no clock is asked. A client numbers its streams in the order in
// which it opens them (RFC 9113 §5.1.1). An attempt whose number is above that of
// another on the same connection was begun after it, and after that one's call
// was made. If that call was made after our caller had returned, the attempt was
// begun too late, however long anything took.
func late(r record) []string {
	over := ends(r)
	byLink := slices.Clone(r.attempts)
	slices.SortFunc(byLink, func(a, b attempt) int {
		return cmp.Or(cmp.Compare(a.link, b.link), cmp.Compare(a.stream, b.stream))
	})
	var breaches []string
	var latest call // the last one made of those with a lower stream on the link
	link := 0
	for _, a := range byLink {
		if a.link != link {
			link, latest = a.link, call{}
		}
		if end := over[a.call]; latest.invoked > end {
			c := r.calls[a.call]
			breaches = append(breaches, fmt.Sprintf(
				"call %d (%v) was over at %d, and attempted on link %d, stream %d, after call %d, which was made at %d",
				c.number, c.operation, end, a.link, a.stream, latest.number, latest.invoked))
		}
		if c := r.calls[a.call]; c.invoked > latest.invoked {
			latest = c
		}
	}
	return breaches
}

// ends returns by call when the sidecar knew that it was over. That is when the
// caller had the answer. A caller who leaves knows it first; but frames of one
// connection stay in order, so the sidecar knows as soon as it deals with a later
// call of that connection. When such a call has been answered there has been time
// for an attempt that was just being begun, too.
func ends(r record) []int64 {
	answered := map[int][]call{} // by connection, in the order of invocation
	for _, c := range r.calls {
		if !c.abandoned {
			answered[c.conn] = append(answered[c.conn], c)
		}
	}
	for _, list := range answered { // from each on, the first return
		for i := len(list) - 2; i >= 0; i-- {
			list[i].returned = min(list[i].returned, list[i+1].returned)
		}
	}
	over := make([]int64, len(r.calls))
	for _, c := range r.calls {
		over[c.number] = c.returned
		if !c.abandoned {
			continue
		}
		over[c.number] = math.MaxInt64
		list := answered[c.conn]
		i, _ := slices.BinarySearchFunc(list, c.returned, func(later call, at int64) int { return cmp.Compare(later.invoked, at) })
		if i < len(list) {
			over[c.number] = list[i].returned
		}
	}
	return over
}

func attemptsOf(r record, number int) []string {
	var list []string
	for _, a := range r.attempts {
		if a.call == number {
			list = append(list, fmt.Sprintf("link %d stream %d: %s", a.link, a.stream, cmp.Or(a.fault, "under way")))
		}
	}
	return list
}
