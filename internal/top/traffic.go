package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/human"
)

// Order is what groups of calls are sorted by.
type Order int

// The orders.
const (
	ByRate Order = iota
	ByLatency
	ByErrors
	ByName

	orders = iota
)

// String returns the order as the screen names it.
func (o Order) String() string { return [...]string{"rate", "latency", "errors", "name"}[o] }

// Next returns the order after this one, the first one after the last.
func (o Order) Next() Order { return (o + 1) % orders }

func (o Order) compare(a, b *adminv1.Traffic) int {
	first := 0
	switch o {
	case ByRate:
		first = cmp.Compare(b.GetRate(), a.GetRate())
	case ByLatency:
		first = cmp.Compare(b.GetP99().AsDuration(), a.GetP99().AsDuration())
	case ByErrors:
		first = cmp.Compare(failures(b), failures(a))
	case ByName:
	}
	return cmp.Or(first, strings.Compare(a.GetName(), b.GetName()))
}

// traffic draws a table of groups of calls.
func (d *drawing) traffic(title string, list []*adminv1.Traffic) {
	if len(list) == 0 {
		return
	}
	list = slices.SortedFunc(slices.Values(list), d.Sort.compare)
	table := console.NewTable(title, ">PER S", ">P50", ">P99", ">UPSTREAM", ">QDRANT", ">FAILED", ">ATTEMPTS", "ERRORS")
	for _, t := range list {
		upstream, qdrant, perCall := "", "", ""
		if s := t.GetStages(); s != nil {
			upstream = human.Duration(s.GetUpstream().AsDuration())
		}
		if said := t.GetServerTime(); said != nil {
			qdrant = human.Duration(said.GetQdrant().AsDuration())
		}
		if t.GetCalls() > 0 {
			perCall = fmt.Sprintf("%.2f", float64(t.GetAttempts())/float64(t.GetCalls()))
		}
		failed := failures(t)
		var errors []string
		for _, e := range t.GetErrors() {
			errors = append(errors, fmt.Sprintf("%s %s", e.GetCode(), human.Count(e.GetCalls())))
		}
		cells := []string{
			console.Cut(console.Plain(t.GetName()), 48), human.Rate(t.GetRate()), latency(t.GetP50().AsDuration()), latency(t.GetP99().AsDuration()),
			upstream, qdrant, d.bad(human.Percent(failed, t.GetCalls()), failed > 0), perCall, d.Paint.Bad(strings.Join(errors, ", ")),
		}
		if t.GetCalls() == 0 {
			for i := range cells {
				cells[i] = d.Paint.Faint(cells[i])
			}
		}
		table.Row(cells...)
	}
	d.add(table.Lines(d.Paint)...)
	d.add("")
}
