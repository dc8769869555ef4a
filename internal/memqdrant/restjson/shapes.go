package restjson

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	timestamp = "google.protobuf.Timestamp"
	anyValue  = "qdrant.Value"
	selector  = "qdrant.PointsSelector"
)

// shapes are the messages that are not simply an object of their fields over REST. Each function turns what stands for
// one into such an object, of which the fields are translated afterwards; what it doesn't understand it leaves, and
// the translation complains.
var shapes = map[protoreflect.FullName]func(any) any{
	timestamp:                                      instant,
	anyValue:                                       value,
	"qdrant.PointId":                               byKind("num", "uuid", "", ""),
	"qdrant.ShardKey":                              byKind("number", "keyword", "", ""),
	"qdrant.ShardKeySelector":                      byKind("shard_keys", "shard_keys", "shard_keys", ""),
	"qdrant.Vector":                                vector,
	"qdrant.Vectors":                               vectors,
	"qdrant.VectorInput":                           vectorInput,
	"qdrant.VectorsSelector":                       byKind("", "names", "names", ""),
	"qdrant.WithVectorsSelector":                   byKind("", "include", "include", "enable"),
	"qdrant.WithPayloadSelector":                   byKind("", "include", "include", "enable"),
	"qdrant.PayloadIncludeSelector":                byKind("", "fields", "fields", ""),
	"qdrant.PayloadExcludeSelector":                byKind("", "fields", "fields", ""),
	"qdrant.WithLookup":                            byKind("", "collection", "", ""),
	"qdrant.Query":                                 query,
	"qdrant.ContextInput":                          under("pairs"),
	"qdrant.OrderBy":                               byKind("", "key", "", ""),
	"qdrant.StartFrom":                             startFrom,
	"qdrant.Condition":                             condition,
	"qdrant.FieldCondition":                        fieldCondition,
	"qdrant.Match":                                 match,
	"qdrant.UpsertPoints":                          upsert,
	"qdrant.PointsUpdateOperation.PointStructList": upsert,
	"qdrant.QueryBatchPoints":                      queryBatch,
	"qdrant.PointsUpdateOperation":                 operation,
	"qdrant.VectorsConfig":                         vectorsConfig,
	"qdrant.VectorsConfigDiff":                     vectorsConfig,
	"qdrant.SparseVectorConfig":                    under("map"),
	"qdrant.MaxOptimizationThreads":                byKind("value", "setting", "", ""),
	"qdrant.CreateFieldIndexCollection":            fieldIndex,
	"qdrant.StopwordsSet":                          byKind("", "languages", "", ""),
}

// byKind puts what is no object into the field for its kind.
func byKind(ofNumber, ofString, ofList, ofBool string) func(any) any {
	return func(v any) any {
		field := ""
		switch v.(type) {
		case json.Number:
			field = ofNumber
		case string:
			field = ofString
		case list:
			field = ofList
		case bool:
			field = ofBool
		}
		if field == "" {
			return v
		}
		return object{field: v}
	}
}

// under puts everything into a field.
func under(field string) func(any) any {
	return func(v any) any { return object{field: v} }
}

// instant reads the formats of time that are common in filters; without a zone it is UTC.
func instant(v any) any {
	text, _ := v.(string)
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Format(time.RFC3339Nano)
		}
	}
	return v
}

// value is one of a payload.
func value(v any) any {
	switch v := v.(type) {
	case nil:
		return object{"null_value": json.Number("0")}
	case bool:
		return object{"bool_value": v}
	case string:
		return object{"string_value": v}
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return object{"integer_value": v}
		}
		return object{"double_value": v}
	case list:
		return object{"list_value": object{"values": v}}
	default:
		return object{"struct_value": object{"fields": v}}
	}
}

func vector(v any) any {
	switch v := v.(type) {
	case list:
		if len(v) == 0 || kindOf(v[0]) != "sequence" {
			return object{"dense": object{"data": v}}
		}
		rows := make(list, 0, len(v))
		for _, row := range v {
			rows = append(rows, object{"data": row})
		}
		return object{"multi_dense": object{"vectors": rows}}
	case object:
		for _, kind := range [...]struct{ key, field string }{
			{"indices", "sparse"}, {"text", "document"}, {"image", "image"}, {"object", "object"},
		} {
			if _, ok := v[kind.key]; ok {
				return object{kind.field: v}
			}
		}
	}
	return v
}

// vectors are one vector, or several by name.
func vectors(v any) any {
	named, ok := v.(object)
	if _, isDocument := named["model"]; !ok || isDocument {
		return object{"vector": v}
	}
	return object{"vectors": object{"vectors": named}}
}

func vectorInput(v any) any {
	switch v.(type) {
	case json.Number, string:
		return object{"id": v}
	}
	return vector(v)
}

// query is what to look for, or a kind of query by its name.
func query(v any) any {
	in, ok := v.(object)
	if !ok {
		return object{"nearest": v}
	}
	if _, isVector := vector(in).(object)["sparse"]; isVector {
		return object{"nearest": v}
	}
	if _, ok := in["mmr"]; ok {
		return object{"nearest_with_mmr": v}
	}
	return v
}

