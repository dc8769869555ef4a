package faultwire

import (
	"fmt"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// Fields is a header block as it is on the wire: pseudo-header fields
// included, in order, duplicates kept, values undecoded.
type Fields []hpack.HeaderField

// Pairs makes Fields of alternating names and values. It panics when a value
// is missing, which is a mistake in the test that calls it.
func Pairs(namesAndValues ...string) Fields {
	if len(namesAndValues)%2 != 0 {
		panic(fmt.Sprintf("faultwire: Pairs: %d strings are not pairs", len(namesAndValues)))
	}
	fields := make(Fields, 0, len(namesAndValues)/2)
	for i := 0; i < len(namesAndValues); i += 2 {
		fields = append(fields, hpack.HeaderField{Name: namesAndValues[i], Value: namesAndValues[i+1]})
	}
	return fields
}

// With returns a copy of f with the given names and values behind it.
func (f Fields) With(namesAndValues ...string) Fields {
	return append(append(Fields{}, f...), Pairs(namesAndValues...)...)
}

// Get returns the first value of name, or "" when there is none; [Fields.All]
// tells a field that is empty from one that is absent.
func (f Fields) Get(name string) string {
	for _, field := range f {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

// All returns the values of name in order, nil when there is none.
func (f Fields) All(name string) []string {
	var values []string
	for _, field := range f {
		if field.Name == name {
			values = append(values, field.Value)
		}
	}
	return values
}

// String is one "name: value" line a field, with the value quoted, because
// what tests compare includes empty values and bytes that do not print.
func (f Fields) String() string {
	var b strings.Builder
	for _, field := range f {
		fmt.Fprintf(&b, "%s: %q\n", field.Name, field.Value)
	}
	return b.String()
}
