package restjson

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Encode returns what stands for m over REST, to be marshaled with encoding/json.
func Encode(m proto.Message) any { return encode(m.ProtoReflect()) }

// wrappers are the messages of which only the one field that is set is shown: over REST, the kind of value tells.
var wrappers = map[protoreflect.FullName]bool{
	"qdrant.PointId": true, "qdrant.ShardKey": true, "qdrant.GroupId": true, "qdrant.FacetValue": true,
	"qdrant.OrderValue": true, anyValue: true, "qdrant.ListValue": true, "qdrant.Struct": true,
	"qdrant.VectorOutput": true, "qdrant.DenseVector": true, "qdrant.MultiDenseVector": true,
	"qdrant.VectorsOutput": true, "qdrant.NamedVectorsOutput": true,
	"qdrant.VectorsConfig": true, "qdrant.VectorParamsMap": true, "qdrant.SparseVectorConfig": true,
	"qdrant.MaxOptimizationThreads": true, indexParams: true,
}

const indexParams = "qdrant.PayloadIndexParams"

// shorter are the fields whose name is another over REST.
var shorter = map[protoreflect.Name]string{
	"vectors": "vector", "vectors_config": "vectors", "sparse_vectors_config": "sparse_vectors",
}

func encode(m protoreflect.Message) any {
	of := m.Descriptor()
	if of.FullName() == "qdrant.OptimizerStatus" {
		if text := m.Get(of.Fields().ByName("error")).String(); text != "" {
			return object{"error": text}
		}
		return "ok"
	}
	if setting := of.Fields().ByName("setting"); of.FullName() == "qdrant.MaxOptimizationThreads" && m.Has(setting) {
		return nil // automatic
	}
	if wrappers[of.FullName()] {
		return unwrapped(m)
	}
	out := object{}
	for i := range of.Fields().Len() {
		field := of.Fields().Get(i)
		// What is not set has no key. A payload that is empty can't be told from one that was not asked for.
		if !m.Has(field) && (field.HasPresence() || field.Name() == "payload") {
			continue
		}
		name, ok := shorter[field.Name()]
		if !ok {
			name = string(field.Name())
		}
		out[name] = encodeField(m.Get(field), field)
	}
	return out
}

// unwrapped shows the field that is set. A message of one field, which needs no presence, shows that.
func unwrapped(m protoreflect.Message) (out any) {
	fields := m.Descriptor().Fields()
	if fields.Len() == 1 {
		return encodeField(m.Get(fields.Get(0)), fields.Get(0))
	}
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.ContainingOneof() == nil || !m.Has(field) {
			continue
		}
		out = encodeField(m.Get(field), field)
		if params, ok := out.(object); ok && m.Descriptor().FullName() == indexParams {
			params["type"] = strings.TrimSuffix(string(field.Name()), "_index_params")
		}
		return out
	}
	return nil
}

func encodeField(v protoreflect.Value, field protoreflect.FieldDescriptor) any {
	switch {
	case field.IsMap():
		out := object{}
		for key, value := range v.Map().Range {
			out[key.String()] = encodeSingle(value, field.MapValue())
		}
		return out
	case field.IsList():
		items := v.List()
		out := make(list, 0, items.Len())
		for i := range items.Len() {
			out = append(out, encodeSingle(items.Get(i), field))
		}
		return out
	default:
		return encodeSingle(v, field)
	}
}

func encodeSingle(v protoreflect.Value, field protoreflect.FieldDescriptor) any {
	switch {
	case field.Message() != nil:
		return encode(v.Message())
	case field.Enum() != nil:
		return encodeConstant(v.Enum(), field.Enum())
	case field.Kind() == protoreflect.FloatKind:
		return encodeFloat(v.Float(), 32)
	case field.Kind() == protoreflect.DoubleKind:
		return encodeFloat(v.Float(), 64)
	default:
		return v.Interface()
	}
}

// encodeFloat writes a number so that it is read as one with a fraction again, as Qdrant does. What JSON has no word
// for is null.
func encodeFloat(f float64, bits int) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	text := strconv.FormatFloat(f, 'g', -1, bits)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return json.Number(text)
}

// encodeConstant writes the name of one: MaxSim is "max_sim". Distances are in capitals, and null is none.
func encodeConstant(n protoreflect.EnumNumber, of protoreflect.EnumDescriptor) any {
	value := of.Values().ByNumber(n)
	switch {
	case value == nil:
		return int32(n)
	case of.Name() == "NullValue":
		return nil
	case of.Name() == "Distance":
		return string(value.Name())
	}
	var out strings.Builder
	for i, r := range string(value.Name()) {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
