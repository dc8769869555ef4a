package memqdrant

import (
	"cmp"
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// vector is a dense, sparse or multi vector: exactly one field is non-nil. Its slices are never changed once it is
// stored, so answers may share them after the lock is released.
type vector struct {
	dense  []float32
	sparse *sparseVector
	multi  [][]float32
}

// sparseVector holds values[i] at indices[i]; indices are ascending once it is stored or queried with.
type sparseVector struct {
	indices []uint32
	values  []float32
}

// vectorParams says what a named vector of a collection may hold.
type vectorParams struct {
	size     int
	distance qdrant.Distance
	multi    bool // a dense vector is stored as a multi vector with one row
	sparse   bool
	idf      bool // sparse only: weigh a query's values by how rare their indices are
}

// parseVectors reads the vectors of a point; a single unnamed one gets the name "".
func parseVectors(in *qdrant.Vectors) (map[string]vector, error) {
	switch v := in.GetVectorsOptions().(type) {
	case *qdrant.Vectors_Vector:
		parsed, err := parseVector(v.Vector)
		if err != nil {
			return nil, err
		}
		if parsed.sparse != nil {
			return nil, malformed("Sparse vector must be named")
		}
		return map[string]vector{"": parsed}, nil
	case *qdrant.Vectors_Vectors:
		named := make(map[string]vector, len(v.Vectors.GetVectors()))
		for name, raw := range v.Vectors.GetVectors() {
			parsed, err := parseVector(raw)
			if err != nil {
				return nil, err
			}
			named[name] = parsed
		}
		return named, nil
	default:
		return nil, malformed("No Vector Provided")
	}
}

// parseVector reads one vector, in the form clients send today or in the flat one they sent before.
func parseVector(in *qdrant.Vector) (vector, error) {
	switch v := in.GetVector().(type) {
	case *qdrant.Vector_Dense:
		return denseVector(v.Dense.GetData()), nil
	case *qdrant.Vector_Sparse:
		return newSparse(v.Sparse.GetIndices(), v.Sparse.GetValues()), nil
	case *qdrant.Vector_MultiDense:
		return multiVector(v.MultiDense), nil
	case *qdrant.Vector_Document, *qdrant.Vector_Image, *qdrant.Vector_Object:
		return vector{}, unsupported("inference")
	}
	data := in.GetData()                            //nolint:staticcheck // old clients still send the flat form
	if indices := in.GetIndices(); indices != nil { //nolint:staticcheck // same
		return newSparse(indices.GetData(), data), nil
	}
	if in.VectorsCount == nil { //nolint:staticcheck // same
		return denseVector(data), nil
	}
	count := int(in.GetVectorsCount()) //nolint:staticcheck // same
	if count == 0 || len(data) == 0 || len(data)%count != 0 {
		return vector{}, malformed("Unable to convert to multi-dense vector: Validation failed: "+
			"Data length is not divisible by vectors count. Data length: %d, vectors count: %d", len(data), count)
	}
	return vector{multi: slices.Collect(slices.Chunk(data, len(data)/count))}, nil
}

func denseVector(data []float32) vector {
	if data == nil {
		data = []float32{}
	}
	return vector{dense: data}
}

func multiVector(in *qdrant.MultiDenseVector) vector {
	rows := make([][]float32, 0, len(in.GetVectors()))
	for _, row := range in.GetVectors() {
		rows = append(rows, row.GetData())
	}
	return vector{multi: rows}
}

// newSparse sorts by index; both slices must have the same length, which validation has made sure of.
func newSparse(indices []uint32, values []float32) vector {
	type entry struct {
		index uint32
		value float32
	}
	entries := make([]entry, min(len(indices), len(values)))
	for i := range entries {
		entries[i] = entry{indices[i], values[i]}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.index, b.index) })
	s := &sparseVector{indices: make([]uint32, len(entries)), values: make([]float32, len(entries))}
	for i, e := range entries {
		s.indices[i], s.values[i] = e.index, e.value
	}
	return vector{sparse: s}
}

// check returns why v cannot be stored under these parameters or compared with what is.
func (p vectorParams) check(v vector) error {
	switch {
	case p.sparse && v.dense != nil, !p.sparse && v.sparse != nil:
		return badInput("Conversion between sparse and regular vectors failed")
	case v.multi != nil && !p.multi:
		return badInput("Conversion between multi and regular vectors failed")
	case p.sparse:
		return nil
	case v.dense != nil && len(v.dense) != p.size:
		return wrongDimension(p.size, len(v.dense))
	}
	for _, row := range v.multi {
		if len(row) != p.size {
			return wrongDimension(p.size, len(row))
		}
	}
	return nil
}

// prepare turns v into what is stored: unit length where the distance is cosine.
func (p vectorParams) prepare(v vector) vector {
	if p.multi && v.dense != nil {
		v = vector{multi: v.rows()}
	}
	if p.distance != qdrant.Distance_Cosine || v.sparse != nil {
		return v
	}
	if v.dense != nil {
		return vector{dense: normalised(v.dense)}
	}
	rows := make([][]float32, len(v.multi))
	for i, row := range v.multi {
		rows[i] = normalised(row)
	}
	return vector{multi: rows}
}

// proto is the vector as answers carry it.
func (v vector) proto() *qdrant.VectorOutput {
	switch {
	case v.sparse != nil:
		return &qdrant.VectorOutput{Vector: &qdrant.VectorOutput_Sparse{
			Sparse: &qdrant.SparseVector{Indices: v.sparse.indices, Values: v.sparse.values}}}
	case v.multi != nil:
		rows := make([]*qdrant.DenseVector, len(v.multi))
		for i, row := range v.multi {
			rows[i] = &qdrant.DenseVector{Data: row}
		}
		return &qdrant.VectorOutput{Vector: &qdrant.VectorOutput_MultiDense{
			MultiDense: &qdrant.MultiDenseVector{Vectors: rows}}}
	default:
		return &qdrant.VectorOutput{Vector: &qdrant.VectorOutput_Dense{Dense: &qdrant.DenseVector{Data: v.dense}}}
	}
}
