package main

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// How far the heap may grow over what is live, in percent, before it is collected.
// The live heap of a proxy is a few megabytes, so that at Go's 100 it would be
// collected all the time; five times a few megabytes is little. With thousands of
// calls in flight, stacks included, it would be much, and is not needed: what
// counts is how many calls there are between two collections.
const (
	mostGCPercent  = 400
	leastGCPercent = 20
	gcHeadroom     = 32 << 20 // bytes
)

// memoryShare is how much of the container's memory the Go heap and stacks may
// take before the collector works harder: the rest is for what it doesn't count.
const memoryShare = 0.8

// limits are those of a container.
type limits struct {
	memory int64   // bytes; 0 when there is none
	cpus   float64 // 0 when there is none
}

// tuneRuntime sets what Go leaves to the environment, except where the
// environment says something. With less than two CPUs one thread runs Go code:
// Go would take two, and their handing work to each other cost about 40 % more
// CPU a call when it was measured.
func tuneRuntime(getenv func(string) string) {
	l := containerLimits(os.DirFS("/sys/fs/cgroup"))
	if getenv("GOGC") == "" {
		debug.SetGCPercent(mostGCPercent)
		paceGC()
	}
	if getenv("GOMEMLIMIT") == "" && l.memory > 0 {
		debug.SetMemoryLimit(int64(float64(l.memory) * memoryShare))
	}
	if getenv("GOMAXPROCS") == "" && l.cpus > 0 && l.cpus < 2 {
		runtime.GOMAXPROCS(1)
	}
}

// paceGC adjusts, after each collection, how far the heap may grow until the next.
func paceGC() {
	// Smaller ones would be put together with others, and not be collected by
	// themselves.
	type cycle [16]byte
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	last := mostGCPercent
	var collected func(struct{})
	watch := func() { runtime.AddCleanup(new(cycle), collected, struct{}{}) }
	collected = func(struct{}) {
		metrics.Read(samples)
		percent := gcPercentFor(samples[0].Value.Uint64() + samples[1].Value.Uint64())
		if percent != last {
			last = percent
			debug.SetGCPercent(percent)
		}
		watch()
	}
	watch()
}

// gcPercentFor returns what gives so many live bytes their headroom, in steps,
// because a change stops all goroutines for a moment.
func gcPercentFor(live uint64) int {
	percent := gcHeadroom * 100 / max(live, 1)
	return int(min(max(percent/20*20, leastGCPercent), mostGCPercent))
}

// containerLimits reads the limits of the process's own cgroup (version 2), which
// a container sees as the root. What is missing or unlimited is 0.
func containerLimits(cgroup fs.FS) limits {
	var l limits
	if raw, err := fs.ReadFile(cgroup, "memory.max"); err == nil {
		// "max" is no number, and means none.
		l.memory, _ = strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	}
	if raw, err := fs.ReadFile(cgroup, "cpu.max"); err == nil {
		var quota, period float64
		if n, _ := fmt.Sscan(string(raw), &quota, &period); n == 2 && period > 0 {
			l.cpus = quota / period
		}
	}
	return l
}
