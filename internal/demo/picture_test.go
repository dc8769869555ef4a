package demo

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qdrant-sidecar/internal/digits"
)

func TestPlainPicture(t *testing.T) {
	want := []string{
		"    --##++..    ",
		"    ##%%**%%--  ",
		"  ::%%..  **++  ",
		"  ::##    ++++  ",
		"  --++    ++++  ",
		"  ::**  ..##==  ",
		"  ..%%--**##    ",
		"    --##**      ",
	}
	got := picture(digits.All()[0].Pixels).plain()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// All 17 amounts of ink, lightest first, fall on shades that never get lighter.
func TestShadesOfInk(t *testing.T) {
	var p picture
	for ink := range digits.Ink + 1 {
		p[ink] = float32(ink)
	}
	got := strings.Join(p.plain(), "")[:2*(digits.Ink+1)]
	if want := "  ....::::----==++++****####%%%%@@"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

var cell = regexp.MustCompile(`(?:\x1b\[38;5;(\d+);48;5;(\d+)m)?▀`)

// grays reads a coloured picture back into the gray of each half block.
func grays(t *testing.T, lines []string) [][]int {
	t.Helper()
	var rows [][]int
	for _, line := range lines {
		var upper, lower []int
		fore, back := 0, 0
		for _, m := range cell.FindAllStringSubmatch(line, -1) {
			if m[1] != "" {
				fore, _ = strconv.Atoi(m[1])
				back, _ = strconv.Atoi(m[2])
			}
			upper, lower = append(upper, fore), append(lower, back)
		}
		if rest := cell.ReplaceAllString(line, ""); rest != "\x1b[0m" {
			t.Errorf("after its half blocks a line has %q, want a reset", rest)
		}
		rows = append(rows, upper, lower)
	}
	return rows
}

func TestGrayPicture(t *testing.T) {
	var p picture
	for y := range digits.Side {
		for x := range digits.Side / 2 {
			p[y*digits.Side+x] = digits.Ink // the left half
		}
	}
	p[0], p[digits.Side-1] = 0, digits.Ink // but the upper corners the other way round

	rows := grays(t, p.gray())
	if len(rows) != 2*digits.Side {
		t.Fatalf("%d rows of half blocks, want %d", len(rows), 2*digits.Side)
	}
	for y, row := range rows {
		if len(row) != 2*digits.Side {
			t.Fatalf("row %d has %d half blocks, want %d", y, len(row), 2*digits.Side)
		}
		for _, gray := range row {
			if gray < darkest || gray > brightest {
				t.Errorf("row %d has the colour %d, which is no gray", y, gray)
			}
		}
	}
	for name, c := range map[string]struct{ got, want int }{
		"upper left corner":  {rows[0][0], darkest},
		"upper right corner": {rows[0][15], brightest},
		"lower left corner":  {rows[15][0], brightest},
		"lower right corner": {rows[15][15], darkest},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, want %d", name, c.got, c.want)
		}
	}
}

// Smoothing makes a ramp of an edge, and changes nothing beyond the pixels beside it.
func TestGrayPictureIsSmoothBothWays(t *testing.T) {
	var left, upper picture
	for y := range digits.Side {
		for x := range digits.Side / 2 {
			left[y*digits.Side+x] = digits.Ink
			upper[x*digits.Side+y] = digits.Ink
		}
	}
	across := grays(t, left.gray())[8]
	var down []int
	for _, row := range grays(t, upper.gray()) {
		down = append(down, row[8])
	}
	want := make([]int, 2*digits.Side)
	for i := range want {
		want[i] = brightest
		if i > 8 {
			want[i] = darkest
		}
	}
	// A quarter of a pixel from its centre towards another, three quarters of the ink
	// is its own, which the cubic makes 27/32, of 23 steps.
	want[7], want[8] = darkest+19, darkest+4
	if !slices.Equal(across, want) {
		t.Errorf("across the edge: %v, want %v", across, want)
	}
	if !slices.Equal(down, want) {
		t.Errorf("down the edge: %v, want %v", down, want)
	}
}

func TestPictureOfWhatIsNoInk(t *testing.T) {
	p := picture{float32(math.NaN()), float32(math.Inf(-1)), -1, float32(math.Inf(1)), 1e9}
	if got, want := p.plain()[0], "      @@@@      "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	grays(t, p.gray())
}
