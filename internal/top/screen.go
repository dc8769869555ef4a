// Package top draws statistics for a terminal: one answer on top, and what it is
// concluded from under it.
package top

import (
	"fmt"
	"strings"
	"time"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/human"
)

// View is how statistics are looked at.
type View struct {
	// Width and Height are those of the terminal, in characters. A Height of 0 draws
	// all there is.
	Width, Height int
	Paint         console.Paint
	Sort          Order
	// Live says that the screen is drawn again and again, and Paused that it is not
	// just now.
	Live, Paused bool
}

// Screen draws a screen, a line each.
func Screen(s *adminv1.Statistics, v View) []string {
	v.Width = max(v.Width, 40)
	d := drawing{View: v, s: s}
	d.head()
	d.findings()
	d.total()
	d.traffic("METHOD", s.GetMethods())
	d.traffic("COLLECTION", s.GetCollections())
	d.traffic("REST", s.GetRestRoutes())
	d.nodes()
	d.guards()
	d.failures()
	if v.Live {
		d.foot()
	}
	for i, line := range d.lines {
		d.lines[i] = console.Cut(line, v.Width)
	}
	return d.lines
}

// foot leaves out what does not fit, and says so, and which keys there are.
func (d *drawing) foot() {
	if room := d.Height - 1; d.Height > 0 && len(d.lines) > room {
		more := len(d.lines) - room + 1
		d.lines = append(d.lines[:max(room-1, 0)], d.Paint.Faint(fmt.Sprintf("… %d more lines: a larger terminal shows them, or --once", more)))
	}
	d.add(d.Paint.Faint(fmt.Sprintf("q quit   p pause   s sorted by %s   r rate  l latency  e errors  n name", d.Sort)))
}

type drawing struct {
	View
	s     *adminv1.Statistics
	lines []string
}

func (d *drawing) add(lines ...string) { d.lines = append(d.lines, lines...) }

func (d *drawing) head() {
	state := d.Paint.Good("live")
	switch {
	case d.Paused:
		state = d.Paint.Reverse(" PAUSED ")
	case !d.Live:
		state = ""
	}
	parts := []string{
		d.Paint.Bold("qdrant-sidecar"), d.s.GetTime().AsTime().Local().Format(time.TimeOnly),
		"the last " + human.Duration(d.s.GetWindow().AsDuration()),
	}
	if d.s.GetDraining() {
		parts = append(parts, d.Paint.Warn("shutting down"))
	}
	if d.s.GetUnready() != "" {
		parts = append(parts, d.Paint.Bad("not ready"))
	}
	if state != "" {
		parts = append(parts, state)
	}
	d.add(strings.Join(parts, d.Paint.Faint("  ·  ")), "")
}

// culprits are badges.
var culprits = map[adminv1.Finding_Culprit]string{
	adminv1.Finding_CULPRIT_NONE:     "OK",
	adminv1.Finding_CULPRIT_QDRANT:   "QDRANT",
	adminv1.Finding_CULPRIT_NETWORK:  "NETWORK",
	adminv1.Finding_CULPRIT_APP:      "APP",
	adminv1.Finding_CULPRIT_SETTINGS: "SETTINGS",
}

// badgeWidth is that of the widest, with a space after it.
const badgeWidth = 9

func (d *drawing) findings() {
	for i, f := range d.s.GetFindings() {
		name := culprits[f.GetCulprit()]
		badge := fmt.Sprintf("%-*s", badgeWidth, name)
		switch {
		case f.GetCulprit() == adminv1.Finding_CULPRIT_NONE:
			badge = d.Paint.Good(badge)
		case i == 0:
			badge = d.Paint.Bad(badge)
		default:
			badge = d.Paint.Warn(badge)
		}
		sentence := console.Wrap(console.Plain(f.GetSentence()), d.Width-badgeWidth)
		for n, line := range sentence {
			if i == 0 {
				line = d.Paint.Bold(line)
			}
			if n == 0 {
				d.add(badge + line)
			} else {
				d.add(indent + line)
			}
		}
		if i > 0 {
			continue // what is said first is what there is evidence shown for
		}
		for _, e := range f.GetEvidence() {
			d.hanging("· ", e, d.Paint.Faint)
		}
		if f.GetAction() != "" {
			d.hanging("→ ", f.GetAction(), func(s string) string { return s })
		}
	}
	d.add("")
}

var indent = strings.Repeat(" ", badgeWidth)

// hanging adds a paragraph under its mark.
func (d *drawing) hanging(mark, text string, paint func(string) string) {
	for i, line := range console.Wrap(console.Plain(text), d.Width-badgeWidth-2) {
		if i > 0 {
			mark = "  "
		}
		d.add(indent + paint(mark+line))
	}
}

func (d *drawing) total() {
	t := d.s.GetTotal()
	failed := failures(t)
	parts := []string{
		d.Paint.Bold(human.Rate(t.GetRate())) + " calls/s",
		"p50 " + d.Paint.Bold(latency(t.GetP50().AsDuration())),
		"p99 " + d.Paint.Bold(latency(t.GetP99().AsDuration())),
		"failed " + d.bad(human.Percent(failed, t.GetCalls()), failed > 0),
		human.Count(d.s.GetCallsInFlight()) + " under way",
	}
	if again := d.s.GetRetryBudget().GetRepeated(); again > 0 {
		parts = append(parts, human.Count(again)+" repeated")
	}
	d.add(strings.Join(parts, "   "))
	if s := t.GetStages(); s != nil {
		d.add(d.stages(s, t.GetServerTime()))
	}
	d.add("")
}

// stages shows where the time goes: that upstream in two, where Qdrant says which part
// of it is its own.
func (d *drawing) stages(s *adminv1.Stages, said *adminv1.ServerTime) string {
	type part struct {
		name string
		took time.Duration
	}
	parts := []part{{"receive", s.GetReceive().AsDuration()}, {"queue", s.GetQueue().AsDuration()}, {"backoff", s.GetBackoff().AsDuration()}}
	upstream, way, qdrant := s.GetUpstream().AsDuration(), said.GetWay().AsDuration(), said.GetQdrant().AsDuration()
	if way+qdrant > 0 {
		// What is said is of some of the calls: a share.
		own := time.Duration(float64(upstream) * float64(qdrant) / float64(way+qdrant))
		parts = append(parts, part{"the way", upstream - own}, part{"Qdrant", own})
	} else {
		parts = append(parts, part{"network and Qdrant", upstream})
	}
	parts = append(parts, part{"sidecar", s.GetOwn().AsDuration()})
	var total time.Duration
	for _, p := range parts {
		total += p.took
	}
	var texts []string
	for _, p := range parts {
		if p.took == 0 && p.name != "queue" {
			continue
		}
		text := p.name + " " + human.Duration(p.took)
		if p.took*10 >= total && p.took > 0 {
			text += d.Paint.Faint(fmt.Sprintf(" (%d %%)", p.took*100/max(total, 1)))
		}
		texts = append(texts, text)
	}
	return d.Paint.Faint("of a call:  ") + strings.Join(texts, "   ")
}

func (d *drawing) bad(text string, is bool) string {
	if is {
		return d.Paint.Bad(text)
	}
	return text
}

// latency is a time that may be unknown.
func latency(t time.Duration) string {
	if t == 0 {
		return "–"
	}
	return human.Duration(t)
}

func failures(t *adminv1.Traffic) (calls int64) {
	for _, e := range t.GetErrors() {
		calls += e.GetCalls()
	}
	return calls
}
