package history_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// outsider is the judge that asks whether each register was one: whether there is
// an order of what happened to it that explains everything that callers were told,
// and keeps to the times at which they called and returned.
//
// An operation whose caller was told its result took effect once, while he waited.
// What is known beyond that is only how often a call took effect for which nobody
// was told: a write whose answer was lost, and each repetition of a write. Such
// an effect may have come at any time from the call on, also after the
// acknowledgement of another attempt; that much a repeated write is free to do. It
// is over when the upstream has come to rest.
//
// It stops at the first register that it can't explain: the proof that there is no
// order takes long, and one is enough.
func outsider(r record) []string {
	byRegister := map[string][]porcupine.Operation{}
	add := func(client int, s step, told result, from, to int64) {
		register := s.operation.register
		byRegister[register] = append(byRegister[register],
			porcupine.Operation{ClientId: client, Input: s, Output: told, Call: from, Return: to})
	}
	for _, c := range r.calls {
		if c.ok || c.application != 0 {
			add(c.conn, step{operation: c.operation}, c.told, c.invoked, c.returned)
		}
	}
	for _, a := range r.applications {
		c := r.calls[a.call]
		if a.number != c.application && a.operation.kind.class() != read {
			rest, _ := slices.BinarySearch(r.quiet, c.invoked)
			add(c.conn, step{a.operation, true}, result{}, c.invoked, max(a.at, r.quiet[rest]))
		}
	}
	for _, register := range slices.Sorted(maps.Keys(byRegister)) {
		operations := byRegister[register]
		switch porcupine.CheckOperationsTimeout(registerModel(), operations, judgement) {
		case porcupine.Illegal:
			return []string{fmt.Sprintf("no order explains register %s:\n%s", register, describe(operations))}
		case porcupine.Unknown:
			return []string{fmt.Sprintf("no order was found within %v for register %s:\n%s", judgement, register, describe(operations))}
		}
	}
	return nil
}

// judgement bounds the search for an order, whose length may grow exponentially
// with the operations that overlap.
const judgement = 20 * time.Second

// step is an operation in the eyes of the outsider; with ghost, one whose result
// nobody was told.
type step struct {
	operation operation
	ghost     bool
}

func registerModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			s := input.(step)
			next, told := s.operation.step(state.(string))
			return s.ghost || told == output.(result), next
		},
	}
}

func describe(operations []porcupine.Operation) string {
	operations = slices.SortedFunc(slices.Values(operations), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, o := range operations {
		s := o.Input.(step)
		told := fmt.Sprint(o.Output)
		if s.ghost {
			told = "nobody was told"
		}
		fmt.Fprintf(&b, "\t%d to %d: %v: %s\n", o.Call, o.Return, s.operation, told)
	}
	return b.String()
}
