package history_test

import (
	"fmt"
	"strings"
)

// kind is what an operation does to its register.
type kind int

const (
	upsertPoint kind = iota
	setPayload
	deletePoint
	deletePointIf // by a filter on the value
	getPoint
	scrollPoint
	createCollection
	deleteCollection
	collectionExists
	switchAlias
	deleteAlias
	listAliases
	createSnapshot
	listSnapshots
	kinds
)

func (k kind) String() string {
	return [...]string{
		"upsert", "set payload", "delete", "delete if", "get", "scroll",
		"create collection", "delete collection", "collection exists",
		"switch alias", "delete alias", "list aliases", "create snapshot", "list snapshots",
	}[k]
}

// class is what may be done with a call that failed; see docs/guarantees.md.
type class int

const (
	read class = iota
	idempotentWrite
	unsafeWrite
	classes
)

func (c class) String() string { return [...]string{"read", "idempotent write", "unsafe write"}[c] }

func (k kind) class() class {
	switch k {
	case getPoint, scrollPoint, collectionExists, listAliases, listSnapshots:
		return read
	case upsertPoint, setPayload, deletePoint:
		return idempotentWrite
	default:
		return unsafeWrite
	}
}

// operation is one call's intent.
type operation struct {
	kind kind
	// register is what it is about, for example "points-1/17": every operation is
	// about exactly one, so that each register's history can be judged alone.
	register string
	// value is written, or compared with; "" for kinds without one.
	value string
}

func (o operation) String() string {
	return strings.TrimSpace(fmt.Sprintf("%v %s %s", o.kind, o.register, o.value))
}

// result is what an operation tells its caller.
type result struct {
	// found is whether there was what the operation was about.
	found bool
	// text is the state that a read saw, and the name that a creation gave.
	text string
}

func (r result) String() string { return fmt.Sprintf("%v %q", r.found, r.text) }

// step is the state machine of one register, of the upstream and of the judges
// alike: what an operation makes of a state, and tells. The state of a point is ""
// or "value|tag", of a collection "" or "there", of an alias its target, and of a
// collection's snapshots their names.
func (o operation) step(state string) (next string, told result) {
	there := result{found: state != ""}
	switch o.kind {
	case upsertPoint:
		return o.value + "|", result{found: true}
	case setPayload:
		if value, _, ok := strings.Cut(state, "|"); ok {
			return value + "|" + o.value, there
		}
		return state, there
	case deletePoint:
		return "", result{found: true}
	case deletePointIf:
		if value, _, _ := strings.Cut(state, "|"); value == o.value {
			return "", result{found: true}
		}
		return state, result{found: true} // Qdrant does not tell how many there were
	case createCollection:
		return "there", result{found: state == ""}
	case deleteCollection, deleteAlias:
		if o.kind == deleteAlias {
			there.found = true // Qdrant says true either way
		}
		return "", there
	case switchAlias:
		return o.value, result{found: true}
	case createSnapshot:
		name := fmt.Sprintf("%s-%d", o.register, strings.Count(state, ",")+1)
		return state + name + ",", result{found: true, text: name}
	default:
		return state, result{found: state != "", text: state}
	}
}
