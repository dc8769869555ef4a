package memqdrant

import (
	"fmt"

	"github.com/qdrant/go-client/qdrant"
)

func checkQuery(in *qdrant.QueryPoints) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, each("prefetch", in.GetPrefetch(), checkPrefetch)...)
	problems = append(problems, checkQueryVariant(in.GetQuery())...)
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	problems = append(problems, checkParams(in.GetParams())...)
	problems = append(problems, atLeastOne("limit", in.Limit)...)
	return append(problems, atLeastOne("timeout", in.Timeout)...)
}

func checkQueryGroups(in *qdrant.QueryPointGroups) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, each("prefetch", in.GetPrefetch(), checkPrefetch)...)
	problems = append(problems, checkQueryVariant(in.GetQuery())...)
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	problems = append(problems, checkParams(in.GetParams())...)
	problems = append(problems, atLeastOne("limit", in.Limit)...)
	problems = append(problems, notEmpty("group_by", in.GetGroupBy())...)
	problems = append(problems, atLeastOne("group_size", in.GroupSize)...)
	return append(problems, atLeastOne("timeout", in.Timeout)...)
}

func checkPrefetch(in *qdrant.PrefetchQuery) []string {
	problems := each("prefetch", in.GetPrefetch(), checkPrefetch)
	problems = append(problems, checkQueryVariant(in.GetQuery())...)
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	problems = append(problems, checkParams(in.GetParams())...)
	return append(problems, atLeastOne("limit", in.Limit)...)
}

func checkQueryVariant(in *qdrant.Query) []string {
	var problems []string
	switch v := in.GetVariant().(type) {
	case *qdrant.Query_Nearest:
		problems = checkInput(v.Nearest)
	case *qdrant.Query_Recommend:
		problems = each("positive", v.Recommend.GetPositive(), checkInput)
		problems = append(problems, each("negative", v.Recommend.GetNegative(), checkInput)...)
	case *qdrant.Query_Rrf:
		problems = atLeastOne("k", v.Rrf.K)
	case *qdrant.Query_NearestWithMmr:
		if found := checkInput(v.NearestWithMmr.GetNearest()); found != nil {
			problems = under("nearest", found)
		}
		problems = append(problems, checkMMR(v.NearestWithMmr.GetMmr())...)
	}
	if problems == nil {
		return nil
	}
	return under("query.variant", problems)
}

func checkMMR(in *qdrant.Mmr) []string {
	if in == nil {
		return nil
	}
	problems := inRange("mmr.diversity", in.Diversity, 0, 1)
	if n := in.GetCandidatesLimit(); n > 16384 {
		problems = append(problems, fmt.Sprintf("mmr.candidates_limit: value %d invalid, must be 16384 or smaller", n))
	}
	return problems
}

func checkInput(in *qdrant.VectorInput) []string {
	var problems []string
	switch v := in.GetVariant().(type) {
	case *qdrant.VectorInput_Sparse:
		problems = checkSparse(v.Sparse.GetIndices(), v.Sparse.GetValues())
	case *qdrant.VectorInput_MultiDense:
		problems = checkMulti(v.MultiDense)
	}
	if problems == nil {
		return nil
	}
	return under("variant", problems)
}

func checkParams(in *qdrant.SearchParams) []string {
	if o := in.GetQuantization().GetOversampling(); in.GetQuantization() != nil && in.GetQuantization().Oversampling != nil && o < 1 {
		return []string{fmt.Sprintf("params.quantization.oversampling: value %s invalid, must be 1.0 or larger", float(float32(o)))}
	}
	return nil
}

func checkSearch(in *qdrant.SearchPoints) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	problems = append(problems, atLeastOne("limit", &in.Limit)...)
	problems = append(problems, checkParams(in.GetParams())...)
	return append(problems, atLeastOne("timeout", in.Timeout)...)
}

func checkSearchGroups(in *qdrant.SearchPointGroups) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, notEmpty("group_by", in.GetGroupBy())...)
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	problems = append(problems, checkParams(in.GetParams())...)
	problems = append(problems, atLeastOne("group_size", &in.GroupSize)...)
	problems = append(problems, atLeastOne("limit", &in.Limit)...)
	return append(problems, atLeastOne("timeout", in.Timeout)...)
}

func checkRecommend(in *qdrant.RecommendPoints) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	problems = append(problems, checkParams(in.GetParams())...)
	problems = append(problems, atLeastOne("timeout", in.Timeout)...)
	problems = append(problems, each("positive_vectors", in.GetPositiveVectors(), checkVector)...)
	return append(problems, each("negative_vectors", in.GetNegativeVectors(), checkVector)...)
}

func checkRecommendGroups(in *qdrant.RecommendPointGroups) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	problems = append(problems, notEmpty("group_by", in.GetGroupBy())...)
	problems = append(problems, atLeastOne("group_size", &in.GroupSize)...)
	problems = append(problems, atLeastOne("limit", &in.Limit)...)
	problems = append(problems, checkParams(in.GetParams())...)
	problems = append(problems, atLeastOne("timeout", in.Timeout)...)
	problems = append(problems, each("positive_vectors", in.GetPositiveVectors(), checkVector)...)
	return append(problems, each("negative_vectors", in.GetNegativeVectors(), checkVector)...)
}

func checkScroll(in *qdrant.ScrollPoints) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	return append(problems, atLeastOne("limit", in.Limit)...)
}

func checkFacet(in *qdrant.FacetCounts) []string {
	problems := checkName(in.GetCollectionName())
	problems = append(problems, notEmpty("key", in.GetKey())...)
	problems = append(problems, checkFilter("filter", in.GetFilter())...)
	return append(problems, atLeastOne("timeout", in.Timeout)...)
}
