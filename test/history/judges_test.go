package history_test

import (
	"slices"
	"strings"
	"testing"
)

// The judges are judged by histories made by hand. A record begins with these calls
// on one register, each after the one before it, and nobody in doubt:
//
//	call 0: upsert a, applied as 1 · call 1: get, applied as 2 · call 2: delete if a, applied as 3
func honest() record {
	const register = "points-0/1"
	var r record
	for i, o := range []operation{{upsertPoint, register, "a"}, {getPoint, register, ""}, {deletePointIf, register, "a"}} {
		at := int64(10 * (i + 1))
		_, told := o.step("a|")
		r.calls = append(r.calls, call{number: i, operation: o, conn: 1, invoked: at, returned: at + 9, ok: true, application: i + 1, told: told})
		r.attempts = append(r.attempts, attempt{call: i, link: 1, stream: uint32(2*i + 1)})
		r.applications = append(r.applications, application{number: i + 1, call: i, operation: o, told: told, at: at + 5})
	}
	r.quiet = []int64{100}
	return r
}

// again adds an attempt of a call that comes last on its link.
func (r *record) again(call, link int) *attempt {
	r.attempts = append(r.attempts, attempt{call: call, link: link, stream: uint32(100 + 2*len(r.attempts) + 1)})
	return &r.attempts[len(r.attempts)-1]
}

// apply adds an application of a call.
func (r *record) apply(number int, at int64) {
	first := r.applications[number]
	r.applications = append(r.applications, application{len(r.applications) + 1, number, first.operation, first.told, at})
}

// unanswered makes a call one whose caller learned nothing.
func (r *record) unanswered(number int) {
	c := &r.calls[number]
	c.ok, c.application, c.told = false, 0, result{}
}

// call adds a call that was answered out of application, and that application.
func (r *record) call(o operation, told result, at int64) {
	n, a := len(r.calls), len(r.applications)+1
	r.calls = append(r.calls, call{number: n, operation: o, conn: 1, invoked: at, returned: at + 9, ok: true, application: a, told: told})
	r.applications = append(r.applications, application{a, n, o, told, at + 5})
}

func TestWitness(t *testing.T) {
	for _, test := range []struct {
		name   string
		spoil  func(*record)
		strict bool   // nothing is repeated, otherwise only no unsafe writes
		want   string // in the only breach; "" for none
	}{
		{name: "honest", spoil: func(*record) {}, strict: true},
		{name: "lost acknowledgement", spoil: func(r *record) { r.calls[0].application = 0 }, want: "was acknowledged, and never applied"},
		{name: "made-up application", spoil: func(r *record) { r.calls[0].application = 9 }, want: "which there is not"},
		{name: "answers exchanged", spoil: func(r *record) { r.calls[0].application = 3 }, want: "was given the answer of call 2"},
		{name: "request changed", spoil: func(r *record) { r.applications[0].operation.value = "b" }, want: "was applied as upsert points-0/1 b"},
		{name: "repetition changed", spoil: func(r *record) {
			r.apply(0, 17)
			r.applications[3].operation.register = "points-0/2"
		}, want: "was applied as upsert points-0/2 a"},
		{name: "answer changed", spoil: func(r *record) { r.calls[1].told.text = "b|" }, want: `was told true "b|"`},
		{name: "answer from before the call", spoil: func(r *record) { r.applications[1].at = 3 }, want: "of 20 to 29 was applied at 3"},
		{name: "acknowledged before it was applied", spoil: func(r *record) { r.applications[0].at = 60 }, want: "of 10 to 19 was applied at 60"},

		{name: "unsafe write doubled", spoil: func(r *record) { r.apply(2, 37) }, want: "unsafe write) was applied 2 times"},
		{name: "unsafe write gambled with", spoil: func(r *record) { r.again(2, 2) }, want: "attempted again after an attempt that may have been applied"},
		{name: "unsafe write after a proof", spoil: func(r *record) { r.again(2, 2).disclaimed = true }},
		{name: "idempotent write repeated", spoil: func(r *record) { r.again(0, 2); r.apply(0, 17) }},
		{name: "idempotent write applied later", spoil: func(r *record) { r.apply(0, 60) }},
		{name: "idempotent write repeated in strict mode", spoil: func(r *record) { r.again(0, 2) }, strict: true, want: "idempotent write) was attempted again"},
		{name: "read repeated", spoil: func(r *record) { r.again(1, 2) }},
		{name: "read repeated in strict mode", spoil: func(r *record) { r.again(1, 2) }, strict: true, want: "read) was attempted again"},
		{name: "refused in strict mode", spoil: func(r *record) { r.again(0, 2).disclaimed = true }, strict: true},

		{name: "attempt after the answer", spoil: func(r *record) { r.again(0, 1) }, want: "call 0 (upsert points-0/1 a) was over at 19, and attempted on link 1"},
		{name: "attempt that proves nothing, on an idle link", spoil: func(r *record) { r.again(0, 2) }},
		{name: "attempt that came late but was begun first", spoil: func(r *record) { r.again(0, 1).stream = 2 }},
		{name: "attempt for a caller who may be waiting", spoil: func(r *record) { r.again(0, 1); r.calls[0].abandoned, r.calls[0].returned = true, 25 }},
		{name: "attempt for a caller who left", spoil: func(r *record) {
			r.call(operation{getPoint, "points-0/1", ""}, result{}, 40)
			r.again(3, 1)
			r.again(0, 1)
			r.calls[0].abandoned = true
		}, want: "call 0 (upsert points-0/1 a) was over at 29"},
		{name: "attempt for a caller who left on another connection", spoil: func(r *record) {
			r.again(0, 1)
			r.calls[0].abandoned, r.calls[0].conn = true, 2
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := honest()
			test.spoil(&r)
			once := unsafeWrite
			if test.strict {
				once = read
			}
			breaches := witness(r, once)
			if test.want == "" && len(breaches) > 0 || test.want != "" && (len(breaches) != 1 || !strings.Contains(breaches[0], test.want)) {
				t.Errorf("breaches %q, want %q", breaches, test.want)
			}
		})
	}
}

