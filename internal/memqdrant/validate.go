package memqdrant

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/qdrant/go-client/qdrant"
)

// The checks of this file are the ones Qdrant runs over a request before it looks at anything else. Each returns the
// problems it found as "field: what is wrong", nil for none; callers put their own field in front.

// under puts a field in front of problems found below it.
func under(field string, problems []string) []string {
	out := make([]string, len(problems))
	for i, p := range problems {
		out[i] = field + "." + p
	}
	return out
}

// each checks the items of a repeated field. It builds a field's text only when there is something to say.
func each[T any](field string, items []T, check func(T) []string) []string {
	var problems []string
	for i, item := range items {
		if found := check(item); found != nil {
			problems = append(problems, under(field+"["+strconv.Itoa(i)+"]", found)...)
		}
	}
	return problems
}

// broken words a rule that has no text of its own.
func broken(field, rule string) []string {
	return []string{field + ": Validation error: " + rule + " [{}]"}
}

func atLeastOne[N uint32 | uint64](field string, v *N) []string {
	if v == nil || *v >= 1 {
		return nil
	}
	return []string{field + ": value 0 invalid, must be 1 or larger"}
}

func inRange(field string, v *float32, low, high float32) []string {
	if v == nil || *v >= low && *v <= high {
		return nil
	}
	return []string{fmt.Sprintf("%s: value %s invalid, must be from %.1f to %.1f", field, float(*v), low, high)}
}

// float spells a number as JSON does, with a fraction even when it is whole.
func float(v float32) string {
	s := strconv.FormatFloat(float64(v), 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

func notEmpty(field, v string) []string {
	if v != "" {
		return nil
	}
	return []string{field + `: value "" invalid, must be at least 1 characters`}
}

// badNameChars are what names may not contain that become directories in a real Qdrant.
const badNameChars = "<>:\"/\\|?*\x00\x1f"

// checkName is what every method asks of a collection's name.
func checkName(name string) []string { return checkNameWithout("/\x00", name) }

// checkNewName is stricter.
func checkNewName(name string) []string { return checkNameWithout(badNameChars, name) }

func checkNameWithout(forbidden, name string) []string {
	var problems []string
	if n := utf8.RuneCountInString(name); n < 1 || n > 255 {
		problems = append(problems, fmt.Sprintf("collection_name: value %q invalid, must be from 1 to 255 characters", name))
	}
	if c, found := firstOf(forbidden, name); found {
		problems = append(problems, fmt.Sprintf("collection_name: collection name cannot contain \"%c\" char", c))
	}
	return problems
}

// firstOf returns the first of chars that name contains.
func firstOf(chars, name string) (rune, bool) {
	for _, c := range chars {
		if strings.ContainsRune(name, c) {
			return c, true
		}
	}
	return 0, false
}

func checkCreate(in *qdrant.CreateCollection) []string {
	problems := checkNewName(in.GetCollectionName())
	problems = append(problems, checkHnsw("hnsw_config", in.GetHnswConfig())...)
	problems = append(problems, checkOptimizers(in.GetOptimizersConfig())...)
	switch v := in.GetVectorsConfig().GetConfig().(type) {
	case *qdrant.VectorsConfig_Params:
		problems = append(problems, under("vectors_config.config", checkVectorParams(v.Params))...)
	case *qdrant.VectorsConfig_ParamsMap:
		// One is enough for Qdrant; sorting makes it always the same one.
		for _, params := range sortedValues(v.ParamsMap.GetMap()) {
			if found := checkVectorParams(params); found != nil {
				problems = append(problems, under("vectors_config.config.map.[]", found)...)
				break
			}
		}
	}
	problems = append(problems, atLeastOne("shard_number", in.ShardNumber)...)
	problems = append(problems, atLeastOne("replication_factor", in.ReplicationFactor)...)
	return append(problems, atLeastOne("write_consistency_factor", in.WriteConsistencyFactor)...)
}

func sortedValues[V any](m map[string]V) []V {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	values := make([]V, len(names))
	for i, name := range names {
		values[i] = m[name]
	}
	return values
}

func checkVectorParams(in *qdrant.VectorParams) []string {
	problems := checkHnsw("hnsw_config", in.GetHnswConfig())
	if size := in.GetSize(); size < 1 || size > 65536 {
		problems = append(problems, fmt.Sprintf("size: value %d invalid, must be from 1 to 65536", size))
	}
	return problems
}

func checkHnsw(field string, in *qdrant.HnswConfigDiff) []string {
	if in == nil || in.EfConstruct == nil || in.GetEfConstruct() >= 4 {
		return nil
	}
	return []string{fmt.Sprintf("%s.ef_construct: value %d invalid, must be 4 or larger", field, in.GetEfConstruct())}
}

func checkOptimizers(in *qdrant.OptimizersConfigDiff) []string {
	if in == nil {
		return nil
	}
	var problems []string
	if t := in.DeletedThreshold; t != nil && (*t < 0 || *t > 1) {
		problems = append(problems, fmt.Sprintf("deleted_threshold: value %s invalid, must be from 0.0 to 1.0", float(float32(*t))))
	}
	if n := in.VacuumMinVectorNumber; n != nil && *n < 100 {
		problems = append(problems, fmt.Sprintf("vacuum_min_vector_number: value %d invalid, must be 100 or larger", *n))
	}
	problems = append(problems, atLeastOne("max_segment_size", in.MaxSegmentSize)...)
	return under("optimizers_config", problems)
}

func checkUpdate(in *qdrant.UpdateCollection) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, checkOptimizers(in.GetOptimizersConfig())...)
	problems = append(problems, atLeastOne("timeout", in.Timeout)...)
	if p := in.GetParams(); p != nil {
		problems = append(problems, atLeastOne("params.replication_factor", p.ReplicationFactor)...)
		problems = append(problems, atLeastOne("params.write_consistency_factor", p.WriteConsistencyFactor)...)
	}
	return append(problems, checkHnsw("hnsw_config", in.GetHnswConfig())...)
}

