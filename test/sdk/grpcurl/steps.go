package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"qdrant-sidecar/test/sdk/transcript"
)

const (
	items = "sdk-items" // 2,000 points of one vector
	named = "sdk-named" // two points of several vectors

	read   = transcript.Read
	write  = transcript.Write
	unsafe = transcript.Unsafe
)

// step is one run of grpcurl.
type step struct {
	name    string
	kind    transcript.Kind
	method  string // and what else follows the address
	request string // JSON; empty when there is none to send
	flags   []string
}

func steps() []step {
	var list []step
	for _, part := range [][]step{reflection(), schema(), loads(), queries(), edits(), aliases(), rest()} {
		list = append(list, part...)
	}
	return list
}

func reflection() []step {
	return []step{
		// A stream is not repeated once anything of it was sent.
		{name: "list services", kind: unsafe, method: "list"},
		{name: "list methods", kind: unsafe, method: "list qdrant.Points"},
		{name: "describe a method", kind: unsafe, method: "describe qdrant.Points.Upsert"},
		{name: "describe a message", kind: unsafe, method: "describe .qdrant.PointStruct"},
		{name: "describe nothing", kind: unsafe, method: "describe qdrant.Nothing"},
		// Nobody but Qdrant says how it is, so the sidecar repeats neither.
		{name: "gRPC health", kind: unsafe, method: "grpc.health.v1.Health/Check"},
		{name: "health check", kind: unsafe, method: "qdrant.Qdrant/HealthCheck"},
	}
}

func schema() []step {
	create := `{"collection_name": "sdk-items", "vectors_config": {"params": {"size": 4, "distance": "Cosine"}}}`
	list := []step{
		{name: "create collection", kind: unsafe, method: "qdrant.Collections/Create", request: create},
		{name: "create collection: exists", kind: unsafe, method: "qdrant.Collections/Create", request: create},
		{name: "create collection with named vectors", kind: unsafe, method: "qdrant.Collections/Create", request: `{
			"collection_name": "sdk-named",
			"vectors_config": {"params_map": {"map": {
				"text": {"size": 3, "distance": "Dot"},
				"words": {"size": 2, "distance": "Cosine", "multivector_config": {"comparator": "MaxSim"}}}}},
			"sparse_vectors_config": {"map": {"terms": {}}}}`},
		{name: "list collections", kind: read, method: "qdrant.Collections/List"},
		{name: "collection info", kind: read, method: "qdrant.Collections/Get", request: `{"collection_name": "sdk-named"}`},
	}
	for _, index := range []struct{ field, kind string }{{"color", "Keyword"}, {"n", "Integer"}} {
		list = append(list, step{
			name: "index " + index.field, kind: write, method: "qdrant.Points/CreateFieldIndex",
			request: fmt.Sprintf(`{"collection_name": "sdk-items", "wait": true, "field_name": %q, "field_type": "FieldType%s"}`, index.field, index.kind),
		})
	}
	return list
}

func loads() []step {
	list := []step{{name: "upsert named vectors", kind: write, method: "qdrant.Points/Upsert", request: `{
		"collection_name": "sdk-named", "wait": true, "points": [
			{"id": {"num": 1}, "payload": {"title": {"string_value": "Moby-Dick"}}, "vectors": {"vectors": {"vectors": {
				"text": {"dense": {"data": [1, 0, 0.5]}}, "terms": {"sparse": {"indices": [1, 7], "values": [0.5, 1.5]}},
				"words": {"multi_dense": {"vectors": [{"data": [1, 0]}, {"data": [0.6, 0.8]}]}}}}}},
			{"id": {"num": 2}, "payload": {"title": {"string_value": "Emma"}}, "vectors": {"vectors": {"vectors": {
				"text": {"dense": {"data": [0.25, 1, 0]}}, "terms": {"sparse": {"indices": [7, 9], "values": [2, 1]}}}}}}]}`}}
	for first := 0; first < 2000; first += 500 {
		list = append(list, step{
			name: fmt.Sprintf("upsert 500 points from %d", first), kind: write, method: "qdrant.Points/Upsert", request: upsert(first, 500),
		})
	}
	return list
}

func upsert(first, number int) string {
	type object = map[string]any
	points := make([]object, number)
	for k := range points {
		i := first + k
		points[k] = object{
			"id": object{"num": i}, "vectors": object{"vector": object{"dense": object{"data": transcript.Vector(i)}}},
			"payload": object{
				"n": object{"integer_value": i}, "color": object{"string_value": []string{"red", "green", "blue"}[i%3]},
			},
		}
	}
	text, err := json.Marshal(object{"collection_name": items, "wait": true, "points": points})
	if err != nil {
		panic(err) // plain data
	}
	return string(text)
}

const near = `"query": {"nearest": {"dense": {"data": [0.1, 0.2, 0.3, 0.4]}}}`

