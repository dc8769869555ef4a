package console

import "strings"

// Table aligns rows. The zero value has no columns.
type Table struct {
	columns []column
	rows    [][]string
}

type column struct {
	title string
	right bool
}

// NewTable returns one with columns of these titles; those that begin with ">" are
// aligned to the right, and lose it.
func NewTable(titles ...string) *Table {
	t := &Table{}
	for _, title := range titles {
		name, right := strings.CutPrefix(title, ">")
		t.columns = append(t.columns, column{name, right})
	}
	return t
}

// Row adds a row, whose cells may be painted. Missing cells are empty.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Len is how many rows there are.
func (t *Table) Len() int { return len(t.rows) }

// gap stands between columns.
const gap = "  "

// Lines returns the table, a line each, the titles first. Columns that are empty in
// all rows are left out.
func (t *Table) Lines(p Paint) []string {
	widths := make([]int, len(t.columns))
	for i := range t.columns {
		for _, row := range t.rows {
			if i < len(row) {
				widths[i] = max(widths[i], Width(row[i]))
			}
		}
		if widths[i] > 0 {
			widths[i] = max(widths[i], Width(t.columns[i].title))
		}
	}
	titles := make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i] = p.Faint(c.title)
	}
	lines := []string{t.line(titles, widths)}
	for _, row := range t.rows {
		lines = append(lines, t.line(row, widths))
	}
	return lines
}

func (t *Table) line(cells []string, widths []int) string {
	var b strings.Builder
	for i, c := range t.columns {
		if widths[i] == 0 {
			continue
		}
		cell := ""
		if i < len(cells) {
			cell = cells[i]
		}
		space := strings.Repeat(" ", widths[i]-Width(cell))
		if b.Len() > 0 {
			b.WriteString(gap)
		}
		if c.right {
			b.WriteString(space + cell)
		} else {
			b.WriteString(cell + space)
		}
	}
	return strings.TrimRight(b.String(), " ")
}