func TestOutsider(t *testing.T) {
	const register = "points-0/1"
	get := operation{getPoint, register, ""}
	for _, test := range []struct {
		name  string
		spoil func(*record)
		legal bool
	}{
		{"honest", func(*record) {}, true},
		{"lost write", func(r *record) { r.calls[1].told = result{} }, false},
		{"write acknowledged by nobody", func(r *record) {
			r.call(operation{upsertPoint, register, "b"}, result{found: true}, 50)
			r.calls[3].application, r.applications = 0, r.applications[:3]
			r.call(get, result{}, 60)
		}, false},
		{"stale read", func(r *record) { r.call(get, result{true, "a|"}, 50) }, false},
		{"read of nothing", func(r *record) { r.call(get, result{true, "b|"}, 50) }, false},
		{"read of the truth", func(r *record) { r.call(get, result{}, 50) }, true},
		{"overlapping read", func(r *record) { r.call(get, result{true, "a|"}, 35) }, true},
		{"repeated write comes back", func(r *record) { r.apply(0, 45); r.call(get, result{true, "a|"}, 50) }, true},
		{"repeated write comes back twice", func(r *record) {
			r.apply(0, 45)
			r.call(get, result{true, "a|"}, 50)
			r.call(operation{deletePoint, register, ""}, result{found: true}, 60)
			r.call(get, result{true, "a|"}, 70)
		}, false},
		{"unanswered write is seen", func(r *record) {
			r.unanswered(2)
			r.call(get, result{}, 50)
		}, true},
		{"unanswered write is not seen yet", func(r *record) {
			r.unanswered(2)
			r.applications[2].at = 70
			r.call(get, result{true, "a|"}, 50)
		}, true},
		{"unanswered write is never seen", func(r *record) {
			r.unanswered(2)
			r.call(get, result{true, "a|"}, 110)
			r.quiet = append(r.quiet, 200)
		}, false},
		{"write seen and lost again", func(r *record) {
			r.unanswered(2)
			r.call(get, result{}, 50)
			r.call(get, result{true, "a|"}, 60)
		}, false},
		{"tag outlives its point", func(r *record) {
			r.call(operation{setPayload, register, "t"}, result{}, 50)
			r.call(operation{upsertPoint, register, "b"}, result{found: true}, 60)
			r.call(get, result{true, "b|t"}, 70)
		}, false},
		{"collection made twice", func(r *record) {
			r.call(operation{createCollection, "c", ""}, result{found: true}, 50)
			r.call(operation{createCollection, "c", ""}, result{found: true}, 60)
		}, false},
		{"alias switched and forgotten", func(r *record) {
			r.call(operation{switchAlias, "alias", "x"}, result{found: true}, 50)
			r.call(operation{listAliases, "alias", ""}, result{}, 60)
		}, false},
		{"snapshot that nobody asked for", func(r *record) {
			r.call(operation{createSnapshot, "s", ""}, result{true, "s-1"}, 50)
			r.call(operation{listSnapshots, "s", ""}, result{true, "s-1,s-2,"}, 60)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := honest()
			test.spoil(&r)
			if breaches := outsider(r); (len(breaches) == 0) != test.legal {
				t.Errorf("breaches %q, legal %v", breaches, test.legal)
			}
		})
	}
}

// Every kind of operation means the same to both ends of the wire.
func TestWire(t *testing.T) {
	for k, r := range rpcs() {
		o := operation{kind: kind(k), register: "points-0/7"}
		switch o.kind {
		case upsertPoint, setPayload, deletePointIf, switchAlias:
			o.value = "v"
		}
		want := o
		if o.kind == listAliases {
			want.register = ""
		}
		if got := r.operation(r.request(o)); got != want {
			t.Errorf("%v arrives as %v", o, got)
		}
		for _, state := range []string{"", "v|", "v|t", "points-0/7-1,", "points-0/7-1,points-0/7-2,", "there", "target"} {
			if !fits(o.kind, state) {
				continue
			}
			_, told := o.step(state)
			answer, err := r.reply(o, told)
			if got, err := r.result(o, answer, err); err != nil || got != told {
				t.Errorf("%v on %q: told %v arrives as %v, %v", o, state, told, got, err)
			}
		}
	}
}

// fits says that a register of the kind can be in the state.
func fits(k kind, state string) bool {
	switch {
	case state == "":
		return true
	case k == createSnapshot || k == listSnapshots:
		return strings.HasSuffix(state, ",")
	case slices.Contains([]kind{createCollection, deleteCollection, collectionExists}, k):
		return state == "there"
	case slices.Contains([]kind{switchAlias, deleteAlias, listAliases}, k):
		return state == "target"
	default:
		return strings.Contains(state, "|")
	}
}
