package memqdrant

import (
	"cmp"
	"slices"
	"strings"

	"github.com/qdrant/go-client/qdrant"
)

// facetValue is a value that points are counted by. Exactly the field that the index's type names is used.
type facetValue struct {
	text    string
	integer int64
	truth   bool
}

// facet counts the points that pass f by their values at key: most frequent first, then by value.
func (c *collection) facet(key path, f *filter, limit int) ([]*qdrant.FacetHit, error) {
	index, ok := c.indexes[key.String()]
	if !ok || !index.countsByValue() {
		return nil, badInput("No appropriate index for faceting: `%s`. Please create one to facet on this field. "+
			"Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Match conditions", key)
	}
	counts := map[facetValue]uint64{}
	for _, p := range c.points {
		if !c.matches(f, p) {
			continue
		}
		seen := map[facetValue]bool{}
		for _, v := range index.values(p) {
			value := facetValue{text: v.GetStringValue(), integer: v.GetIntegerValue(), truth: v.GetBoolValue()}
			if index.dataType == qdrant.PayloadSchemaType_Uuid {
				value.text = strings.ToLower(value.text)
			}
			if !seen[value] {
				seen[value] = true
				counts[value]++
			}
		}
	}
	values := make([]facetValue, 0, len(counts))
	for v := range counts {
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b facetValue) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a.text, b.text), cmp.Compare(a.integer, b.integer),
			compareBools(a.truth, b.truth))
	})
	var hits []*qdrant.FacetHit
	for _, v := range values[:min(limit, len(values))] {
		hits = append(hits, &qdrant.FacetHit{Value: index.facetValue(v), Count: counts[v]})
	}
	return hits, nil
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// countsByValue reports whether the index can look values up.
func (x fieldIndex) countsByValue() bool {
	switch x.dataType {
	case qdrant.PayloadSchemaType_Integer:
		params := x.params.GetIntegerIndexParams()
		return params == nil || params.Lookup == nil || params.GetLookup()
	case qdrant.PayloadSchemaType_Keyword, qdrant.PayloadSchemaType_Uuid, qdrant.PayloadSchemaType_Bool:
		return true
	default:
		return false
	}
}

func (x fieldIndex) facetValue(v facetValue) *qdrant.FacetValue {
	switch x.dataType {
	case qdrant.PayloadSchemaType_Integer:
		return &qdrant.FacetValue{Variant: &qdrant.FacetValue_IntegerValue{IntegerValue: v.integer}}
	case qdrant.PayloadSchemaType_Bool:
		return &qdrant.FacetValue{Variant: &qdrant.FacetValue_BoolValue{BoolValue: v.truth}}
	default:
		return &qdrant.FacetValue{Variant: &qdrant.FacetValue_StringValue{StringValue: v.text}}
	}
}
