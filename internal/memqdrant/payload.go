package memqdrant

import (
	"maps"
	"math"
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// payload is what a point carries beside its vectors. A stored payload and everything below it is never changed:
// writers build new maps and lists along the path they change, so answers may share the rest without a lock.
type payload = map[string]*qdrant.Value

// newPayload takes over the fields of a request. Values without a kind become null, as in JSON; numbers that JSON
// cannot spell are refused.
func newPayload(fields map[string]*qdrant.Value) (payload, error) {
	for _, v := range fields {
		if err := adopt(v); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

func adopt(v *qdrant.Value) error {
	switch kind := v.GetKind().(type) {
	case nil:
		v.Kind = &qdrant.Value_NullValue{}
	case *qdrant.Value_NullValue:
		kind.NullValue = qdrant.NullValue_NULL_VALUE
	case *qdrant.Value_DoubleValue:
		if math.IsNaN(kind.DoubleValue) || math.IsInf(kind.DoubleValue, 0) {
			return malformed("cannot convert to json number")
		}
	case *qdrant.Value_ListValue:
		for _, item := range kind.ListValue.GetValues() {
			if err := adopt(item); err != nil {
				return err
			}
		}
	case *qdrant.Value_StructValue:
		for _, field := range kind.StructValue.GetFields() {
			if err := adopt(field); err != nil {
				return err
			}
		}
	}
	return nil
}

func isNull(v *qdrant.Value) bool {
	_, null := v.GetKind().(*qdrant.Value_NullValue)
	return null
}

func structOf(fields payload) *qdrant.Value {
	return &qdrant.Value{Kind: &qdrant.Value_StructValue{StructValue: &qdrant.Struct{Fields: fields}}}
}

func listOf(items []*qdrant.Value) *qdrant.Value {
	return &qdrant.Value{Kind: &qdrant.Value_ListValue{ListValue: &qdrant.ListValue{Values: items}}}
}

// merged returns dest with the fields of src set; a null in src removes the field.
func merged(dest, src payload) payload {
	out := maps.Clone(dest)
	if out == nil {
		out = make(payload, len(src))
	}
	for key, v := range src {
		if isNull(v) {
			delete(out, key)
		} else {
			out[key] = v
		}
	}
	return out
}

// mergedAt merges src into the object at p, building objects and lists where something else is in the way.
func mergedAt(dest payload, p path, src payload) payload {
	if len(p) == 0 {
		return merged(dest, src)
	}
	out := maps.Clone(dest)
	if out == nil {
		out = payload{}
	}
	out[p[0].key] = mergeValue(out[p[0].key], p[1:], src)
	return out
}

func mergeValue(v *qdrant.Value, p path, src payload) *qdrant.Value {
	if len(p) == 0 {
		return structOf(merged(v.GetStructValue().GetFields(), src))
	}
	if p[0].kind == stepKey {
		return structOf(mergedAt(v.GetStructValue().GetFields(), p, src))
	}
	items := slices.Clone(v.GetListValue().GetValues())
	for i, item := range items {
		if p[0].kind == stepItems || p[0].index == i {
			items[i] = mergeValue(item, p[1:], src)
		}
	}
	return listOf(items)
}

// without returns the payload less what is at p. Single list items stay: removing them would shift the others.
func without(dest payload, p path) payload {
	child, ok := dest[p[0].key]
	if !ok {
		return dest
	}
	out := maps.Clone(dest)
	if len(p) == 1 {
		delete(out, p[0].key)
	} else {
		out[p[0].key] = removeValue(child, p[1:])
	}
	return out
}

func removeValue(v *qdrant.Value, p path) *qdrant.Value {
	switch v.GetKind().(type) {
	case *qdrant.Value_StructValue:
		if p[0].kind == stepKey {
			return structOf(without(v.GetStructValue().GetFields(), p))
		}
	case *qdrant.Value_ListValue:
		if p[0].kind == stepItems && len(p) == 1 {
			return listOf(nil)
		}
		if p[0].kind != stepKey && len(p) > 1 {
			items := slices.Clone(v.GetListValue().GetValues())
			for i, item := range items {
				if p[0].kind == stepItems || p[0].index == i {
					items[i] = removeValue(item, p[1:])
				}
			}
			return listOf(items)
		}
	}
	return v
}