func queries() []step {
	query := func(name, rest string) step {
		return step{name: "query " + name, kind: read, method: "qdrant.Points/Query", request: `{"collection_name": ` + rest + `}`}
	}
	return []step{
		query("nearest", `"sdk-items", `+near),
		query("by id", `"sdk-items", "limit": 3, "query": {"nearest": {"id": {"num": 5}}}`),
		query("filtered", `"sdk-items", "with_payload": {"enable": true}, "filter": {"must": [
			{"field": {"key": "color", "match": {"keyword": "red"}}}, {"field": {"key": "n", "range": {"gte": 100}}}]}, `+near),
		query("sparse vector", `"sdk-named", "using": "terms", "query": {"nearest": {"sparse": {"indices": [7], "values": [1]}}}`),
		query("multivector", `"sdk-named", "using": "words", "query": {"nearest": {"multi_dense": {"vectors": [{"data": [1, 0]}]}}}`),
		query("fusion", `"sdk-named", "query": {"fusion": "RRF"}, "prefetch": [
			{"using": "text", "query": {"nearest": {"dense": {"data": [1, 3, 0]}}}},
			{"using": "terms", "query": {"nearest": {"sparse": {"indices": [7], "values": [1]}}}}]`),
		query("order by", `"sdk-items", "limit": 3, "query": {"order_by": {"key": "n", "direction": "Desc"}}`),
		query("of a collection that is not there", `"sdk-ghost", `+near),
		query("of a wrong dimension", `"sdk-items", "query": {"nearest": {"dense": {"data": [1]}}}`),
		{name: "count", kind: read, method: "qdrant.Points/Count", request: `{"collection_name": "sdk-items", "exact": true}`},
		{name: "facet", kind: read, method: "qdrant.Points/Facet", request: `{"collection_name": "sdk-items", "key": "color", "exact": true}`},
		{name: "scroll", kind: read, method: "qdrant.Points/Scroll", request: `{"collection_name": "sdk-items", "limit": 1000, "offset": {"num": 900}}`},
		{name: "retrieve", kind: read, method: "qdrant.Points/Get", request: `{"collection_name": "sdk-items", "ids": [{"num": 1}, {"num": 9999}]}`},
		{name: "scroll: invalid request", kind: read, method: "qdrant.Points/Scroll", request: `{"collection_name": "sdk-items", "limit": 0}`},
	}
}

func edits() []step {
	edit := func(name string, kind transcript.Kind, method, rest string) step {
		return step{name: name, kind: kind, method: "qdrant.Points/" + method, request: `{"collection_name": "sdk-items", "wait": true, ` + rest + `}`}
	}
	return []step{
		edit("set payload", write, "SetPayload", `"payload": {"sale": {"bool_value": true}}, "points_selector": {"points": {"ids": [{"num": 1}]}}`),
		edit("clear payload", write, "ClearPayload", `"points": {"points": {"ids": [{"num": 2}]}}`),
		edit("delete by ids", write, "Delete", `"points": {"points": {"ids": [{"num": 3}]}}`),
		edit("delete by filter", unsafe, "Delete", `"points": {"filter": {"must": [{"field": {"key": "n", "range": {"gte": 1900}}}]}}`),
		{name: "points after edits", kind: read, method: "qdrant.Points/Scroll", request: `{"collection_name": "sdk-items", "with_payload": {"enable": true}}`},
	}
}

func aliases() []step {
	change := func(name, action string) step {
		return step{name: name, kind: unsafe, method: "qdrant.Collections/UpdateAliases", request: `{"actions": [` + action + `]}`}
	}
	return []step{
		change("create alias", `{"create_alias": {"collection_name": "sdk-items", "alias_name": "sdk-alias"}}`),
		{name: "count by alias", kind: read, method: "qdrant.Points/Count", request: `{"collection_name": "sdk-alias", "exact": true}`},
		change("delete alias", `{"delete_alias": {"alias_name": "sdk-alias"}}`),
		change("alias of nothing", `{"create_alias": {"collection_name": "sdk-ghost", "alias_name": "sdk-alias"}}`),
	}
}

func rest() []step {
	slow := `{"collection_name": "sdk-items", "query_points": [` +
		strings.TrimSuffix(strings.Repeat(`{"collection_name": "sdk-items", "params": {"exact": true}, `+near+`}, `, 5000), ", ") + `]}`
	remove := func(name string) step {
		return step{
			name: "delete collection " + name, kind: unsafe, method: "qdrant.Collections/Delete", request: fmt.Sprintf(`{"collection_name": %q}`, name),
		}
	}
	return []step{
		// It is gone with its collection.
		{name: "create snapshot", kind: unsafe, method: "qdrant.Snapshots/Create", request: `{"collection_name": "sdk-named"}`},
		{name: "no such method", kind: read, method: "qdrant.Points/Nothing", request: `{}`},
		{name: "timeout", kind: read, method: "qdrant.Points/QueryBatch", request: slow, flags: []string{"-max-time", "0.2"}},
		{name: "count after giving up", kind: read, method: "qdrant.Points/Count", request: `{"collection_name": "sdk-items", "exact": true}`},
		remove(items), remove(named),
	}
}

// attempts is one call of each kind, of different methods, for a runner that counts what reaches Qdrant. Reflection is
// refused as well, so there is nothing that grpcurl could call.
func attempts() []step { return nil }
