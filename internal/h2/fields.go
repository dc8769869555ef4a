package h2

import (
	"encoding/base64"
	"slices"
	"strings"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/metadata"
)

// Fields are the header fields of one HTTP/2 header block: in order, with
// duplicates, names in lower case, and values as on the wire (so those of
// "-bin" names are base64). The zero value is an empty block.
//
// They stay a slice because a proxy reads a handful of names at most; a map is
// made only for whoever asks, by [Fields.MD].
type Fields []hpack.HeaderField

// FromMD makes Fields of gRPC metadata. Names come in sorted order, since a map
// has forgotten theirs; the values of one name keep their order.
func FromMD(md metadata.MD) Fields {
	if len(md) == 0 {
		return nil
	}
	names := make([]string, 0, len(md))
	n := 0
	for name, values := range md {
		names = append(names, name)
		n += len(values)
	}
	slices.Sort(names)
	fields := make(Fields, 0, n)
	for _, name := range names {
		for _, value := range md[name] {
			if isBinary(name) {
				value = base64.RawStdEncoding.EncodeToString([]byte(value))
			}
			fields = append(fields, hpack.HeaderField{Name: name, Value: value})
		}
	}
	return fields
}

// MD returns the fields as gRPC metadata, "-bin" values decoded. A "-bin" value
// that is no base64 is left out: metadata has no way to say it.
func (f Fields) MD() metadata.MD {
	md := make(metadata.MD, len(f))
	for _, field := range f {
		value := field.Value
		if isBinary(field.Name) {
			raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
			if err != nil {
				continue
			}
			value = string(raw)
		}
		md[field.Name] = append(md[field.Name], value)
	}
	return md
}

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

// Pseudo returns the fields whose names begin with a colon.
func (f Fields) Pseudo() Fields { front, _ := pseudo(f); return front }

// Regular returns the fields that are not pseudo-fields.
func (f Fields) Regular() Fields { _, rest := pseudo(f); return rest }

// Without returns the fields except those of the given lower-case names. The
// receiver is not changed.
func (f Fields) Without(names ...string) Fields {
	kept := make(Fields, 0, len(f))
	for _, field := range f {
		if !slices.Contains(names, field.Name) {
			kept = append(kept, field)
		}
	}
	return kept
}

// isBinary is gRPC's rule that the value of such a name is base64 on the wire
// (gRPC over HTTP/2, "Custom-Metadata").
func isBinary(name string) bool { return strings.HasSuffix(name, "-bin") }
