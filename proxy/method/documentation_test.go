package method_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"qdrant-sidecar/proxy/method"
)

var update = flag.Bool("update", false, "write docs/methods.md instead of comparing it")

func TestDocumentationIsFresh(t *testing.T) {
	const file = "../../docs/methods.md"
	want := page()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s is stale (%v): run make generate", file, err)
	}
}

// page is docs/methods.md.
func page() string {
	var b strings.Builder
	b.WriteString(`# Methods

<!-- Made from proxy/method/table.go by "make generate". -->

What the sidecar knows about each RPC of Qdrant, and so what it may do with it. A method that
is not here passes as it is, and is not repeated once anything of it was sent.

* **Class** says what repeating a call does. A *read* changes nothing. An *idempotent write* leaves
  the same state however often it is repeated, unless somebody else writes between. An *unsafe
  write* may fail, or do something else, the second time: it is repeated only when it provably was
  not executed. Where there are two classes, the request decides: with every field known and none
  against it, it is the first. A compressed request can't be read and is the second.
* **Deadline** is which default a call gets that brings none of its own.
* **Node** marks what concerns the answering node alone, and is never moved to another one.

| Method | Class | Why | Deadline | Node |
|---|---|---|---|---|
`)
	for m := range method.All() {
		if m == method.Other {
			continue
		}
		class, node := m.Class.String(), ""
		// Nothing in an empty request speaks against repeating it.
		if best := m.ClassOf(cut(nil, 8)); best != m.Class {
			class = best.String() + " or " + class
		}
		if m.NodeLocal {
			node = "local"
		}
		fmt.Fprintf(&b, "| `%s/%s` | %s | %s | %v | %s |\n", m.Service, m.Name, strings.ReplaceAll(class, "_", " "), m.Reason, m.Deadline, node)
	}
	b.WriteString("\nHealth checks (`HealthCheck` and `Check`) never queue, and no circuit breaker stops them.\n")
	return b.String()
}
