package memqdrant_test

import (
	"math/rand/v2"
	"testing"

	"github.com/qdrant/go-client/qdrant"
)

// The demo's size: 1,797 points of 64 dimensions.
func BenchmarkDemo(b *testing.B) {
	const count, size = 1797, 64
	random := rand.New(rand.NewPCG(1, 2))
	vector := func() []float32 {
		v := make([]float32, size)
		for i := range v {
			v[i] = random.Float32()
		}
		return v
	}
	load := func(a api) {
		for at64 := uint64(0); at64 < count; at64 += 100 {
			var batch []*qdrant.PointStruct
			for id := at64; id < min(at64+100, count); id++ {
				batch = append(batch, at(id, vector(), "digit", int(id%10)))
			}
			a.put(b, batch...)
		}
	}
	a := newAPI(b)
	a.create(b, size, qdrant.Distance_Cosine)
	load(a)
	for name, q := range map[string]*qdrant.QueryPoints{
		"query":    {Query: qdrant.NewQueryDense(vector())},
		"filtered": {Query: qdrant.NewQueryDense(vector()), Filter: must(qdrant.NewMatchInt("digit", 3))},
		"by id":    {Query: qdrant.NewQueryID(qdrant.NewIDNum(5)), WithPayload: qdrant.NewWithPayload(true)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				a.query(b, q)
			}
		})
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			load(a)
		}
	})
}