func startFrom(v any) any {
	if n, ok := v.(json.Number); ok {
		if _, err := n.Int64(); err != nil {
			return object{"float": v}
		}
	}
	return byKind("integer", "datetime", "", "")(v)
}

// condition tells the kinds of conditions by their keys.
func condition(v any) any {
	in, ok := v.(object)
	if !ok {
		return v
	}
	for _, kind := range [...]string{"has_id", "has_vector"} {
		if _, ok := in[kind]; ok {
			return object{kind: in}
		}
	}
	for _, kind := range [...]string{"is_empty", "is_null", "nested"} {
		if _, ok := in[kind].(object); ok {
			return in
		}
	}
	if _, ok := in["key"]; ok {
		return object{"field": in}
	}
	return object{"filter": in}
}

// fieldCondition tells ranges of times from ranges of numbers.
func fieldCondition(v any) any {
	in, _ := v.(object)
	limits, _ := in["range"].(object)
	for _, limit := range limits {
		if _, ok := limit.(string); ok {
			in = maps.Clone(in)
			in["datetime_range"] = limits
			delete(in, "range")
			return in
		}
	}
	return v
}

// match tells by type what is to match.
func match(v any) any {
	in, _ := v.(object)
	if wanted, ok := in["value"]; ok {
		field := map[string]string{"boolean": "boolean", "number": "integer"}[kindOf(wanted)]
		if field == "" {
			field = "keyword"
		}
		return object{field: wanted}
	}
	for _, kind := range [...]struct{ key, prefix string }{{"any", ""}, {"except", "except_"}} {
		wanted, ok := in[kind.key].(list)
		if !ok {
			continue
		}
		if len(wanted) > 0 && kindOf(wanted[0]) == "number" {
			return object{kind.prefix + "integers": object{"integers": wanted}}
		}
		return object{kind.prefix + "keywords": object{"strings": wanted}}
	}
	return v
}

// upsert makes points of a batch, which has the parts of all points side by side.
func upsert(v any) any {
	in, _ := v.(object)
	batch, ok := in["batch"].(object)
	if !ok {
		return v
	}
	ids, _ := batch["ids"].(list)
	payloads, _ := batch["payloads"].(list)
	points := make(list, 0, len(ids))
	for i, id := range ids {
		point := object{"id": id, "vector": row(batch["vectors"], i)}
		if i < len(payloads) && payloads[i] != nil {
			point["payload"] = payloads[i]
		}
		points = append(points, point)
	}
	out := maps.Clone(in)
	delete(out, "batch")
	out["points"] = points
	return out
}

// row is what a batch has for its ith point: of a list, or of a list for each name.
func row(v any, i int) any {
	switch v := v.(type) {
	case list:
		if i < len(v) {
			return v[i]
		}
	case object:
		out := object{}
		for name, each := range v {
			if one := row(each, i); one != nil {
				out[name] = one
			}
		}
		return out
	}
	return nil
}

// queryBatch names the collection in each query: over REST they stand in the path.
func queryBatch(v any) any {
	in, _ := v.(object)
	searches, ok := in["searches"].(list)
	if !ok {
		return v
	}
	queries := make(list, 0, len(searches))
	for _, each := range searches {
		if search, ok := each.(object); ok {
			search = maps.Clone(search)
			search["collection_name"] = in["collection_name"]
			each = search
		}
		queries = append(queries, each)
	}
	out := maps.Clone(in)
	out["query_points"] = queries
	return out
}

func operation(v any) any {
	in, _ := v.(object)
	if remove, ok := in["delete"]; ok {
		return object{"delete_points": remove}
	}
	return v
}

// vectorsConfig is that of one vector, or of several by name.
func vectorsConfig(v any) any {
	if in, ok := v.(object); ok && in["size"] != nil {
		return object{"params": v}
	}
	return object{"params_map": object{"map": v}}
}

// fieldIndex takes the kind of an index, alone or with its parameters.
func fieldIndex(v any) any {
	in, _ := v.(object)
	schema := in["field_schema"]
	params, ok := schema.(object)
	if ok {
		schema = params["type"]
	}
	kind, ok := schema.(string)
	if !ok {
		return v
	}
	out := maps.Clone(in)
	out["field_type"] = kind
	if params != nil {
		out["field_index_params"] = object{strings.ToLower(kind) + "_index_params": params}
	}
	return out
}

// folded moves the points that a write is about, which over REST stand beside the rest, to where the message has them.
func folded(in object, of protoreflect.MessageDescriptor) object {
	for _, name := range [...]protoreflect.Name{"points", "points_selector"} {
		field := of.Fields().ByName(name)
		if field == nil || field.Message() == nil || field.Message().FullName() != selector {
			continue
		}
		out, selection := maps.Clone(in), object{}
		for _, by := range [...]string{"points", "filter"} {
			if v, ok := in[by]; ok && v != nil {
				selection[by] = v
			}
			delete(out, by)
		}
		if ids, ok := selection["points"]; ok {
			selection = object{"points": object{"ids": ids}}
		}
		if len(selection) > 0 {
			out[string(name)] = selection
		}
		return out
	}
	return in
}
