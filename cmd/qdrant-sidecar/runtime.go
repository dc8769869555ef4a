package main

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent lets the heap grow to five times what is live before it is
// collected. The live heap of a proxy is a few megabytes, so that at Go's 100 it
// would be collected all the time.
const gcPercent = 400

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
		debug.SetGCPercent(gcPercent)
	}
	if getenv("GOMEMLIMIT") == "" && l.memory > 0 {
		debug.SetMemoryLimit(int64(float64(l.memory) * memoryShare))
	}
	if getenv("GOMAXPROCS") == "" && l.cpus > 0 && l.cpus < 2 {
		runtime.GOMAXPROCS(1)
	}
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
