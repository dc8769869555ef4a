package h2

import (
	"slices"

	"golang.org/x/net/http2/hpack"
)

// Fields are the header fields of one HTTP/2 header block: in order, with
// duplicates, names in lower case, and values as on the wire (so those of
// "-bin" names are base64). The zero value is an empty block.
//
// They stay a slice because a proxy reads a handful of names at most.
type Fields []hpack.HeaderField

// Field returns one header field.
func Field(name, value string) hpack.HeaderField {
	return hpack.HeaderField{Name: name, Value: value}
}

// Has reports whether a field of that name is there, even an empty one. The
// name is given in lower case.
func (f Fields) Has(name string) bool {
	return slices.ContainsFunc(f, func(field hpack.HeaderField) bool { return field.Name == name })
}

// Get returns the value of the first field of that lower-case name; "" when
// there is none.
func (f Fields) Get(name string) string {
	for i := range f {
		if f[i].Name == name {
			return f[i].Value
		}
	}
	return ""
}

// Values returns the values of all fields of that name, in order; nil when
// there is none. The name is given in lower case.
func (f Fields) Values(name string) []string {
	var values []string
	for _, field := range f {
		if field.Name == name {
			values = append(values, field.Value)
		}
	}
	return values
}

// Regular returns the fields that are not pseudo-fields.
func (f Fields) Regular() Fields { _, rest := pseudo(f); return rest }
