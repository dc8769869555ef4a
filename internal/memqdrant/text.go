package memqdrant

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qdrant/go-client/qdrant"
)

// tokenizer is what a full-text index does to texts. Stemming, stop words and ASCII folding are refused.
type tokenizer struct {
	kind           qdrant.TokenizerType
	keepCase       bool
	minLen, maxLen int // in runes; 0 is no bound
	phrases        bool
}

// textMatch is a match by tokens: all of them, any of them, or all of them in a row.
type textMatch struct {
	text        string
	any, phrase bool
}

func newTokenizer(params *qdrant.TextIndexParams) tokenizer {
	return tokenizer{
		kind:     params.GetTokenizer(),
		keepCase: params != nil && params.Lowercase != nil && !params.GetLowercase(),
		minLen:   int(params.GetMinTokenLen()),
		maxLen:   int(params.GetMaxTokenLen()),
		phrases:  params.GetPhraseMatching(),
	}
}

// matches tests a value, or the items of a list together, against m.
func (t tokenizer) matches(m *textMatch, v *qdrant.Value) bool {
	var stored []string
	for _, text := range texts(v) {
		stored = append(stored, t.tokens(text, false)...)
	}
	wanted := t.tokens(m.text, true)
	isStored := func(token string) bool { return slices.Contains(stored, token) }
	switch {
	case len(wanted) == 0:
		return false
	case m.any:
		return slices.ContainsFunc(wanted, isStored)
	case m.phrase && !t.phrases:
		return false // such an index knows no order, and Qdrant finds nothing in it
	case m.phrase:
		for i := range stored {
			if i+len(wanted) <= len(stored) && slices.Equal(stored[i:i+len(wanted)], wanted) {
				return true
			}
		}
		return false
	default:
		return !slices.ContainsFunc(wanted, func(token string) bool { return !isStored(token) })
	}
}

func texts(v *qdrant.Value) []string {
	switch kind := v.GetKind().(type) {
	case *qdrant.Value_StringValue:
		return []string{kind.StringValue}
	case *qdrant.Value_ListValue:
		var all []string
		for _, item := range kind.ListValue.GetValues() {
			if s, ok := item.GetKind().(*qdrant.Value_StringValue); ok {
				all = append(all, s.StringValue)
			}
		}
		return all
	default:
		return nil
	}
}

// tokens splits a stored text, or the text of a query: for prefixes, a query stands for its longest one only.
func (t tokenizer) tokens(text string, query bool) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	if t.kind == qdrant.TokenizerType_Whitespace {
		words = strings.Fields(text)
	}
	var tokens []string
	for _, word := range words {
		if !t.keepCase {
			word = strings.ToLower(word)
		}
		length := utf8.RuneCountInString(word)
		switch {
		case t.minLen > 0 && length < t.minLen:
		case t.kind == qdrant.TokenizerType_Prefix:
			tokens = append(tokens, t.prefixes(word, query)...)
		case t.maxLen > 0 && length > t.maxLen:
		default:
			tokens = append(tokens, word)
		}
	}
	return tokens
}

func (t tokenizer) prefixes(word string, query bool) []string {
	runes := []rune(word)
	longest := len(runes)
	if t.maxLen > 0 {
		longest = min(longest, t.maxLen)
	}
	if query {
		return []string{string(runes[:longest])}
	}
	var all []string
	for n := max(t.minLen, 1); n <= longest; n++ {
		all = append(all, string(runes[:n]))
	}
	return all
}
