package restjson

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestDecode reads what SDKs and the documentation write. What is wanted is in protobuf's text format.
func TestDecode(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body string
		into proto.Message
		want string
	}{
		"a collection of one vector": {
			`{"vectors": {"size": 4, "distance": "Cosine", "datatype": "float16", "on_disk": null}, "unknown": [1]}`, &qdrant.CreateCollection{},
			`vectors_config {params {size: 4 distance: Cosine datatype: Float16}}`,
		},
		"a collection of several": {
			`{"vectors": {"w": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}},
			  "sparse_vectors": {"t": {"modifier": "idf"}}, "optimizers_config": {"max_optimization_threads": "auto"}}`, &qdrant.CreateCollection{},
			`vectors_config {params_map {map {key: "w" value {size: 2 distance: Dot multivector_config {comparator: MaxSim}}}}}
			 sparse_vectors_config {map {key: "t" value {modifier: Idf}}} optimizers_config {max_optimization_threads {setting: Auto}}`,
		},
		"an update of a collection": {
			`{"vectors": {"": {"on_disk": true}}, "optimizers_config": {"max_optimization_threads": 3}}`, &qdrant.UpdateCollection{},
			`vectors_config {params_map {map {key: "" value {on_disk: true}}}} optimizers_config {max_optimization_threads {value: 3}}`,
		},
		"an index by its kind": {
			`{"field_name": "a", "field_schema": "keyword"}`, &qdrant.CreateFieldIndexCollection{},
			`field_name: "a" field_type: FieldTypeKeyword`,
		},
		"an index with parameters": {
			`{"field_name": "a", "field_schema": {"type": "text", "tokenizer": "word", "lowercase": true, "stopwords": "english"}}`, &qdrant.CreateFieldIndexCollection{},
			`field_name: "a" field_type: FieldTypeText field_index_params {text_index_params {tokenizer: Word lowercase: true stopwords {languages: "english"}}}`,
		},
		"aliases": {
			`{"actions": [{"create_alias": {"alias_name": "a", "collection_name": "c"}}, {"delete_alias": {"alias_name": "b"}}]}`, &qdrant.ChangeAliases{},
			`actions {create_alias {alias_name: "a" collection_name: "c"}} actions {delete_alias {alias_name: "b"}}`,
		},
		"a payload": {
			`{"points": [{"id": 1, "vector": [1, 2.5], "payload": {"i": 1, "f": 1.0, "s": "x", "b": true, "n": null, "l": [1, [2]], "o": {"k": {}}}}]}`, &qdrant.UpsertPoints{},
			`points {id {num: 1} vectors {vector {dense {data: [1, 2.5]}}}
			 payload {key: "i" value {integer_value: 1}} payload {key: "f" value {double_value: 1}} payload {key: "s" value {string_value: "x"}}
			 payload {key: "b" value {bool_value: true}} payload {key: "n" value {null_value: NULL_VALUE}}
			 payload {key: "l" value {list_value {values {integer_value: 1} values {list_value {values {integer_value: 2}}}}}}
			 payload {key: "o" value {struct_value {fields {key: "k" value {struct_value {}}}}}}}`,
		},
		"vectors of all kinds": {
			`{"points": [{"id": "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a001", "vector": {"d": [1], "m": [[1], [2]], "s": {"indices": [1], "values": [0.5]}}},
			  {"id": 2, "vector": {"text": "x", "model": "y"}}, {"id": 3, "vector": [[1]]}]}`, &qdrant.UpsertPoints{},
			`points {id {uuid: "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a001"} vectors {vectors {
			   vectors {key: "d" value {dense {data: 1}}}
			   vectors {key: "m" value {multi_dense {vectors {data: 1} vectors {data: 2}}}}
			   vectors {key: "s" value {sparse {indices: 1 values: 0.5}}}}}}
			 points {id {num: 2} vectors {vector {document {text: "x" model: "y"}}}}
			 points {id {num: 3} vectors {vector {multi_dense {vectors {data: 1}}}}}`,
		},
		"a batch": {
			`{"batch": {"ids": [1, 2], "vectors": {"a": [[1], [2]], "b": [[3], null]}, "payloads": [null, {"x": 1}]}}`, &qdrant.UpsertPoints{},
			`points {id {num: 1} vectors {vectors {vectors {key: "a" value {dense {data: 1}}} vectors {key: "b" value {dense {data: 3}}}}}}
			 points {id {num: 2} vectors {vectors {vectors {key: "a" value {dense {data: 2}}}}} payload {key: "x" value {integer_value: 1}}}`,
		},
		"points by id": {
			`{"points": [1, "x"]}`, &qdrant.DeletePoints{},
			`points {points {ids {num: 1} ids {uuid: "x"}}}`,
		},
		"no points": {`{"points": []}`, &qdrant.DeletePoints{}, `points {points {}}`},
		"points by filter": {
			`{"payload": {"a": 1}, "filter": {"must": {"key": "b", "match": {"value": 2}}}, "points": null, "key": "k"}`, &qdrant.SetPayloadPoints{},
			`payload {key: "a" value {integer_value: 1}} key: "k"
			 points_selector {filter {must {field {key: "b" match {integer: 2}}}}}`,
		},
		"vectors by name": {
			`{"points": [1], "vector": ["a"]}`, &qdrant.DeletePointVectors{},
			`points_selector {points {ids {num: 1}}} vectors {names: "a"}`,
		},
		"new vectors": {
			`{"points": [{"id": 1, "vector": {"a": [1]}}]}`, &qdrant.UpdatePointVectors{},
			`points {id {num: 1} vectors {vectors {vectors {key: "a" value {dense {data: 1}}}}}}`,
		},
		"operations": {
			`{"operations": [{"upsert": {"batch": {"ids": [1], "vectors": [[1]]}}}, {"delete": {"filter": {}}},
			  {"set_payload": {"payload": {}, "points": [1]}}, {"clear_payload": {"points": [2]}}, {"delete_payload": {"keys": ["a"], "points": [3]}}]}`, &qdrant.UpdateBatchPoints{},
			`operations {upsert {points {id {num: 1} vectors {vector {dense {data: 1}}}}}} operations {delete_points {points {filter {}}}}
			 operations {set_payload {points_selector {points {ids {num: 1}}}}} operations {clear_payload {points {points {ids {num: 2}}}}}
			 operations {delete_payload {keys: "a" points_selector {points {ids {num: 3}}}}}`,
		},
		"conditions": {
			`{"filter": {"must": [{"has_id": [1]}, {"has_vector": "v"}, {"is_empty": {"key": "e"}}, {"is_null": {"key": "n"}},
			  {"nested": {"key": "k", "filter": {"should": [{"key": "s", "match": {"text": "t"}}]}}}],
			  "must_not": [{"min_should": {"min_count": 1, "conditions": [{"key": "c", "values_count": {"gt": 1}}]}}]}}`, &qdrant.CountPoints{},
			`filter {must {has_id {has_id {num: 1}}} must {has_vector {has_vector: "v"}} must {is_empty {key: "e"}} must {is_null {key: "n"}}
			 must {nested {key: "k" filter {should {field {key: "s" match {text: "t"}}}}}}
			 must_not {filter {min_should {min_count: 1 conditions {field {key: "c" values_count {gt: 1}}}}}}}`,
		},
		"matches": {
			`{"filter": {"must": [{"key": "a", "match": {"value": true}}, {"key": "a", "match": {"value": "x"}}, {"key": "a", "match": {"any": [1]}},
			  {"key": "a", "match": {"any": ["x"]}}, {"key": "a", "match": {"except": [1]}}, {"key": "a", "match": {"except": []}}, {"key": "a", "match": {"phrase": "p"}}]}}`, &qdrant.CountPoints{},
			`filter {must {field {key: "a" match {boolean: true}}} must {field {key: "a" match {keyword: "x"}}} must {field {key: "a" match {integers {integers: 1}}}}
			 must {field {key: "a" match {keywords {strings: "x"}}}} must {field {key: "a" match {except_integers {integers: 1}}}}
			 must {field {key: "a" match {except_keywords {}}}} must {field {key: "a" match {phrase: "p"}}}}`,
		},
		"ranges and places": {
			`{"filter": {"must": [{"key": "a", "range": {"gte": 1, "lt": 2.5}}, {"key": "a", "range": {"gte": "2024-01-10", "lt": "2024-01-10T01:00:00+01:00"}},
			  {"key": "a", "geo_radius": {"center": {"lon": 1, "lat": 2}, "radius": 3}}]}}`, &qdrant.CountPoints{},
			`filter {must {field {key: "a" range {gte: 1 lt: 2.5}}} must {field {key: "a" datetime_range {gte {seconds: 1704844800} lt {seconds: 1704844800}}}}
			 must {field {key: "a" geo_radius {center {lon: 1 lat: 2} radius: 3}}}}`,
		},
		"a vector to look for": {
			`{"query": [1, 2], "with_payload": true, "with_vector": ["a"], "params": {"hnsw_ef": 7}, "limit": 3}`, &qdrant.QueryPoints{},
			`query {nearest {dense {data: [1, 2]}}} with_payload {enable: true} with_vectors {include {names: "a"}} params {hnsw_ef: 7} limit: 3`,
		},
		"a point to look for": {
			`{"query": 5, "with_payload": {"exclude": ["a"]}, "lookup_from": {"collection": "c", "vector": "v"}}`, &qdrant.QueryPoints{},
			`query {nearest {id {num: 5}}} with_payload {exclude {fields: "a"}} lookup_from {collection_name: "c" vector_name: "v"}`,
		},
		"something sparse to look for": {
			`{"query": {"indices": [1], "values": [2]}, "using": "s", "with_payload": ["a"]}`, &qdrant.QueryPoints{},
			`query {nearest {sparse {indices: 1 values: 2}}} using: "s" with_payload {include {fields: "a"}}`,
		},
		"kinds of queries": {
			`{"searches": [{"query": {"nearest": [1]}}, {"query": {"fusion": "rrf"}, "prefetch": {"query": [1]}}, {"query": {"order_by": "k"}},
			  {"query": {"order_by": {"key": "k", "direction": "desc", "start_from": 1.5}}}, {"query": {"sample": "random"}},
			  {"query": {"recommend": {"positive": [1, [2]], "strategy": "best_score"}}}, {"query": {"context": {"positive": 1, "negative": 2}}},
			  {"query": {"nearest": [1], "mmr": {"diversity": 0.5}}}]}`, &qdrant.QueryBatchPoints{},
			`query_points {collection_name: "in path" query {nearest {dense {data: 1}}}}
			 query_points {collection_name: "in path" query {fusion: RRF} prefetch {query {nearest {dense {data: 1}}}}}
			 query_points {collection_name: "in path" query {order_by {key: "k"}}}
			 query_points {collection_name: "in path" query {order_by {key: "k" direction: Desc start_from {float: 1.5}}}}
			 query_points {collection_name: "in path" query {sample: Random}}
			 query_points {collection_name: "in path" query {recommend {positive {id {num: 1}} positive {dense {data: 2}} strategy: BestScore}}}
			 query_points {collection_name: "in path" query {context {pairs {positive {id {num: 1}} negative {id {num: 2}}}}}}
			 query_points {collection_name: "in path" query {nearest_with_mmr {nearest {dense {data: 1}} mmr {diversity: 0.5}}}}`,
		},
		"nothing": {``, &qdrant.CountPoints{}, ``},
	} {
		t.Run(name, func(t *testing.T) {
			want := tt.into.ProtoReflect().New().Interface()
			if err := prototext.Unmarshal([]byte(tt.want), want); err != nil {
				t.Fatal(err)
			}
			name := want.ProtoReflect().Descriptor().Fields().ByName("collection_name")
			more := map[string]any{}
			if name != nil {
				more["collection_name"] = "in path"
				want.ProtoReflect().Set(name, protoreflect.ValueOfString("in path"))
			}
			if err := Decode([]byte(tt.body), more, tt.into); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(tt.into, want) {
				t.Errorf("got  %v\nwant %v", tt.into, want)
			}
		})
	}
}

