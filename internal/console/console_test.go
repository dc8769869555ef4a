package console_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"qdrant-sidecar/internal/console"
)

func TestTable(t *testing.T) {
	table := console.NewTable("METHOD", ">PER S", "NEVER", "ERRORS")
	paint := console.Paint(true)
	table.Row("Points/Query", "7", "", paint.Bad("NotFound 3"))
	table.Row("ümläut", "1,234")
	got := table.Lines(false)
	want := []string{
		"METHOD        PER S  ERRORS",
		"Points/Query      7  " + paint.Bad("NotFound 3"),
		"ümläut        1,234",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPaint(t *testing.T) {
	if got := console.Paint(false).Bad("x"); got != "x" {
		t.Errorf("%q is painted", got)
	}
	if got := console.Paint(true).Bad(""); got != "" {
		t.Errorf("nothing is painted: %q", got)
	}
	if console.PaintFor(&bytes.Buffer{}, func(string) string { return "" }) {
		t.Error("a buffer is painted")
	}
	if got := console.Width(console.Paint(true).Bad("ab") + "c"); got != 3 {
		t.Errorf("width %d", got)
	}
}

func TestCut(t *testing.T) {
	paint := console.Paint(true)
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"äöüß", 3, "äö…"},
		{paint.Bad("abcd"), 3, "\x1b[31mab…\x1b[0m"},
	} {
		if got := console.Cut(test.text, test.width); got != test.want {
			t.Errorf("%q at %d: %q, want %q", test.text, test.width, got, test.want)
		}
	}
}

func TestWrap(t *testing.T) {
	if got := console.Wrap("one two three  four", 9); !slices.Equal(got, []string{"one two", "three", "four"}) {
		t.Errorf("%q", got)
	}
}

func TestPlain(t *testing.T) {
	if got, want := console.Plain("ümläut … 日本\x1b[2J\n\u202e!"), "ümläut … 日本·[2J··!"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzPlain holds that what others have made cannot take control of a terminal, and
// that what is cut is no wider than it may be.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"name", "\x1b[2J", "\u202eevil", "a\x00b\x9bc", "\xff"} {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		plain := console.Plain(s)
		if strings.ContainsAny(plain, "\x1b\n\r\x00\x07\u202e\u009b") || !utf8.ValidString(plain) {
			t.Errorf("%q became %q", s, plain)
		}
		width = 1 + abs(width)%100
		if cut := console.Cut(plain, width); console.Width(cut) > width {
			t.Errorf("%q is wider than %d", cut, width)
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
