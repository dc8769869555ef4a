package demo

import (
	"math"
	"strconv"
	"strings"

	"qdrant-sidecar/internal/digits"
)

const (
	// A pixel is two columns wide and one line high, which is square in most fonts.
	pictureWidth  = 2 * digits.Side
	pictureHeight = digits.Side

	// shades are ordered by how much of its cell a character covers.
	shades = " .:-=+*#%@"

	// The 24 grays of the 256-colour palette. They are the same on every terminal, unlike
	// its first 16 colours, and known to terminals that have no 24-bit colour.
	darkest, brightest = 232, 255
)

// picture is a digit as it is drawn: rows from top to bottom, 0 is paper.
type picture [dimensions]float32

// plain draws one character of a shade for each half of a pixel.
func (p picture) plain() []string {
	lines := make([]string, pictureHeight)
	for y := range lines {
		var line strings.Builder
		for x := range digits.Side {
			shade := shades[level(p[y*digits.Side+x], len(shades))]
			line.WriteByte(shade)
			line.WriteByte(shade)
		}
		lines[y] = line.String()
	}
	return lines
}

// gray draws light ink on dark paper in half blocks, which have twice as many lines as
// the terminal: each pixel becomes 2 × 2, smoothed, because strokes read better than
// squares, and with more contrast, because smoothing took some.
func (p picture) gray() []string {
	lines := make([]string, pictureHeight)
	for row := range lines {
		var line strings.Builder
		lastUpper, lastLower := 0, 0
		for x := range pictureWidth {
			upper := darkest + level(contrast(p.smooth(x, 2*row)), brightest-darkest+1)
			lower := darkest + level(contrast(p.smooth(x, 2*row+1)), brightest-darkest+1)
			if upper != lastUpper || lower != lastLower {
				line.WriteString("\x1b[38;5;" + strconv.Itoa(upper) + ";48;5;" + strconv.Itoa(lower) + "m")
				lastUpper, lastLower = upper, lower
			}
			line.WriteString("▀")
		}
		line.WriteString("\x1b[0m")
		lines[row] = line.String()
	}
	return lines
}

// smooth is the picture at twice its size, interpolated linearly both ways. Pixels at
// the edge continue beyond it.
func (p picture) smooth(x, y int) float32 {
	x0, x1, fx := between(x)
	y0, y1, fy := between(y)
	upper := p[y0*digits.Side+x0]*(1-fx) + p[y0*digits.Side+x1]*fx
	lower := p[y1*digits.Side+x0]*(1-fx) + p[y1*digits.Side+x1]*fx
	return upper*(1-fy) + lower*fy
}

// between finds the two pixels whose centres a half pixel lies between, and how far it
// is from the first to the second.
func between(half int) (first, second int, fraction float32) {
	at := (float32(half)+0.5)/2 - 0.5
	floor := int(math.Floor(float64(at)))
	return max(floor, 0), min(floor+1, digits.Side-1), at - float32(floor)
}

// contrast moves ink away from the middle, along the cubic that is flat at both ends.
func contrast(ink float32) float32 {
	v := clamped(ink) / digits.Ink
	return v * v * (3 - 2*v) * digits.Ink
}

// level maps ink to one of n steps.
func level(ink float32, n int) int {
	return int(math.Round(float64(clamped(ink) / digits.Ink * float32(n-1))))
}

// clamped takes a value that is no ink for the nearest that is, and NaN for paper: a
// vector comes from a database and may be anything.
func clamped(ink float32) float32 {
	if !(ink > 0) {
		return 0
	}
	return min(ink, digits.Ink)
}
