package top

import (
	"fmt"
	"strings"
	"time"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/human"
)

// alike are failures that differ only in when they were.
type alike struct {
	newest, oldest *adminv1.FailedCall
	times          int
}

// failures draws the last calls that failed, those that are alike together.
func (d *drawing) failures() {
	var groups []*alike
	byKey := map[string]*alike{}
	for _, f := range d.s.GetLastFailures() {
		key := strings.Join([]string{f.GetCode(), f.GetMethod(), f.GetCollection(), f.GetReason(), f.GetOutcome(), f.GetNode()}, "\n")
		g := byKey[key]
		if g == nil {
			g = &alike{newest: f}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.oldest = f
		g.times++
	}
	if len(groups) == 0 {
		return
	}
	now := d.s.GetTime().AsTime()
	table := console.NewTable("LAST FAILURES", ">TIMES", ">AGO", "METHOD", "COLLECTION", "WHY", ">TOOK", ">DEADLINE")
	for _, g := range groups {
		f := g.newest
		ago := human.Duration(max(0, now.Sub(f.GetTime().AsTime())).Round(100 * time.Millisecond))
		why, deadline := f.GetReason(), ""
		if why == "" {
			why = strings.ReplaceAll(f.GetOutcome(), "_", " ")
		}
		if f.GetDeadline() != nil {
			deadline = human.Duration(f.GetDeadline().AsDuration())
		}
		table.Row(d.Paint.Bad(f.GetCode()), fmt.Sprint(g.times), ago, console.Cut(console.Plain(f.GetMethod()), 32),
			console.Cut(console.Plain(f.GetCollection()), 24), why, human.Duration(f.GetDuration().AsDuration()), deadline)
	}
	d.add("")
	d.add(table.Lines(d.Paint)...)
}
