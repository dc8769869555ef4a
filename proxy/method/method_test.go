package method_test

import (
	"regexp"
	"testing"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

func TestIndexIsDense(t *testing.T) {
	next := 0
	for m := range method.All() {
		if m.Index != next {
			t.Errorf("%s has index %d, want %d", m.FullName(), m.Index, next)
		}
		next++
	}
}

// TestEntriesMakeSense holds the table against what names alone tell.
func TestEntriesMakeSense(t *testing.T) {
	writes := regexp.MustCompile(`^(Create|Update|Delete|Set|Overwrite|Clear|Upsert)`)
	nodeLocal := regexp.MustCompile(`^/qdrant\.(Snapshots|StorageRead)/|/CollectionClusterInfo$`)
	health := regexp.MustCompile(`/HealthCheck$|/Check$`)
	for m := range method.All() {
		name := m.FullName()
		if m == method.Other {
			if m.Class != resilience.Unknown || m.Deadline != method.NoDeadline || m.NodeLocal || m.Health {
				t.Errorf("what nobody knows is known: %+v", m)
			}
			continue
		}
		if m.Class == resilience.Unknown || m.Deadline == method.NoDeadline || m.Reason == "" {
			t.Errorf("%s is not decided: class %v, deadline %v, because %q", name, m.Class, m.Deadline, m.Reason)
		}
		if got, want := m.Class != resilience.Read, writes.MatchString(m.Name); got != want {
			t.Errorf("%s is of class %v", name, m.Class)
		}
		if m.Class == resilience.Read && m.Deadline == method.WriteDeadline || m.Class != resilience.Read && m.Deadline == method.ReadDeadline {
			t.Errorf("%s, of class %v, has the deadline of a %v", name, m.Class, m.Deadline)
		}
		if want := nodeLocal.MatchString(name); m.NodeLocal != want {
			t.Errorf("%s: NodeLocal = %v", name, m.NodeLocal)
		}
		if want := health.MatchString(name); m.Health != want {
			t.Errorf("%s: Health = %v", name, m.Health)
		}
	}
}

func TestLookup(t *testing.T) {
	for m := range method.All() {
		if got := method.Lookup(m.FullName()); got != m {
			t.Errorf("%s finds %s", m.FullName(), got.FullName())
		}
	}
	for _, path := range []string{"", "/", "/qdrant.Points", "/qdrant.Points/", "qdrant.Points/Query", "/qdrant.points/query", "/qdrant.Points/Query/", "/qdrant.StorageRead/ReadBytesStream"} {
		if got := method.Lookup(path); got != method.Other {
			t.Errorf("%q finds %s", path, got.FullName())
		}
	}
}
