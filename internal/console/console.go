// Package console writes for terminals: tables whose columns stand under each other,
// and colors where they can be seen.
package console

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Paint colors text, or, when it is false, leaves it.
type Paint bool

// PaintFor reports whether to paint what is written to w: not to a file or a pipe, and
// not for those who have set NO_COLOR (no-color.org).
func PaintFor(w io.Writer, getenv func(string) string) Paint {
	return Paint(IsTerminal(w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb")
}

// IsTerminal reports whether w is one.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// The colors are of the sixteen that every terminal has, so that they fit its own.

// Bold is for what counts.
func (p Paint) Bold(s string) string { return p.with("1", s) }

// Faint is for what may be overlooked.
func (p Paint) Faint(s string) string { return p.with("2", s) }

// Good is green.
func (p Paint) Good(s string) string { return p.with("32", s) }

// Warn is yellow.
func (p Paint) Warn(s string) string { return p.with("33", s) }

// Bad is red.
func (p Paint) Bad(s string) string { return p.with("31", s) }

// Reverse is for what must not be overlooked.
func (p Paint) Reverse(s string) string { return p.with("1;7", s) }

func (p Paint) with(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Width is how many columns a text takes that may be painted. It knows no characters
// of two columns: names of methods, collections and nodes have hardly any.
func Width(s string) int {
	n := 0
	for len(s) > 0 {
		if end := escape(s); end > 0 {
			s = s[end:]
			continue
		}
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		n++
	}
	return n
}

// escape is the length of the escape sequence that s begins with.
func escape(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	return strings.IndexByte(s, 'm') + 1
}

// Cut shortens a text that may be painted to so many columns.
func Cut(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	var b strings.Builder
	painted := false
	for n := 0; len(s) > 0; {
		if end := escape(s); end > 0 {
			b.WriteString(s[:end])
			s, painted = s[end:], true
			continue
		}
		if n == width-1 {
			break
		}
		_, size := utf8.DecodeRuneInString(s)
		b.WriteString(s[:size])
		s = s[size:]
		n++
	}
	b.WriteString("…")
	if painted {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// Wrap breaks a text into lines of at most so many columns, at its spaces.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && Width(line)+1+Width(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// Plain removes what could take control of a terminal from text that others have
// made: control characters, ends of lines, and what turns the direction of writing.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return '·'
		}
		return r
	}, s)
}
