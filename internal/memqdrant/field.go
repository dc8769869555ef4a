package memqdrant

import (
	"slices"
	"strings"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

// valueCheck tells whether one payload value fulfils a part of a field condition.
type valueCheck func(v *qdrant.Value) bool

// fieldCondition is a condition on the values at a key. Its checks are alternatives: one that holds is enough.
type fieldCondition struct {
	key  path
	name string // the key's text, by which indexes are found

	checks []valueCheck
	// text, when set, is matched by token where a full-text index covers the key.
	text *textMatch

	// The following look at a value as a whole, the checks above at a list's items. Only the first set one counts.
	count           *qdrant.ValuesCount
	isEmpty, isNull *bool
}

// parseField reads a condition on payload values.
func parseField(in *qdrant.FieldCondition) (condition, error) {
	f := &fieldCondition{count: in.GetValuesCount(), isEmpty: in.IsEmpty, isNull: in.IsNull}
	if err := f.parseGeo(in); err != nil {
		return nil, err
	}
	if r := in.GetRange(); r != nil {
		f.checks = append(f.checks, numberIn(r))
	} else if r := in.GetDatetimeRange(); r != nil {
		f.checks = append(f.checks, timeIn(r))
	}
	var err error
	if f.key, err = parsePath(in.GetKey()); err != nil {
		return nil, err
	}
	f.name = f.key.String()
	if m := in.GetMatch(); m != nil {
		check, err := f.parseMatch(m)
		if err != nil {
			return nil, err
		}
		f.checks = append(f.checks, check)
	}
	return f.matches, nil
}

func (f *fieldCondition) parseGeo(in *qdrant.FieldCondition) error {
	if box := in.GetGeoBoundingBox(); box != nil {
		if box.GetTopLeft() == nil || box.GetBottomRight() == nil {
			return malformed("Malformed GeoBoundingBox type")
		}
		f.checks = append(f.checks, placeIn(func(lon, lat float64) bool { return inBox(box, lon, lat) }))
	}
	if circle := in.GetGeoRadius(); circle != nil {
		if circle.GetCenter() == nil {
			return malformed("Malformed GeoRadius type")
		}
		f.checks = append(f.checks, placeIn(func(lon, lat float64) bool { return inCircle(circle, lon, lat) }))
	}
	if polygon := in.GetGeoPolygon(); polygon != nil {
		if polygon.GetExterior() == nil {
			return malformed("Malformed GeoPolygon type - field `exterior` is required")
		}
		f.checks = append(f.checks, placeIn(func(lon, lat float64) bool { return inPolygon(polygon, lon, lat) }))
	}
	return nil
}

func (f *fieldCondition) matches(s *subject) bool {
	var buf [4]*qdrant.Value
	values := f.key.get(s.payload, buf[:0])
	if len(values) == 0 {
		switch {
		case f.isEmpty != nil:
			return *f.isEmpty
		case f.isNull != nil:
			return !*f.isNull
		}
		return false
	}
	if t, indexed := s.tokenizers[f.name]; indexed && f.text != nil {
		return slices.ContainsFunc(values, func(v *qdrant.Value) bool { return t.matches(f.text, v) })
	}
	return slices.ContainsFunc(values, f.matchesValue)
}

func (f *fieldCondition) matchesValue(v *qdrant.Value) bool {
	list, isList := v.GetKind().(*qdrant.Value_ListValue)
	switch {
	case f.count != nil:
		n := uint64(1)
		if isNull(v) {
			n = 0
		} else if isList {
			n = uint64(len(list.ListValue.GetValues()))
		}
		return within(n, f.count.Lt, f.count.Gt, f.count.Lte, f.count.Gte)
	case f.isEmpty != nil:
		return isEmpty(v) == *f.isEmpty
	case f.isNull != nil:
		return (isNull(v) || isList && slices.ContainsFunc(list.ListValue.GetValues(), isNull)) == *f.isNull
	case isList:
		return slices.ContainsFunc(list.ListValue.GetValues(), f.matchesItem)
	}
	return f.matchesItem(v)
}

func (f *fieldCondition) matchesItem(v *qdrant.Value) bool {
	return slices.ContainsFunc(f.checks, func(check valueCheck) bool { return check(v) })
}

// within tests n against bounds that may be missing.
func within[N uint64 | float64](n N, lt, gt, lte, gte *N) bool {
	return (lt == nil || n < *lt) && (gt == nil || n > *gt) && (lte == nil || n <= *lte) && (gte == nil || n >= *gte)
}

func numberIn(r *qdrant.Range) valueCheck {
	return func(v *qdrant.Value) bool {
		n, ok := number(v)
		return ok && within(n, r.Lt, r.Gt, r.Lte, r.Gte)
	}
}

func number(v *qdrant.Value) (float64, bool) {
	switch n := v.GetKind().(type) {
	case *qdrant.Value_IntegerValue:
		return float64(n.IntegerValue), true
	case *qdrant.Value_DoubleValue:
		return n.DoubleValue, true
	default:
		return 0, false
	}
}

func timeIn(r *qdrant.DatetimeRange) valueCheck {
	return func(v *qdrant.Value) bool {
		text, ok := v.GetKind().(*qdrant.Value_StringValue)
		if !ok {
			return false
		}
		t, ok := parseTime(text.StringValue)
		return ok && (r.Lt == nil || t.Before(r.Lt.AsTime())) && (r.Gt == nil || t.After(r.Gt.AsTime())) &&
			(r.Lte == nil || !t.After(r.Lte.AsTime())) && (r.Gte == nil || !t.Before(r.Gte.AsTime()))
	}
}

// parseTime reads the date formats Qdrant does; without a zone it is UTC. Fractions may follow seconds.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range [...]string{
		time.RFC3339, "2006-1-2 15:4:5Z07:00", "2006-1-2T15:4:5Z0700", "2006-1-2 15:4:5Z0700", "2006-1-2T15:4:5Z07",
		"2006-1-2 15:4:5Z07", "2006-1-2 15:4:5 UTC",
		"2006-1-2T15:4:5", "2006-1-2 15:4:5", "2006-1-2T15:4", "2006-1-2 15:4", "2006-1-2",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseMatch reads a match; for texts it also fills f.text.
func (f *fieldCondition) parseMatch(in *qdrant.Match) (valueCheck, error) {
	switch m := in.GetMatchValue().(type) {
	case *qdrant.Match_Keyword:
		return equalsString(m.Keyword), nil
	case *qdrant.Match_Integer:
		return equalsInteger(m.Integer), nil
	case *qdrant.Match_Boolean:
		return func(v *qdrant.Value) bool {
			b, ok := v.GetKind().(*qdrant.Value_BoolValue)
			return ok && b.BoolValue == m.Boolean
		}, nil
	case *qdrant.Match_Keywords:
		return oneOfStrings(m.Keywords.GetStrings()), nil
	case *qdrant.Match_Integers:
		return oneOfIntegers(m.Integers.GetIntegers()), nil
	case *qdrant.Match_ExceptKeywords:
		return except(oneOfStrings(m.ExceptKeywords.GetStrings())), nil
	case *qdrant.Match_ExceptIntegers:
		return except(oneOfIntegers(m.ExceptIntegers.GetIntegers())), nil
	case *qdrant.Match_Text:
		f.text = &textMatch{text: m.Text}
		return containsString(m.Text), nil
	case *qdrant.Match_Phrase:
		f.text = &textMatch{text: m.Phrase, phrase: true}
		return containsString(m.Phrase), nil
	case *qdrant.Match_TextAny:
		f.text = &textMatch{text: m.TextAny, any: true}
		words := strings.Fields(m.TextAny)
		return func(v *qdrant.Value) bool {
			return slices.ContainsFunc(words, func(w string) bool { return containsString(w)(v) })
		}, nil
	default:
		return nil, malformed("Malformed Match condition")
	}
}

func equalsString(want string) valueCheck {
	return func(v *qdrant.Value) bool {
		s, ok := v.GetKind().(*qdrant.Value_StringValue)
		return ok && s.StringValue == want
	}
}

func containsString(part string) valueCheck {
	return func(v *qdrant.Value) bool {
		s, ok := v.GetKind().(*qdrant.Value_StringValue)
		return ok && strings.Contains(s.StringValue, part)
	}
}

func equalsInteger(want int64) valueCheck {
	return func(v *qdrant.Value) bool {
		n, ok := v.GetKind().(*qdrant.Value_IntegerValue)
		return ok && n.IntegerValue == want
	}
}

func oneOfStrings(wanted []string) valueCheck {
	return func(v *qdrant.Value) bool {
		s, ok := v.GetKind().(*qdrant.Value_StringValue)
		return ok && slices.Contains(wanted, s.StringValue)
	}
}

func oneOfIntegers(wanted []int64) valueCheck {
	return func(v *qdrant.Value) bool {
		n, ok := v.GetKind().(*qdrant.Value_IntegerValue)
		return ok && slices.Contains(wanted, n.IntegerValue)
	}
}

// except holds for every value that is neither one of those nor null: values of another type are different.
func except(those valueCheck) valueCheck {
	return func(v *qdrant.Value) bool { return !isNull(v) && !those(v) }
}
