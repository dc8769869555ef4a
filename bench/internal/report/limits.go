package report

import (
	"fmt"
	"io"
	"math"

	"qdrant-sidecar/bench/internal/run"
	"qdrant-sidecar/bench/internal/target"
)

// limit is a number that the sidecar shall reach in a cell.
type limit struct {
	cell  string
	what  string
	of    func(t run.Table, sidecar run.Row) float64
	bound float64
	least bool // bound is from below
	unit  string
}

// against returns the sidecar's ratio to a peer.
func against(peer string, v value) func(run.Table, run.Row) float64 {
	return func(t run.Table, sidecar run.Row) float64 {
		other, _ := t.Row(peer)
		return ratio(sidecar.Rounds, other.Rounds, v)
	}
}

// addedAgainstHAProxy returns the ratio of what the sidecar and HAProxy add to
// direct.
func addedAgainstHAProxy(v value) func(run.Table, run.Row) float64 {
	return func(t run.Table, sidecar run.Row) float64 {
		direct, _ := t.Row(run.Direct)
		other, _ := t.Row(target.HAProxy)
		return added(sidecar.Rounds, direct.Rounds, v) / added(other.Rounds, direct.Rounds, v)
	}
}

// limits are what was agreed on. Each ratio is within one run.
func limits() []limit {
	var all []limit
	for _, c := range []struct {
		cell                  string
		haproxy, envoy, nginx float64
	}{
		{"t1-c32", 0.55, 0.4, 0.3},
		{"t1-c8", 0.85, 0.55, 0.5},
		{"t1-c1", 1.0, 0.8, 1.05},
	} {
		all = append(all,
			limit{cell: c.cell, what: "CPU a call", of: against(target.HAProxy, cpu), bound: c.haproxy, unit: "× HAProxy"},
			limit{cell: c.cell, what: "CPU a call", of: against(target.Envoy, cpu), bound: c.envoy, unit: "× Envoy"},
			limit{cell: c.cell, what: "CPU a call", of: against(target.Nginx, cpu), bound: c.nginx, unit: "× nginx"})
	}
	all = append(all,
		limit{cell: "t1-c32", what: "calls/s", of: against(target.HAProxy, rate), bound: 1.5, least: true, unit: "× HAProxy"},
		limit{cell: "t2-c32", what: "calls/s", of: against(target.HAProxy, rate), bound: 1.3, least: true, unit: "× HAProxy"},
		limit{cell: "t1-c1", what: "added p50", of: addedAgainstHAProxy(p50), bound: 1, unit: "× HAProxy"},
		limit{cell: "t1-c32", what: "added p50", of: addedAgainstHAProxy(p50), bound: 1, unit: "× HAProxy"},
		limit{cell: "t1-c32", what: "added p99", of: addedAgainstHAProxy(p99), bound: 1, unit: "× HAProxy"},
		limit{cell: "t1-c32", what: "CPU a call, policy", of: func(t run.Table, sidecar run.Row) float64 {
			without, _ := t.Row(target.Forwarder)
			return added(sidecar.Rounds, without.Rounds, cpu)
		}, bound: 2, unit: "µs"},
		limit{cell: "t1-r2000", what: "CPU a call", of: against(target.HAProxy, cpu), bound: 1.5, unit: "× HAProxy"},
		limit{cell: "t1-r2000", what: "added p50", of: addedAgainstHAProxy(p50), bound: 1.5, unit: "× HAProxy"})
	for _, cell := range []string{"up-1m", "up-8m", "up-32m", "down-8m"} {
		all = append(all, limit{cell: cell, what: "MB/s", of: against(target.Nginx, mb), bound: 1, least: true, unit: "× nginx"})
	}
	return append(all,
		limit{cell: "idle", what: "idle connection", bound: 14, unit: "KiB", of: func(t run.Table, r run.Row) float64 {
			return idleCost(t, r, r.Memory.Opened)
		}},
		limit{cell: "many", what: "memory at most", bound: 200, unit: "MiB", of: func(_ run.Table, r run.Row) float64 {
			return float64(r.Memory.Peak) / mib
		}})
}

// Limits writes which of the sidecar's limits hold, as far as the tables tell.
func Limits(w io.Writer, tables []run.Table) {
	var g grid
	g.add("cell", "what", "limit", "measured", "")
	for _, l := range limits() {
		for _, t := range tables {
			if t.Cell.Name != l.cell {
				continue
			}
			sidecar, ok := t.Row(target.Sidecar)
			if !ok {
				continue
			}
			measured := l.of(t, sidecar)
			if math.IsNaN(measured) {
				continue // the peer did not take part
			}
			sign, verdict := "≤", "missed"
			if l.least {
				sign = "≥"
			}
			if measured <= l.bound && !l.least || measured >= l.bound && l.least {
				verdict = "holds"
			}
			g.add(l.cell, l.what, fmt.Sprintf("%s %s %s", sign, number(l.bound, 2), l.unit), number(measured, 2), verdict)
		}
	}
	if len(g.rows) > 1 {
		fmt.Fprint(w, "## Limits\n\n")
		g.write(w)
	}
}
