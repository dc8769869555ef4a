package shape

import (
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"
)

// size is a number that is told of a request.
type size int

// The numbers. What there is several of adds up over the whole request, batches and
// prefetches included; of limits, dimensions and depths the largest counts.
const (
	queries size = iota
	limit
	offset
	groupSize
	sample
	ids
	vectors
	dimension
	sparseValues
	hnswEf
	prefetchCount
	prefetchDepth
	prefetchLimit
	operations
	points
	conditions
	filterDepth
	filterValues
	timeout
	sizeCount
)

// flag is something that a request says or does not.
type flag int

const (
	exact flag = iota
	indexedOnly
	withPayload
	withVectors
	inference
	ordered
	scoreThreshold
	waits
	conditional
	byFilter
)

// set is one of several names.
type set int

const (
	queryKinds set = iota
	operationKinds
	clauses
	conditionKinds
	ordering
	setCount
)

// names are what the bits of a set stand for. What is newer than this list counts as
// the last one.
var names = [setCount][]string{
	queryKinds: {
		1: "nearest", 2: "recommend", 3: "discover", 4: "context", 5: "order_by", 6: "fusion", 7: "sample", 8: "formula", 9: "nearest_with_mmr",
		10: "rrf", 11: "relevance_feedback", 12: other,
	},
	operationKinds: {
		1: "upsert", 2: "delete", 3: "set_payload", 4: "overwrite_payload", 5: "delete_payload", 6: "clear_payload", 7: "update_vectors",
		8: "delete_vectors", 9: "delete", 10: "clear_payload", 11: other,
	},
	clauses: {1: "should", 2: "must", 3: "must_not", 4: "min_should", 5: other},
	// Bits of a condition, and from 20 on those of a condition on a field, and from 40
	// on those of a match.
	conditionKinds: {
		2: "is_empty", 3: "has_id", 4: "filter", 5: "is_null", 6: "nested", 7: "has_vector", 8: other,
		onField + 3: "range", onField + 4: "geo_bounding_box", onField + 5: "geo_radius", onField + 6: "values_count",
		onField + 7: "geo_polygon", onField + 8: "datetime_range", onField + 9: "is_empty", onField + 10: "is_null",
		onMatch + 1: "match", onMatch + 2: "match", onMatch + 3: "match", onMatch + 4: "text", onMatch + 5: "any", onMatch + 6: "any",
		onMatch + 7: "except", onMatch + 8: "except", onMatch + 9: "phrase", onMatch + 10: "text_any",
	},
	ordering: {0: "weak", 1: "medium", 2: "strong", 3: other},
}

const other = "other"

// Where the bits begin of conditions within conditions.
const (
	onField = 20
	onMatch = 40
)

