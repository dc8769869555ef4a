package memqdrant

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qdrant/go-client/qdrant"
)

// path addresses values in a payload: `city`, `a.b`, `list[].k`, `list[2]`, `a."b.c"`. Its first step is a key.
type path []step

type stepKind uint8

const (
	stepKey   stepKind = iota // a field of an object
	stepIndex                 // one item of a list
	stepItems                 // every item of a list
)

type step struct {
	kind  stepKind
	key   string
	index int
}

// parsePath reads a payload key; anything that isn't one is refused with its own text.
func parsePath(text string) (path, error) {
	var p path
	for rest := text; rest != "" || len(p) == 0; {
		next, tail, ok := parseStep(rest, len(p) == 0)
		if !ok {
			return nil, malformed("Invalid json path: '%s'", text)
		}
		p, rest = append(p, next), tail
	}
	return p, nil
}

// parseStep cuts the next step off text. The first one has no dot before it.
func parseStep(text string, first bool) (s step, rest string, ok bool) {
	switch {
	case first:
	case strings.HasPrefix(text, "[]"):
		return step{kind: stepItems}, text[2:], true
	case strings.HasPrefix(text, "["):
		digits, tail, closed := strings.Cut(text[1:], "]")
		index, err := strconv.ParseUint(digits, 10, 64)
		// ParseUint would take a plus sign or underscores nowhere in base 10, but be sure that it is digits only.
		if !closed || err != nil || strings.Trim(digits, "0123456789") != "" {
			return s, "", false
		}
		return step{kind: stepIndex, index: int(min(index, math.MaxInt))}, tail, true
	case strings.HasPrefix(text, "."):
		text = text[1:]
	default:
		return s, "", false
	}
	if strings.HasPrefix(text, `"`) {
		key, tail, closed := strings.Cut(text[1:], `"`)
		return step{key: key}, tail, closed && !strings.Contains(key, `\`)
	}
	end := bareKey(text)
	return step{key: text[:end]}, text[end:], end > 0
}

// bareKey returns how many bytes of text may be a key without quotes.
func bareKey(text string) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return i
		}
		i += size
	}
	return len(text)
}

// String spells the path so that parsePath reads it back.
func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		switch s.kind {
		case stepItems:
			b.WriteString("[]")
		case stepIndex:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		default:
			if i > 0 {
				b.WriteByte('.')
			}
			if s.key == "" || bareKey(s.key) < len(s.key) {
				b.WriteString(`"` + s.key + `"`)
			} else {
				b.WriteString(s.key)
			}
		}
	}
	return b.String()
}

// items returns the path of the items of the list at p.
func (p path) items() path {
	if p[len(p)-1].kind == stepItems {
		return p
	}
	return append(slices.Clip(p), step{kind: stepItems})
}

// get appends the values at p to found; several when p passes through lists.
func (p path) get(payload map[string]*qdrant.Value, found []*qdrant.Value) []*qdrant.Value {
	v, ok := payload[p[0].key]
	if !ok {
		return found
	}
	return p[1:].descend(v, found)
}

func (p path) descend(v *qdrant.Value, found []*qdrant.Value) []*qdrant.Value {
	if len(p) == 0 {
		return append(found, v)
	}
	switch s := p[0]; s.kind {
	case stepKey:
		if child, ok := v.GetStructValue().GetFields()[s.key]; ok {
			return p[1:].descend(child, found)
		}
	case stepIndex:
		if list := v.GetListValue().GetValues(); s.index < len(list) {
			return p[1:].descend(list[s.index], found)
		}
	case stepItems:
		for _, item := range v.GetListValue().GetValues() {
			found = p[1:].descend(item, found)
		}
	}
	return found
}
