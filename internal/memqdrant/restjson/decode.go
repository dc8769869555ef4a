// Package restjson turns the JSON of Qdrant's REST API into the messages of its gRPC API, and back.
//
// The two say the same in different shapes. Nearly all of it follows from the schema: a field is an object's key of
// that name, a constant its name in lower case. What doesn't is in the table of shapes.go. Reading goes by way of
// protobuf's own JSON, which knows ranges and types.
package restjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// object and list are what JSON is made of.
type (
	object = map[string]any
	list   = []any
)

// maxDepth bounds how deep JSON may be nested. Real filters have a few levels.
const maxDepth = 100

// Decode reads the body of a request, which is one object, into m. What the schema doesn't know is ignored, as Qdrant
// does; fields are those of the body and what more says, by their names over gRPC. Errors are of the caller's making.
func Decode(body []byte, more map[string]any, m proto.Message) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	read := object{}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := d.Decode(&read); err != nil {
			return err
		}
		if d.More() {
			return fmt.Errorf("trailing characters")
		}
	}
	if read == nil {
		read = object{}
	}
	maps.Copy(read, more)
	translated, err := message(read, m.ProtoReflect().Descriptor(), 0)
	if err != nil {
		return err
	}
	text, err := json.Marshal(translated)
	if err != nil {
		return err
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, m); err != nil {
		// The library varies the space in its errors, lest anybody compare them.
		text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
		return fmt.Errorf("%s", strings.TrimPrefix(strings.TrimPrefix(text, "proto: "), "syntax error "))
	}
	return nil
}

// message translates what stands for a message of this type.
func message(v any, of protoreflect.MessageDescriptor, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("recursion limit exceeded")
	}
	if shape, ok := shapes[of.FullName()]; ok {
		v = shape(v)
	}
	in, ok := v.(object)
	if !ok {
		if of.FullName() == timestamp {
			return v, nil
		}
		return nil, fmt.Errorf("invalid type: %s, expected %s", kindOf(v), of.Name())
	}
	in = folded(in, of)
	out := make(object, len(in))
	for key, value := range in {
		field := fieldOf(of, key)
		if field == nil || value == nil && !isValue(field) {
			continue
		}
		translated, err := fieldValue(value, field, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		out[string(field.Name())] = translated
	}
	return out, nil
}

// fieldOf finds the field that a key stands for. Over gRPC some have a longer name: `vector` is `vectors`, `vectors`
// is `vectors_config`, `collection` is `collection_name`.
func fieldOf(of protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	for _, ending := range [...]string{"", "s", "_config", "_name"} {
		if field := of.Fields().ByName(protoreflect.Name(key + ending)); field != nil {
			return field
		}
	}
	return nil
}

// isValue says that a null in the field is one, and does not mean that there is nothing.
func isValue(field protoreflect.FieldDescriptor) bool {
	return field.Message() != nil && field.Message().FullName() == anyValue
}

// fieldValue translates the value of a field.
func fieldValue(v any, field protoreflect.FieldDescriptor, depth int) (any, error) {
	switch {
	case field.IsMap():
		entries, ok := v.(object)
		if !ok {
			return nil, fmt.Errorf("invalid type: %s, expected a map", kindOf(v))
		}
		out := make(object, len(entries))
		for key, value := range entries {
			translated, err := single(value, field.MapValue(), depth)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			out[key] = translated
		}
		return out, nil
	case field.IsList():
		items, ok := v.(list)
		if !ok {
			items = list{v} // where one is enough, it needs no list
		}
		out := make(list, 0, len(items))
		for i, item := range items {
			translated, err := single(item, field, depth)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out = append(out, translated)
		}
		return out, nil
	default:
		return single(v, field, depth)
	}
}

// single translates what is neither list nor map.
func single(v any, field protoreflect.FieldDescriptor, depth int) (any, error) {
	switch {
	case field.Message() != nil:
		return message(v, field.Message(), depth)
	case field.Enum() != nil:
		return constant(v, field.Enum())
	default:
		return v, nil
	}
}

// constant translates the name of one: "max_sim" is MaxSim, "keyword" is FieldTypeKeyword.
func constant(v any, of protoreflect.EnumDescriptor) (any, error) {
	name, ok := v.(string)
	if !ok {
		return v, nil // a number, from a shape
	}
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	for i := range of.Values().Len() {
		value := of.Values().Get(i)
		if got := plain(string(value.Name())); got == plain(name) || got == plain(string(of.Name())+name) {
			return int(value.Number()), nil
		}
	}
	return nil, fmt.Errorf("unknown variant `%s`", name)
}

// kindOf names what JSON has there.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return fmt.Sprintf("string %q", v)
	case list:
		return "sequence"
	default:
		return "map"
	}
}
