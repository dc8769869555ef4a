package memqdrant

import (
	"cmp"
	"math"
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// fieldIndex remembers that an index was asked for. Nothing is looked up in it; some methods work only with one.
type fieldIndex struct {
	key      path
	dataType qdrant.PayloadSchemaType
	params   *qdrant.PayloadIndexParams // nil unless the request had some
}

// newIndex reads the kind of an index.
func newIndex(in *qdrant.CreateFieldIndexCollection) (fieldIndex, error) {
	key, err := parsePath(in.GetFieldName())
	if err != nil {
		return fieldIndex{}, err
	}
	if in.FieldType == nil {
		return fieldIndex{}, malformed("cannot convert field_type")
	}
	// Both enums list the same kinds; the schema's has one for "unknown" in front.
	dataType := qdrant.PayloadSchemaType(in.GetFieldType() + 1)
	if _, known := qdrant.PayloadSchemaType_name[int32(dataType)]; !known || dataType == qdrant.PayloadSchemaType_UnknownType {
		return fieldIndex{}, malformed("field type is missing")
	}
	params := in.GetFieldIndexParams()
	switch kind := paramsKind(params); {
	case kind == qdrant.PayloadSchemaType_UnknownType:
		params = nil
	case kind != dataType:
		return fieldIndex{}, malformed("field_type (%s) and field_index_params do not match", dataType)
	case kind == qdrant.PayloadSchemaType_Text && params.GetTextIndexParams().GetTokenizer() == qdrant.TokenizerType_Unknown:
		return fieldIndex{}, malformed("unknown tokenizer type")
	}
	if text := params.GetTextIndexParams(); text.GetStemmer() != nil || text.GetStopwords() != nil || text.GetAsciiFolding() {
		return fieldIndex{}, unsupported("stemming, stop words or ASCII folding in text indexes")
	}
	return fieldIndex{key: key, dataType: dataType, params: params}, nil
}

// paramsKind returns which kind of index the parameters are for; unknown when there are none.
func paramsKind(params *qdrant.PayloadIndexParams) qdrant.PayloadSchemaType {
	switch params.GetIndexParams().(type) {
	case *qdrant.PayloadIndexParams_KeywordIndexParams:
		return qdrant.PayloadSchemaType_Keyword
	case *qdrant.PayloadIndexParams_IntegerIndexParams:
		return qdrant.PayloadSchemaType_Integer
	case *qdrant.PayloadIndexParams_FloatIndexParams:
		return qdrant.PayloadSchemaType_Float
	case *qdrant.PayloadIndexParams_GeoIndexParams:
		return qdrant.PayloadSchemaType_Geo
	case *qdrant.PayloadIndexParams_TextIndexParams:
		return qdrant.PayloadSchemaType_Text
	case *qdrant.PayloadIndexParams_BoolIndexParams:
		return qdrant.PayloadSchemaType_Bool
	case *qdrant.PayloadIndexParams_DatetimeIndexParams:
		return qdrant.PayloadSchemaType_Datetime
	case *qdrant.PayloadIndexParams_UuidIndexParams:
		return qdrant.PayloadSchemaType_Uuid
	default:
		return qdrant.PayloadSchemaType_UnknownType
	}
}

func (c *collection) addIndex(index fieldIndex) {
	name := index.key.String()
	c.indexes[name] = index
	delete(c.tokenizers, name)
	if index.dataType == qdrant.PayloadSchemaType_Text {
		c.tokenizers[name] = newTokenizer(index.params.GetTextIndexParams())
	}
}

func (c *collection) dropIndex(key path) {
	delete(c.indexes, key.String())
	delete(c.tokenizers, key.String())
}

// values are what the index holds of a point: the values at its key, lists flattened once.
func (x fieldIndex) values(p *point) []*qdrant.Value {
	var flat []*qdrant.Value
	for _, v := range x.key.get(p.payload, nil) {
		if list, ok := v.GetKind().(*qdrant.Value_ListValue); ok {
			flat = append(flat, list.ListValue.GetValues()...)
		} else {
			flat = append(flat, v)
		}
	}
	return slices.DeleteFunc(flat, func(v *qdrant.Value) bool { return !x.holds(v) })
}

// holds reports whether the index can hold v.
func (x fieldIndex) holds(v *qdrant.Value) bool {
	switch x.dataType {
	case qdrant.PayloadSchemaType_Keyword, qdrant.PayloadSchemaType_Text:
		_, ok := v.GetKind().(*qdrant.Value_StringValue)
		return ok
	case qdrant.PayloadSchemaType_Uuid:
		_, ok := parseUUID(v.GetStringValue())
		return ok
	case qdrant.PayloadSchemaType_Datetime:
		_, ok := parseTime(v.GetStringValue())
		return ok
	case qdrant.PayloadSchemaType_Integer:
		_, ok := v.GetKind().(*qdrant.Value_IntegerValue)
		return ok
	case qdrant.PayloadSchemaType_Float:
		_, ok := number(v)
		return ok
	case qdrant.PayloadSchemaType_Bool:
		_, ok := v.GetKind().(*qdrant.Value_BoolValue)
		return ok
	case qdrant.PayloadSchemaType_Geo:
		return placeIn(func(float64, float64) bool { return true })(v)
	default:
		return false
	}
}

func (c *collection) countIndexed(x fieldIndex) int {
	count := 0
	for _, p := range c.points {
		if len(x.values(p)) > 0 {
			count++
		}
	}
	return count
}

// ordersByRange reports whether the index knows an order of its values.
func (x fieldIndex) ordersByRange() bool {
	switch x.dataType {
	case qdrant.PayloadSchemaType_Integer:
		params := x.params.GetIntegerIndexParams()
		return params == nil || params.Range == nil || params.GetRange()
	case qdrant.PayloadSchemaType_Float, qdrant.PayloadSchemaType_Datetime:
		return true
	default:
		return false
	}
}

// orderValue is a value to order by. Integers and times (in microseconds) are exact, the rest are floats.
type orderValue struct {
	isFloat bool
	integer int64
	float   float64
}

func (x fieldIndex) orderValue(v *qdrant.Value) orderValue {
	switch x.dataType {
	case qdrant.PayloadSchemaType_Datetime:
		t, _ := parseTime(v.GetStringValue())
		return orderValue{integer: t.UnixMicro()}
	case qdrant.PayloadSchemaType_Integer:
		return orderValue{integer: v.GetIntegerValue()}
	default:
		f, _ := number(v)
		return orderValue{isFloat: true, float: f}
	}
}

func compareOrder(a, b orderValue) int {
	switch {
	case !a.isFloat && !b.isFloat:
		return cmp.Compare(a.integer, b.integer)
	case a.isFloat && b.isFloat:
		return cmp.Compare(a.float, b.float)
	case a.isFloat:
		return -compareOrder(b, a)
	}
	// Comparing with the float's floor keeps integers exact that a float64 cannot hold.
	switch floor := math.Floor(b.float); {
	case floor >= math.MaxInt64:
		return -1
	case floor < math.MinInt64:
		return 1
	case a.integer != int64(floor):
		return cmp.Compare(a.integer, int64(floor))
	case b.float > floor:
		return -1
	}
	return 0
}

func (v orderValue) proto() *qdrant.OrderValue {
	if v.isFloat {
		return &qdrant.OrderValue{Variant: &qdrant.OrderValue_Float{Float: v.float}}
	}
	return &qdrant.OrderValue{Variant: &qdrant.OrderValue_Int{Int: v.integer}}
}
