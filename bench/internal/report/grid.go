package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// grid is a Markdown table whose source is as readable as what is made of it.
type grid struct {
	rows [][]string
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

// write writes the first row as the head. Columns but the first are aligned to
// the right.
func (g *grid) write(w io.Writer) {
	widths := make([]int, len(g.rows[0]))
	for _, row := range g.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	for n, row := range g.rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(w, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(w, "| %s%s ", pad, cell)
			}
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for i, width := range widths {
				if i == 0 {
					fmt.Fprintf(w, "|%s", strings.Repeat("-", width+2))
				} else {
					fmt.Fprintf(w, "|%s:", strings.Repeat("-", width+1))
				}
			}
			fmt.Fprintln(w, "|")
		}
	}
	fmt.Fprintln(w)
}

// none stands where there is no number.
const none = "–"

// number formats with so many decimals, and thousands apart.
func number(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	s := fmt.Sprintf("%.*f", decimals, v)
	whole, fraction, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole
}

// signed is number with a plus.
func signed(v float64) string {
	s := number(v, 0)
	if v >= 0 {
		s = "+" + s
	}
	return s
}