// TestDecodeRefuses reads what makes no sense.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ body, want string }{
		"no JSON":       {`{"limit"`, "EOF"},
		"no object":     {`[1]`, "array"},
		"two objects":   {`{} {}`, "trailing"},
		"a wrong type":  {`{"limit": "x"}`, "limit"},
		"out of range":  {`{"limit": -1}`, "limit"},
		"not a message": {`{"filter": "x"}`, `filter: invalid type: string "x", expected Filter`},
		"no constant":   {`{"query": {"fusion": "x"}}`, "query: fusion: unknown variant `x`"},
		"not a map":     {`{"query": {"formula": {"expression": "x", "defaults": 1}}}`, ""},
		"too deep":      {`{"filter": ` + strings.Repeat(`{"must": {"must": `, maxDepth) + `{}` + strings.Repeat(`}}`, maxDepth) + `}`, "recursion limit"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Decode([]byte(tt.body), nil, &qdrant.QueryPoints{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		of   proto.Message
		text string
		want string
	}{
		"a point": {&qdrant.RetrievedPoint{}, `id {num: 1} payload {key: "a" value {list_value {values {null_value: NULL_VALUE} values {double_value: 1.5}}}}
			vectors {vectors {vectors {key: "m" value {multi_dense {vectors {data: 1}}}} vectors {key: "s" value {sparse {indices: 2 values: 3}}}}}`,
			`{"id":1,"payload":{"a":[null,1.5]},"vector":{"m":[[1.0]],"s":{"indices":[2],"values":[3.0]}}}`},
		"a scored point": {&qdrant.ScoredPoint{}, `id {uuid: "x"} score: 0.1 vectors {vector {dense {data: 0.1}}} order_value {int: 7}`,
			`{"id":"x","order_value":7,"score":0.1,"vector":[0.1],"version":0}`},
		"groups": {&qdrant.GroupsResult{}, `groups {id {string_value: "a"} hits {id {num: 1}}}`,
			`{"groups":[{"hits":[{"id":1,"score":0.0,"version":0}],"id":"a"}]}`},
		"a write":  {&qdrant.UpdateResult{}, `operation_id: 3 status: Completed`, `{"operation_id":3,"status":"completed"}`},
		"a facet":  {&qdrant.FacetHit{}, `value {bool_value: false} count: 1`, `{"count":1,"value":false}`},
		"a config": {&qdrant.CollectionParams{}, `vectors_config {params {size: 2 distance: Cosine datatype: Uint8}}`, `{"on_disk_payload":false,"shard_number":0,"vectors":{"datatype":"uint8","distance":"Cosine","size":2}}`},
		"names":    {&qdrant.VectorsConfig{}, `params_map {map {key: "w" value {multivector_config {comparator: MaxSim}}}}`, `{"w":{"distance":"UnknownDistance","multivector_config":{"comparator":"max_sim"},"size":0}}`},
		"an index": {&qdrant.PayloadSchemaInfo{}, `data_type: Text params {text_index_params {tokenizer: Word}}`, `{"data_type":"text","params":{"tokenizer":"word","type":"text"}}`},
		"threads":  {&qdrant.OptimizersConfigDiff{}, `max_optimization_threads {setting: Auto}`, `{"max_optimization_threads":null}`},
		"well":     {&qdrant.CollectionInfo{}, `status: Green optimizer_status {ok: true}`, `{"optimizer_status":"ok","payload_schema":{},"segments_count":0,"status":"green","warnings":[]}`},
		"unwell":   {&qdrant.CollectionInfo{}, `optimizer_status {error: "e"}`, `{"optimizer_status":{"error":"e"},"payload_schema":{},"segments_count":0,"status":"unknown_collection_status","warnings":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := prototext.Unmarshal([]byte(tt.text), tt.of); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(Encode(tt.of))
			if err != nil || string(got) != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// FuzzDecode reads anything, and what it reads into a payload comes out as it was.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"points": [{"id": 1, "vector": {"a": [[1]]}, "payload": {"a": {"b": [1, null, 2.5, "x", true]}}}]}`,
		`{"batch": {"ids": [1], "vectors": {"a": [[1]]}, "payloads": [{}]}}`,
		`{"filter": {"must": [{"key": "a", "range": {"gt": "2024-01-01"}}]}}`,
		`{"points": 5}`, `null`, `{"batch": {"ids": [[]]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, m := range []proto.Message{&qdrant.QueryPoints{}, &qdrant.UpdateBatchPoints{}, &qdrant.CreateCollection{}, &qdrant.SetPayloadPoints{}} {
			_ = Decode(body, nil, m)
		}
		points := &qdrant.UpsertPoints{}
		if Decode(body, nil, points) != nil {
			return
		}
		for _, p := range points.GetPoints() {
			back := &qdrant.PointStruct{}
			text, err := json.Marshal(object{"id": 1, "payload": Encode(&qdrant.RetrievedPoint{Payload: p.GetPayload()}).(object)["payload"]})
			if err != nil || Decode(text, nil, back) != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if !proto.Equal(&qdrant.PointStruct{Payload: p.GetPayload()}, &qdrant.PointStruct{Payload: back.GetPayload()}) {
				t.Errorf("got %v, want %v", back.GetPayload(), p.GetPayload())
			}
		}
	})
}
