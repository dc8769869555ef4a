package faultwire

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// Weighted is a fault and how often it is drawn relative to others.
type Weighted struct {
	// Weight is at least 0; 0 is never.
	Weight int
	Fault
}

// Plan draws faults by weight from a seed. What is drawn depends on the seed and
// the key of the draw alone, and not on the order in which goroutines come to
// draw: with the seed printed, the same call meets the same fault again.
// Whether it meets it in the same company is up to the scheduler. A Plan does
// not change, and may be used concurrently.
type Plan struct {
	seed   uint64
	faults []Weighted
	total  int
}

// NewPlan returns a plan over faults, whose zero value stands for a call that
// goes well. It panics when no weight is above 0, a mistake in the test.
func NewPlan(seed uint64, faults ...Weighted) *Plan {
	p := &Plan{seed: seed, faults: faults}
	for _, f := range faults {
		if f.Weight < 0 {
			panic(fmt.Sprintf("faultwire: NewPlan: weight %d of %q", f.Weight, f.Name))
		}
		p.total += f.Weight
	}
	if p.total == 0 {
		panic("faultwire: NewPlan: no weights")
	}
	return p
}

// Draw returns the fault for key, for example the identifier of a call and the
// number of its attempt.
func (p *Plan) Draw(key string) Fault {
	h := fnv.New64a()
	h.Write([]byte(key))
	n := rand.New(rand.NewPCG(p.seed, h.Sum64())).IntN(p.total)
	for _, f := range p.faults {
		if n -= f.Weight; n < 0 {
			return f.Fault
		}
	}
	panic("unreachable: the weights add up to total")
}
