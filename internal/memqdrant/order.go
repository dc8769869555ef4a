package memqdrant

import (
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// orderBy orders points by a payload value, which needs an index that can.
type orderBy struct {
	key        path
	descending bool
	from       *orderValue // where to start; nil is the beginning
}

func parseOrderBy(in *qdrant.OrderBy) (*orderBy, error) {
	o := &orderBy{descending: in.GetDirection() == qdrant.Direction_Desc}
	switch from := in.GetStartFrom().GetValue().(type) {
	case *qdrant.StartFrom_Integer:
		// Qdrant goes through a float here, too.
		o.from = &orderValue{isFloat: true, float: float64(from.Integer)}
	case *qdrant.StartFrom_Float:
		o.from = &orderValue{isFloat: true, float: from.Float}
	case *qdrant.StartFrom_Timestamp:
		o.from = &orderValue{integer: from.Timestamp.AsTime().UnixMicro()}
	case *qdrant.StartFrom_Datetime:
		t, ok := parseTime(from.Datetime)
		if !ok {
			return nil, malformed("Malformed datetime: input contains invalid characters")
		}
		o.from = &orderValue{integer: t.UnixMicro()}
	}
	var err error
	o.key, err = parsePath(in.GetKey())
	return o, err
}

func (*orderBy) inputs() []*input { return nil }

func (o *orderBy) best(c *collection, q *query, f *filter) ([]scored, error) {
	return c.entries(o, f, q.limit)
}

// entries returns the points that pass f in order, at most limit. A point comes once per value it has.
func (c *collection) entries(o *orderBy, f *filter, limit int) ([]scored, error) {
	index, ok := c.indexes[o.key.String()]
	if !ok || !index.ordersByRange() {
		return nil, badInput("No range index for `order_by` key: `%s`. Please create one to use `order_by`. "+
			"Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Range conditions", o.key)
	}
	var entries []scored
	for _, p := range c.points {
		if !c.matches(f, p) {
			continue
		}
		for _, v := range index.values(p) {
			value := index.orderValue(v)
			if o.from == nil || o.direction()*compareOrder(value, *o.from) >= 0 {
				entries = append(entries, scored{point: p, score: 1, order: &value})
			}
		}
	}
	compare := func(a, b scored) int {
		if by := compareOrder(*a.order, *b.order); by != 0 {
			return by * o.direction()
		}
		return compareIDs(a.point.id, b.point.id) * o.direction()
	}
	slices.SortFunc(entries, compare)
	entries = slices.CompactFunc(entries, func(a, b scored) bool { return compare(a, b) == 0 })
	return entries[:min(limit, len(entries))], nil
}

func (o *orderBy) direction() int {
	if o.descending {
		return -1
	}
	return 1
}
