package demo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// valueEnds is the column that the values of all tables end at.
	valueEnds = 60
	indent    = margin + margin
)

// table is one or more families whose series moved alike. Four counters of the same
// calls would otherwise fill a screen with the same rows four times.
type table struct {
	heads [][]string // name{label="value", …} with the labels that all rows share, in pieces
	rows  [][]string // the values of the other labels
	texts []string   // beside rows
	means []string   // beside rows; empty if there is none
}

// families prints what moved: a family with one series on a line, others as their names
// with their series below.
func (p *page) families(moved []family) {
	long := false
	for i, t := range tables(moved) {
		wasLong := long
		long = len(t.rows) > 1 || len(t.heads) > 1
		if i > 0 && (long || wasLong) {
			p.line()
		}
		if !long {
			lines := wrapped(t.heads[0])
			for _, l := range lines[:len(lines)-1] {
				p.line(l)
			}
			p.value(lines[len(lines)-1], t.texts[0], t.means[0])
			continue
		}
		for _, h := range t.heads {
			for _, l := range wrapped(h) {
				p.line(l)
			}
		}
		for i, cells := range aligned(t.rows) {
			p.value(indent+cells, t.texts[i], t.means[i])
		}
	}
	p.line()
}

// value prints a name and a value, on two lines if they don't fit on one.
func (p *page) value(name, text, mean string) {
	if len(name)+1+len(text) > valueEnds {
		p.line(name)
		name = ""
	}
	line := name + fmt.Sprintf("%*s", valueEnds-len(name), text)
	if mean != "" {
		line += p.dim(fmt.Sprintf("%*s", width-valueEnds, "mean "+mean))
	}
	p.line(line)
}

// tables puts families that moved alike together, in the order of their first.
func tables(moved []family) []table {
	var all []table
	for _, f := range moved {
		t := newTable(f)
		if i := slices.IndexFunc(all, t.alike); i >= 0 {
			all[i].heads = append(all[i].heads, t.heads...)
			continue
		}
		all = append(all, t)
	}
	return all
}

func (t table) alike(other table) bool {
	return slices.Equal(t.texts, other.texts) && slices.Equal(t.means, other.means) &&
		slices.EqualFunc(t.rows, other.rows, slices.Equal[[]string])
}

// newTable takes the labels that are the same in all rows out of them.
func newTable(f family) table {
	var shared []label
	for _, l := range f.changes[0].labels {
		if inAll(f.changes, l) {
			shared = append(shared, l)
		}
	}
	t := table{heads: [][]string{head(f.name, shared)}}
	for _, c := range f.changes {
		var row []string
		for _, l := range c.labels {
			if !slices.Contains(shared, l) {
				row = append(row, printable(l.value))
			}
		}
		t.rows = append(t.rows, row)
		t.texts = append(t.texts, c.text)
		t.means = append(t.means, c.mean)
	}
	return t
}

func inAll(changes []change, l label) bool {
	return !slices.ContainsFunc(changes, func(c change) bool { return !slices.Contains(c.labels, l) })
}

// head is a family with labels as Prometheus writes it, in pieces between which a line
// may end.
func head(name string, labels []label) []string {
	if len(labels) == 0 {
		return []string{name}
	}
	pieces := []string{name + "{"}
	for _, l := range labels {
		pieces = append(pieces, fmt.Sprintf("%s=%+q, ", l.name, l.value))
	}
	last := len(pieces) - 1
	pieces[last] = strings.TrimSuffix(pieces[last], ", ") + "}"
	return pieces
}

// wrapped puts pieces on as few lines as fit the page, all but the first indented.
func wrapped(pieces []string) []string {
	lines := []string{margin}
	for i, piece := range pieces {
		last := len(lines) - 1
		if i > 0 && len(lines[last])+len(strings.TrimRight(piece, " ")) > width {
			lines = append(lines, indent)
			last++
		}
		lines[last] += piece
	}
	return lines
}

// printable keeps a label's value from steering the terminal: the name of a collection,
// say, is chosen by whoever calls.
func printable(s string) string {
	if quoted := strconv.QuoteToASCII(s); s == "" || quoted != `"`+s+`"` {
		return quoted
	}
	return s
}

// aligned pads the cells of each column to the width of its widest.
func aligned(rows [][]string) []string {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(cell))
		}
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		for j, cell := range r {
			lines[i] += fmt.Sprintf("%-*s", widths[j]+2, cell)
		}
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}
