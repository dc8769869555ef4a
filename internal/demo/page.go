package demo

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	// width is the column that lines end at, the left margin included: the right one is
	// as wide, on a terminal of 80.
	width  = 78
	margin = "  "
	// named is the width of the column with a step's name.
	named = 18
	// gap between pictures: four of them are exactly as wide as the page.
	gap = "    "
)

// page writes the show line by line, so that people see how far it is. The buffer is
// there for its memory: bufio.Writer writes nothing after the first error and keeps it,
// which lets everything here but err have no result.
type page struct {
	w     *bufio.Writer
	color bool
}

func newPage(w io.Writer, color bool) *page {
	return &page{w: bufio.NewWriter(w), color: color}
}

// err is the first error of writing.
func (p *page) err() error {
	if err := p.w.Flush(); err != nil {
		return failed("writing the show", err)
	}
	return nil
}

// line writes one line without the spaces at its end.
func (p *page) line(parts ...string) {
	_, _ = p.w.WriteString(strings.TrimRight(strings.Join(parts, ""), " ") + "\n")
	_ = p.w.Flush()
}

func (p *page) bold(s string) string { return p.styled("1", s) }
func (p *page) dim(s string) string  { return p.styled("2", s) }

func (p *page) styled(style, s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// title opens the show.
func (p *page) title(title string, lines ...string) {
	p.line()
	p.line(margin, p.bold(title))
	p.line()
	for _, l := range lines {
		p.line(margin, l)
	}
}

// section opens a part of the show.
func (p *page) section(title string) {
	p.line()
	p.line()
	p.line(margin, p.bold(title))
	p.line()
}

func (p *page) say(sentence string) { p.line(margin, sentence) }

// step is a call by the name the SDK has for it, what it did, and the time it took.
func (p *page) step(name, what string, took time.Duration) {
	t := duration(took)
	fill := width - len(margin) - named - len(what)
	p.line(margin, fmt.Sprintf("%-*s", named, name), what, p.dim(fmt.Sprintf("%*s", fill, t)))
}

// tile is a picture's lines, each pictureWidth columns wide whatever escapes are in it.
func (p *page) tile(pic picture) []string {
	if p.color {
		return pic.gray()
	}
	return pic.plain()
}

// pictureBeside draws a picture with text at its right, in the middle of its height.
func (p *page) pictureBeside(pic picture, text ...string) {
	first := (pictureHeight - len(text)) / 2
	for i, pixels := range p.tile(pic) {
		words := ""
		if n := i - first; n >= 0 && n < len(text) {
			words = text[n]
		}
		p.line(margin, pixels, gap, words)
	}
	p.line()
}

// matches draws pictures side by side, each with its label and score below.
func (p *page) matches(found []match) {
	rows := make([][]string, pictureHeight+2)
	for _, m := range found {
		label, score := fmt.Sprintf("label %d", m.label), fmt.Sprintf("score %.2f", m.score)
		tile := append(p.tile(m.pixels), p.bold(centred(label)), p.dim(centred(score)))
		for i, l := range tile {
			rows[i] = append(rows[i], l)
		}
	}
	p.line()
	for _, r := range rows {
		p.line(margin, strings.Join(r, gap))
	}
	p.line()
}

// centred pads a caption to the width of a picture.
func centred(s string) string {
	left := max(0, pictureWidth-len(s)) / 2
	return fmt.Sprintf("%-*s", pictureWidth, strings.Repeat(" ", left)+s)
}

func duration(d time.Duration) string {
	return milliseconds(float64(d) / float64(time.Millisecond))
}

// milliseconds writes a time with as many digits as mean something: calls take
// microseconds in memory and seconds across an ocean.
func milliseconds(ms float64) string {
	switch {
	case ms < 0.1:
		return fmt.Sprintf("%.3f ms", ms)
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.2f s", ms/1000)
	}
}

// thousands writes a count, which is never negative, as people read it.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
