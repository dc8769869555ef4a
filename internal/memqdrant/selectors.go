package memqdrant

import (
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// payloadSelector says which part of a payload an answer carries; the zero value: none.
type payloadSelector struct {
	all     bool
	include []path // only what lies on, above or below one of these
	exclude []path // everything but these
}

// parsePayloadSelector reads a request's with_payload; without one it is all or nothing by the method's default.
func parsePayloadSelector(in *qdrant.WithPayloadSelector, byDefault bool) (payloadSelector, error) {
	if in == nil {
		return payloadSelector{all: byDefault}, nil
	}
	var s payloadSelector
	var err error
	switch o := in.GetSelectorOptions().(type) {
	case *qdrant.WithPayloadSelector_Enable:
		s.all = o.Enable
	case *qdrant.WithPayloadSelector_Include:
		s.include, err = parsePaths(o.Include.GetFields())
	case *qdrant.WithPayloadSelector_Exclude:
		s.exclude, err = parsePaths(o.Exclude.GetFields())
		s.all = err == nil && len(s.exclude) == 0
	default:
		return s, malformed("No PayloadSelector")
	}
	return s, err
}

func parsePaths(texts []string) ([]path, error) {
	paths := make([]path, 0, len(texts))
	for _, text := range texts {
		p, err := parsePath(text)
		if err != nil {
			return nil, err
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// of returns the selected part of p.
func (s payloadSelector) of(p payload) payload {
	switch {
	case s.all:
		return p
	case len(s.include) > 0:
		return keepFields(p, nil, func(at path) bool {
			return slices.ContainsFunc(s.include, func(want path) bool {
				n := min(len(at), len(want))
				return slices.Equal(at[:n], want[:n])
			})
		})
	case len(s.exclude) > 0:
		return keepFields(p, nil, func(at path) bool {
			return !slices.ContainsFunc(s.exclude, func(drop path) bool {
				return len(at) >= len(drop) && slices.Equal(at[:len(drop)], drop)
			})
		})
	default:
		return nil
	}
}

// keepFields copies the fields of an object at the path base for which keep holds, and within them the same again.
func keepFields(fields payload, base path, keep func(path) bool) payload {
	out := make(payload, len(fields))
	for key, v := range fields {
		if at := append(slices.Clip(base), step{key: key}); keep(at) {
			out[key] = keepValue(v, at, keep)
		}
	}
	return out
}

func keepValue(v *qdrant.Value, at path, keep func(path) bool) *qdrant.Value {
	switch kind := v.GetKind().(type) {
	case *qdrant.Value_StructValue:
		return structOf(keepFields(kind.StructValue.GetFields(), at, keep))
	case *qdrant.Value_ListValue:
		at = append(slices.Clip(at), step{kind: stepItems})
		var items []*qdrant.Value
		for _, item := range kind.ListValue.GetValues() {
			if keep(at) {
				items = append(items, keepValue(item, at, keep))
			}
		}
		return listOf(items)
	default:
		return v
	}
}

// vectorSelector says which vectors an answer carries; the zero value: none.
type vectorSelector struct {
	all   bool
	named bool // only names, and always as a map
	names []string
}

func parseVectorSelector(in *qdrant.WithVectorsSelector) vectorSelector {
	switch o := in.GetSelectorOptions().(type) {
	case *qdrant.WithVectorsSelector_Enable:
		return vectorSelector{all: o.Enable}
	case *qdrant.WithVectorsSelector_Include:
		return vectorSelector{named: true, names: o.Include.GetNames()}
	default:
		return vectorSelector{}
	}
}

// of returns the selected vectors: bare when the unnamed one is the only one, else by name.
func (s vectorSelector) of(vectors map[string]vector) *qdrant.VectorsOutput {
	if !s.all && !s.named {
		return nil
	}
	chosen := make(map[string]*qdrant.VectorOutput, len(vectors))
	for name, v := range vectors {
		if s.all || slices.Contains(s.names, name) {
			chosen[name] = v.proto()
		}
	}
	if unnamed, ok := chosen[""]; ok && len(chosen) == 1 {
		return &qdrant.VectorsOutput{VectorsOptions: &qdrant.VectorsOutput_Vector{Vector: unnamed}}
	}
	return &qdrant.VectorsOutput{VectorsOptions: &qdrant.VectorsOutput_Vectors{
		Vectors: &qdrant.NamedVectorsOutput{Vectors: chosen}}}
}