// fields are what a group may hold, in this order. Numbers are left out that are 0,
// flags that are not set, and sets that are empty, for such is what callers do not
// say.
var fields = []Field{
	number("batch", "queries", "queries in one request", query, queries),
	joined("kind", "what is looked for: "+list(queryKinds), query, queryKinds),
	joined("operations", "what a batch does: "+list(operationKinds), write, operationKinds),
	number("batch", "operations", "changes in one request", write, operations),
	number("limit", "points", "most points to be found", query, limit),
	number("offset", "points", "points to be passed over first; not of a scroll, whose offset is an id", query, offset),
	number("group_size", "points", "most points of each group", query, groupSize),
	number("sample", "points", "points that a distance matrix is made from", query, sample),
	number("ids", "ids", "points that are named, to be found or as examples", query, ids),
	number("points", "points", "points that are written, or named to be changed", write, points),
	number("vectors", "vectors", "vectors to compare with; each row of a multivector is one", query, vectors),
	number("vectors", "vectors", "vectors of the first point", write, vectors),
	number("dimension", "numbers", "length of the longest dense vector", query|write, dimension),
	number("sparse_values", "numbers", "length of the longest sparse vector", query|write, sparseValues),
	truth("inference", "Qdrant is to make a vector of a text, image or object first", query|write, inference),
	number("filter_conditions", "conditions", "conditions of all filters", query|write, conditions),
	joined("filter_clauses", "how they are combined: "+list(clauses), query|write, clauses),
	joined("filter_kinds", "of which kinds they are: "+list(conditionKinds), query|write, conditionKinds),
	number("filter_depth", "filters", "filters within filters; 1 is a plain one", query|write, filterDepth),
	number("filter_values", "values", "values and ids in the lists of conditions (`any`, `except`, `has_id`)", query|write, filterValues),
	truth("by_filter", "points are chosen by a filter, so anybody's guess how many", write, byFilter),
	truth("conditional", "only points that meet a condition are changed", write, conditional),
	number("prefetch", "queries", "queries whose results others start from", query, prefetchCount),
	number("prefetch_depth", "queries", "prefetches within prefetches", query, prefetchDepth),
	number("prefetch_limit", "points", "most points that one of them finds", query, prefetchLimit),
	truth("exact", "all points are compared, or counted, without an index", query, exact),
	number("hnsw_ef", "candidates", "how far the index is searched", query, hnswEf),
	truth("indexed_only", "segments without an index are left out", query, indexedOnly),
	truth("score_threshold", "points that score worse are left out", query, scoreThreshold),
	truth("order_by", "points are sorted by a payload field", query, ordered),
	truth("with_payload", "payloads are part of the answer", query, withPayload),
	truth("with_vectors", "vectors are part of the answer", query, withVectors),
	{Name: "wait", Meaning: "the answer is to come when the change is done, not when it is noted", group: write, value: func(s *Shape) (slog.Value, bool) {
		return slog.BoolValue(s.flags&(1<<waits) != 0), s.partly != compressed
	}},
	joined("ordering", "how it is ordered among others, if that is said: "+list(ordering), write, ordering),
	{Name: "timeout_seconds", Unit: "seconds", Meaning: "time that the request itself gives Qdrant", group: query | write, value: func(s *Shape) (slog.Value, bool) {
		return slog.Uint64Value(s.sizes[timeout]), s.sizes[timeout] > 0
	}},
	{
		Name: "partly", Meaning: "why not all of the request was read, so that there may be more of everything: " +
			"`cut` (it is so large that it was passed on when only its start had come), `long` or `deep` (beyond what is looked at), `malformed`, `compressed` (not by gzip)",
		group: query | write, value: func(s *Shape) (slog.Value, bool) { return slog.StringValue(string(s.partly)), s.partly != whole },
	},
}

func number(name, unit, meaning string, of group, n size) Field {
	return Field{Name: name, Unit: unit, Meaning: meaning, group: of, value: func(s *Shape) (slog.Value, bool) {
		return slog.Uint64Value(s.sizes[n]), s.sizes[n] > 0
	}}
}

func truth(name, meaning string, of group, f flag) Field {
	return Field{Name: name, Meaning: meaning, group: of, value: func(s *Shape) (slog.Value, bool) {
		return slog.BoolValue(true), s.flags&(1<<f) != 0
	}}
}

func joined(name, meaning string, of group, in set) Field {
	return Field{Name: name, Meaning: meaning, group: of, value: func(s *Shape) (slog.Value, bool) {
		found := namesOf(in, s.names[in])
		return slog.StringValue(strings.Join(found, ",")), len(found) > 0
	}}
}

// namesOf returns the names of some of a set's bits, each once and in alphabetical
// order.
func namesOf(in set, bits uint64) []string {
	var found []string
	for i, name := range names[in] {
		if bits&(1<<i) != 0 && name != "" {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// list is all names of a set, for the manual.
func list(in set) string { return "`" + strings.Join(namesOf(in, math.MaxUint64), "`, `") + "`" }

// seconds is a protobuf double as a time; false for what is none.
func seconds(bits uint64) (time.Duration, bool) {
	v := math.Float64frombits(bits)
	if !(v >= 0 && v < time.Duration(math.MaxInt64).Seconds()) {
		return 0, false
	}
	return time.Duration(v * float64(time.Second)), true
}
