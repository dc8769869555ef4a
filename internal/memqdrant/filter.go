package memqdrant

import (
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// filter is a parsed filter. A nil filter, like one without conditions, lets everything pass.
type filter struct {
	must, mustNot, should []condition
	minShould             []condition
	minCount              int
	hasMinShould          bool
}

// condition tells whether a subject fulfils it.
type condition func(s *subject) bool

// subject is what conditions look at: a point, or within a nested condition one object of its payload, which has
// neither an id nor vectors.
type subject struct {
	point   *point
	payload payload
	// tokenizers are those of the collection's full-text indexes by key: they change what matching a text means.
	tokenizers map[string]tokenizer
}

// matches reports whether p passes f.
func (c *collection) matches(f *filter, p *point) bool {
	return f == nil || f.matches(&subject{point: p, payload: p.payload, tokenizers: c.tokenizers})
}

func (f *filter) matches(s *subject) bool {
	fulfilled := func(c condition) bool { return c(s) }
	if len(f.should) > 0 && !slices.ContainsFunc(f.should, fulfilled) {
		return false
	}
	if f.hasMinShould {
		count := 0
		for _, c := range f.minShould {
			if c(s) {
				count++
			}
		}
		if count < f.minCount {
			return false
		}
	}
	for _, c := range f.must {
		if !c(s) {
			return false
		}
	}
	return !slices.ContainsFunc(f.mustNot, fulfilled)
}

// merge joins two filters list by list, as Qdrant does: two lists of `should` become one.
func merge(a, b *filter) *filter {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	return &filter{
		must:         slices.Concat(a.must, b.must),
		mustNot:      slices.Concat(a.mustNot, b.mustNot),
		should:       slices.Concat(a.should, b.should),
		minShould:    slices.Concat(a.minShould, b.minShould),
		minCount:     max(a.minCount, b.minCount),
		hasMinShould: a.hasMinShould || b.hasMinShould,
	}
}

// idIn is fulfilled by points whose id is in ids.
func idIn(ids map[pointID]bool) condition {
	return func(s *subject) bool { return s.point != nil && ids[s.point.id] }
}

// exceptIDs lets all points pass but these; nil when there are none.
func exceptIDs(ids []pointID) *filter {
	if len(ids) == 0 {
		return nil
	}
	return &filter{mustNot: []condition{idIn(idSet(ids))}}
}

func idSet(ids []pointID) map[pointID]bool {
	set := make(map[pointID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// parseFilter reads a filter of a request; nil gives nil.
func parseFilter(in *qdrant.Filter) (*filter, error) {
	if in == nil {
		return nil, nil
	}
	var f filter
	var err error
	if f.should, err = parseConditions(in.GetShould()); err != nil {
		return nil, err
	}
	if m := in.GetMinShould(); m != nil {
		f.hasMinShould, f.minCount = true, int(m.GetMinCount())
		if f.minShould, err = parseConditions(m.GetConditions()); err != nil {
			return nil, err
		}
	}
	if f.must, err = parseConditions(in.GetMust()); err != nil {
		return nil, err
	}
	f.mustNot, err = parseConditions(in.GetMustNot())
	return &f, err
}

// parseConditions skips empty conditions, as Qdrant does.
func parseConditions(in []*qdrant.Condition) ([]condition, error) {
	var conditions []condition
	for _, c := range in {
		parsed, err := parseCondition(c)
		if err != nil {
			return nil, err
		}
		if parsed != nil {
			conditions = append(conditions, parsed)
		}
	}
	return conditions, nil
}

func parseCondition(in *qdrant.Condition) (condition, error) {
	switch c := in.GetConditionOneOf().(type) {
	case *qdrant.Condition_Field:
		return parseField(c.Field)
	case *qdrant.Condition_HasId:
		ids, err := parseIDs(c.HasId.GetHasId())
		return idIn(idSet(ids)), err
	case *qdrant.Condition_Filter:
		f, err := parseFilter(c.Filter)
		return func(s *subject) bool { return f == nil || f.matches(s) }, err
	case *qdrant.Condition_IsEmpty:
		return parseOfValues(c.IsEmpty.GetKey(), allEmpty)
	case *qdrant.Condition_IsNull:
		return parseOfValues(c.IsNull.GetKey(), func(values []*qdrant.Value) bool {
			return slices.ContainsFunc(values, isNull)
		})
	case *qdrant.Condition_Nested:
		return parseNested(c.Nested)
	case *qdrant.Condition_HasVector:
		name := c.HasVector.GetHasVector()
		return func(s *subject) bool {
			if s.point == nil {
				return false
			}
			_, has := s.point.vectors[name]
			return has
		}, nil
	default:
		return nil, nil
	}
}

// parseOfValues makes a condition of a check of all values at key.
func parseOfValues(key string, check func([]*qdrant.Value) bool) (condition, error) {
	p, err := parsePath(key)
	return func(s *subject) bool {
		var buf [4]*qdrant.Value
		return check(p.get(s.payload, buf[:0]))
	}, err
}

// allEmpty holds for nothing, nulls and empty lists.
func allEmpty(values []*qdrant.Value) bool {
	return !slices.ContainsFunc(values, func(v *qdrant.Value) bool { return !isEmpty(v) })
}

func isEmpty(v *qdrant.Value) bool {
	list, ok := v.GetKind().(*qdrant.Value_ListValue)
	return isNull(v) || ok && len(list.ListValue.GetValues()) == 0
}

// parseNested looks at the objects of a list one by one: all conditions must hold within the same object.
func parseNested(in *qdrant.NestedCondition) (condition, error) {
	if in.GetFilter() == nil {
		return nil, malformed("Nested condition must have a filter")
	}
	p, err := parsePath(in.GetKey())
	if err != nil {
		return nil, err
	}
	f, err := parseFilter(in.GetFilter())
	if err != nil {
		return nil, err
	}
	p = p.items()
	return func(s *subject) bool {
		for _, v := range p.get(s.payload, nil) {
			if object := v.GetStructValue(); object != nil && f.matches(&subject{payload: object.GetFields()}) {
				return true
			}
		}
		return false
	}, nil
}
