// Package run starts the upstream and the proxies of a cell, measures them in
// alternation, and stops them.
package run

import (
	"time"

	"qdrant-sidecar/bench/internal/load"
	"qdrant-sidecar/bench/internal/wire"
)

// Kind is what a cell is about.
type Kind int

// The kinds of cells.
const (
	Small Kind = iota // searches: CPU, calls a second, latency
	Large             // few large messages: MB a second, CPU
	Idle              // memory of connections without calls
	Many              // memory of calls in flight
)

// Cell is one column of the comparison: what is called, and how.
type Cell struct {
	Name    string
	Title   string
	Kind    Kind
	Threads int // of each proxy

	Conns    int
	InFlight int // closed loop; 0: Rate
	Rate     int // calls a second, open loop
	Path     string
	Request  int // bytes of the message; 0: the search
	Answer   int // bytes with the prefix
	Delay    time.Duration
	// Release is how long a proxy has to give memory back.
	Release time.Duration
}

const (
	mib = 1 << 20
	// conns is how many connections an app is taken to have.
	conns = 4
	// largeInFlight large messages go at once, on as many connections.
	largeInFlight = 2
	smallAnswer   = 2048
	tinyAnswer    = 128
)

// Cells returns all cells in the order of reports.
func Cells() []Cell {
	small := func(name, title string, threads, inFlight, rate int) Cell {
		return Cell{
			Name: name, Title: title, Threads: threads, Conns: conns,
			InFlight: inFlight, Rate: rate, Path: load.Search, Answer: smallAnswer,
		}
	}
	large := func(name, title string, request, answer int) Cell {
		return Cell{
			Name: name, Title: title, Kind: Large, Threads: 1, Conns: largeInFlight, InFlight: largeInFlight,
			Path: load.Upsert, Request: request, Answer: answer,
		}
	}
	return []Cell{
		small("t1-c32", "32 calls in flight, one thread", 1, 32, 0),
		small("t1-c8", "8 calls in flight, one thread", 1, 8, 0),
		small("t1-c1", "1 call in flight, one thread", 1, 1, 0),
		small("t2-c32", "32 calls in flight, two threads", 2, 32, 0),
		small("t1-r2000", "2,000 calls a second, one thread", 1, 0, 2000),
		large("up-1m", "1 MiB uploads, 2 in flight, one thread", mib, tinyAnswer),
		large("up-8m", "8 MiB uploads, 2 in flight, one thread", 8*mib, tinyAnswer),
		large("up-32m", "32 MiB uploads, 2 in flight, one thread", 32*mib, tinyAnswer),
		large("down-8m", "8 MiB answers, 2 in flight, one thread", 0, 8*mib),
		{
			Name: "idle", Title: "1,000 idle connections", Kind: Idle, Threads: 1, Conns: 1000,
			Path: load.Search, Answer: smallAnswer, Release: 10 * time.Second,
		},
		{
			Name: "many", Title: "10,000 calls in flight on 100 connections, answers after 1 s", Kind: Many, Threads: 1,
			Conns: 100, InFlight: 10_000, Path: load.Search, Answer: smallAnswer, Delay: time.Second,
			// Go collects an idle heap every two minutes, and learns only from the second
			// collection how much of it to return.
			Release: 260 * time.Second,
		},
	}
}

// request returns the framed message of the cell's calls.
func (c Cell) request() []byte {
	if c.Request == 0 {
		return load.SearchRequest()
	}
	return load.UploadRequest(c.Request)
}

// endThreads is how many threads of Go the upstream and the load may each use.
// In a closed loop of small calls a second one mostly looks for work, on a core
// that the proxy needs. With calls due by the clock it must be there: the load
// would be late for them while it reads answers.
func (c Cell) endThreads() int {
	if c.Kind == Small && c.InFlight > 0 {
		return 1
	}
	return 2
}

// payload is what one call carries in its larger direction, in bytes.
func (c Cell) payload() int { return max(c.Request+wire.PrefixSize, c.Answer) }

// plan returns the cell's measurement of an address.
func (c Cell) plan(addr string, warmup, window time.Duration) load.Plan {
	return load.Plan{
		Addr: addr, Conns: c.Conns, InFlight: c.InFlight, Rate: c.Rate,
		Path: c.Path, Request: c.request(), Answer: c.Answer, Warmup: warmup, Window: window,
	}
}