func checkFilter(field string, in *qdrant.Filter) []string {
	if in == nil {
		return nil
	}
	problems := each("should", in.GetShould(), checkCondition)
	problems = append(problems, each("must", in.GetMust(), checkCondition)...)
	problems = append(problems, each("must_not", in.GetMustNot(), checkCondition)...)
	problems = append(problems, each("min_should.conditions", in.GetMinShould().GetConditions(), checkCondition)...)
	if problems == nil {
		return nil
	}
	return under(field, problems)
}

func checkCondition(in *qdrant.Condition) []string {
	var problems []string
	switch c := in.GetConditionOneOf().(type) {
	case *qdrant.Condition_Field:
		f := c.Field
		if f.Match == nil && f.Range == nil && f.DatetimeRange == nil && f.GeoBoundingBox == nil && f.GeoRadius == nil &&
			f.GeoPolygon == nil && f.ValuesCount == nil && f.IsEmpty == nil && f.IsNull == nil {
			problems = broken("match", "At least one field condition must be specified")
		}
	case *qdrant.Condition_Filter:
		if problems = checkFilter("", c.Filter); problems != nil {
			for i := range problems {
				problems[i] = strings.TrimPrefix(problems[i], ".")
			}
		}
	case *qdrant.Condition_Nested:
		problems = checkFilter("filter", c.Nested.GetFilter())
	}
	if problems == nil {
		return nil
	}
	return under("condition_one_of", problems)
}

func checkPoint(in *qdrant.PointStruct) []string { return checkVectors(in.GetVectors()) }

func checkPointVectors(in *qdrant.PointVectors) []string { return checkVectors(in.GetVectors()) }

func checkVectors(in *qdrant.Vectors) []string {
	switch v := in.GetVectorsOptions().(type) {
	case *qdrant.Vectors_Vector:
		if found := checkVector(v.Vector); found != nil {
			return under("vectors.vectors_options", found)
		}
	case *qdrant.Vectors_Vectors:
		for _, vector := range v.Vectors.GetVectors() {
			if found := checkVector(vector); found != nil {
				return under("vectors.vectors_options.vectors.[]", found)
			}
		}
	}
	return nil
}

func checkVector(in *qdrant.Vector) []string {
	switch v := in.GetVector().(type) {
	case *qdrant.Vector_Sparse:
		return checkSparse(v.Sparse.GetIndices(), v.Sparse.GetValues())
	case *qdrant.Vector_MultiDense:
		return checkMulti(v.MultiDense)
	}
	if indices := in.GetIndices(); indices != nil { //nolint:staticcheck // old clients still send it
		return checkSparse(indices.GetData(), in.GetData()) //nolint:staticcheck // same
	}
	return nil
}

func checkSparse(indices []uint32, values []float32) []string {
	var problems []string
	if len(indices) != len(values) {
		problems = broken("values", "must be the same length as indices")
	}
	seen := make(map[uint32]bool, len(indices))
	for _, index := range indices {
		if seen[index] {
			return append(problems, broken("indices", "must be unique")...)
		}
		seen[index] = true
	}
	return problems
}

func checkMulti(in *qdrant.MultiDenseVector) []string {
	if len(in.GetVectors()) == 0 {
		return []string{"data: multi vector must not be empty"}
	}
	for _, row := range in.GetVectors() {
		if len(row.GetData()) == 0 {
			return []string{"data: all vectors must be non-empty"}
		}
	}
	return nil
}
