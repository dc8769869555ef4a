package main

import (
	"fmt"

	"github.com/qdrant/go-client/qdrant"
)

// vector is the i-th vector of every SDK's scenario: no two are alike, so that no two scores are.
func vector(i int) []float32 {
	v := make([]float32, dimensions)
	for j := range v {
		v[j] = float32((i*7919+j*104729+i*j*31)%1000003) / 1000003
	}
	return v
}

// point is the i-th point of every SDK's scenario.
func point(i int) *qdrant.PointStruct {
	return &qdrant.PointStruct{
		Id:      qdrant.NewIDNum(uint64(i)),
		Vectors: qdrant.NewVectorsDense(vector(i)),
		Payload: qdrant.NewValueMap(map[string]any{
			"n":     i,
			"color": []string{"red", "green", "blue"}[i%3],
			"price": float64(i*37%1000) / 8,
			"sold":  i%2 == 0,
			"tags":  []any{fmt.Sprintf("t%d", i%5), "all"},
			"shop":  map[string]any{"city": "Zürich", "at": map[string]any{"lat": 47 + float64(i%100)/100, "lon": 8.5}},
			"since": fmt.Sprintf("2024-01-%02dT12:00:00Z", i%28+1),
			"text":  fmt.Sprintf("thing number %d of many", i),
		}),
	}
}

// Ids of points that are no numbers.
const (
	someUUID  = "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a001"
	otherUUID = "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a002"
)

// books are the points of the collection with named vectors.
func books() []*qdrant.PointStruct {
	return []*qdrant.PointStruct{
		{
			Id: qdrant.NewIDUUID(someUUID),
			Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{
				"text":  qdrant.NewVectorDense([]float32{1, 0, 0.5}),
				"terms": qdrant.NewVectorSparse([]uint32{1, 7, 42}, []float32{0.5, 1.5, 0.25}),
				"words": qdrant.NewVectorMulti([][]float32{{1, 0}, {0.6, 0.8}}),
			}),
			Payload: qdrant.NewValueMap(map[string]any{"title": "Moby-Dick", "year": 1851}),
		},
		{
			Id: qdrant.NewIDUUID(otherUUID),
			Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{
				"text":  qdrant.NewVectorDense([]float32{0.25, 1, 0}),
				"terms": qdrant.NewVectorSparse([]uint32{7, 9}, []float32{2, 1}),
				"words": qdrant.NewVectorMulti([][]float32{{0, 1}}),
			}),
			Payload: qdrant.NewValueMap(map[string]any{"title": "Emma", "year": 1815}),
		},
		{
			Id:      qdrant.NewIDNum(3),
			Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{"text": qdrant.NewVectorDense([]float32{0.5, 0.5, 0.5})}),
			Payload: qdrant.NewValueMap(map[string]any{"title": nil, "year": 1999}),
		},
	}
}

func ids(numbers ...uint64) []*qdrant.PointId {
	list := make([]*qdrant.PointId, len(numbers))
	for i, n := range numbers {
		list[i] = qdrant.NewIDNum(n)
	}
	return list
}

func selected(numbers ...uint64) *qdrant.PointsSelector {
	return qdrant.NewPointsSelectorIDs(ids(numbers...))
}

func must(conditions ...*qdrant.Condition) *qdrant.Filter { return &qdrant.Filter{Must: conditions} }
