package faultwire_test

import (
	"strconv"
	"testing"

	"qdrant-sidecar/internal/faultwire"
)

func weighted(weights ...int) []faultwire.Weighted {
	var list []faultwire.Weighted
	for i, w := range weights {
		list = append(list, faultwire.Weighted{Weight: w, Fault: faultwire.Fault{Name: strconv.Itoa(i)}})
	}
	return list
}

func TestPlanKeepsWeights(t *testing.T) {
	const draws = 100_000
	plan := faultwire.NewPlan(1, weighted(70, 0, 25, 5)...)
	seen := map[string]int{}
	for i := range draws {
		seen[plan.Draw(strconv.Itoa(i)).Name]++
	}
	for i, percent := range []int{70, 0, 25, 5} {
		got, want := seen[strconv.Itoa(i)], draws/100*percent
		if got < want*95/100 || got > want*105/100 {
			t.Errorf("fault %d drawn %d times, want about %d", i, got, want)
		}
	}
}

func TestPlanIsItsSeedAndKey(t *testing.T) {
	faults := weighted(1, 1, 1, 1, 1, 1, 1, 1)
	one, same, other := faultwire.NewPlan(1, faults...), faultwire.NewPlan(1, faults...), faultwire.NewPlan(2, faults...)
	differ := 0
	for i := range 1000 {
		key := strconv.Itoa(i)
		drawn := one.Draw(key).Name
		if again := same.Draw(key).Name; again != drawn {
			t.Fatalf("key %s draws %s and %s", key, drawn, again)
		}
		if other.Draw(key).Name != drawn {
			differ++
		}
	}
	if differ < 800 { // 7 of 8 expected
		t.Errorf("another seed changed %d of 1000 draws", differ)
	}
}

func TestPlanWithoutWeights(t *testing.T) {
	for _, weights := range [][]int{{}, {0, 0}, {1, -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("weights %v make a plan", weights)
				}
			}()
			faultwire.NewPlan(1, weighted(weights...)...)
		}()
	}
}
