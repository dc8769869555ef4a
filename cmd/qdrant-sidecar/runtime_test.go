package main

import (
	"testing"
	"testing/fstest"
)

func TestContainerLimits(t *testing.T) {
	for _, test := range []struct {
		memory, cpu string
		want        limits
	}{
		{"max\n", "max 100000\n", limits{}},
		{"268435456\n", "50000 100000\n", limits{memory: 256 << 20, cpus: 0.5}},
		{"268435456\n", "max 100000\n", limits{memory: 256 << 20}},
		{"max\n", "400000 100000\n", limits{cpus: 4}},
		{"nonsense", "1 0", limits{}},
		{"", "", limits{}},
	} {
		cgroup := fstest.MapFS{
			"memory.max": {Data: []byte(test.memory)},
			"cpu.max":    {Data: []byte(test.cpu)},
		}
		if got := containerLimits(cgroup); got != test.want {
			t.Errorf("memory %q, cpu %q: %+v, want %+v", test.memory, test.cpu, got, test.want)
		}
	}
	if got := containerLimits(fstest.MapFS{}); got != (limits{}) {
		t.Errorf("outside of a container: %+v", got)
	}
}

func TestGCPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{
		0:         mostGCPercent,
		1 << 20:   mostGCPercent,
		16 << 20:  200,
		32 << 20:  100,
		100 << 30: leastGCPercent,
	} {
		if got := gcPercentFor(live); got != want {
			t.Errorf("with %d live bytes: %d percent, want %d", live, got, want)
		}
	}
}
