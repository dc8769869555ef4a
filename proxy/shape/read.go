package shape

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// vector collects what a message says of one vector of its own, in the older shape of
// which the numbers, the indices and the count of rows are fields side by side.
type vector struct {
	length, rows uint64
	sparse       bool
}

// message reads what is left of a message.
func (r *reader) message(m message) {
	var v vector
	switch m {
	case filterMessage:
		r.filters++
		defer func() { r.filters-- }()
		r.raise(filterDepth, uint64(r.filters))
	case prefetchMessage:
		r.prefetches++
		defer func() { r.prefetches-- }()
		r.raise(prefetchDepth, uint64(r.prefetches))
	case sparseMessage:
		v.sparse = true
	default: // is told by its fields
	}
	from := r.shape.names[ordering]
	for r.reading() {
		field, kind := r.Tag()
		r.spend()
		if r.Malformed() {
			continue
		}
		// No field of Qdrant's is a group, and to skip one would need memory.
		if kind == protowire.StartGroupType {
			r.stop(malformed)
			break
		}
		p, known := layouts[m][field]
		if !known {
			p = layouts[m][0]
		}
		r.field(field, kind, p, &v)
	}
	if m == orderingMessage && r.shape.names[ordering] == from {
		r.shape.names[ordering] |= 1 // weak, which is said by saying nothing
	}
	r.vector(v)
}

// field reads the value of a field.
func (r *reader) field(number protowire.Number, kind protowire.Type, p part, v *vector) {
	if p.bit > 0 {
		r.shape.names[p.names] |= 1 << p.bit
	}
	switch p.how {
	case count:
		r.shape.sizes[p.size]++
		if r.shape.sizes[p.size] > 1 {
			p.in = nothing
		}
	case countIn:
		r.shape.sizes[p.size]++
	case present:
		r.shape.flags |= 1 << p.flag
	case indices:
		v.sparse = true
	default: // is told by its value
	}
	switch {
	case kind == protowire.BytesType && p.how == floats:
		v.length += r.within() / 4
	case kind == protowire.BytesType && p.how == numbers:
		r.inside(func() { r.numbers(p.size) })
	case kind == protowire.BytesType && p.in != nothing:
		r.inside(func() { r.message(p.in) })
	case kind == protowire.Fixed32Type && p.how == floats:
		v.length++
		r.Skip(number, kind)
	case kind == protowire.VarintType:
		r.number(p, v)
	default:
		r.Skip(number, kind)
	}
}

// number reads a number.
func (r *reader) number(p part, v *vector) {
	n := r.Varint()
	if r.Malformed() {
		return
	}
	switch p.how {
	case largest:
		r.raise(p.size, n)
	case truthOf:
		if n != 0 {
			r.shape.flags |= 1 << p.flag
		}
	case rows:
		v.rows = n
	case numbers:
		r.shape.sizes[p.size]++
	case order:
		r.shape.names[ordering] |= 1 << min(n, 3)
	default: // a number nobody asked for
	}
}

// numbers counts those in a packed list.
func (r *reader) numbers(s size) {
	for r.reading() {
		r.spend()
		if r.Varint(); !r.Malformed() {
			r.shape.sizes[s]++
		}
	}
}

// within returns how much of a field is there, and passes over it.
func (r *reader) within() (n uint64) {
	r.inside(func() { n = uint64(r.Left()) })
	return n
}

// inside has read look into the field, and passes over what that leaves.
func (r *reader) inside(read func()) {
	if r.depth >= maxDepth {
		r.stop(tooDeep)
		return
	}
	after, all := r.Enter()
	switch {
	case r.Malformed():
		return
	case !all && !r.short:
		r.stop(malformed)
		return
	}
	short := r.short
	r.depth, r.short = r.depth+1, !all
	read()
	r.depth, r.short = r.depth-1, short
	switch {
	case r.shape.partly != whole:
	case !all:
		r.stop(cutOff)
	default:
		r.Leave(after)
	}
}

// vector adds a vector, if there was one.
func (r *reader) vector(v vector) {
	switch {
	case v.length == 0:
	case v.sparse:
		r.shape.sizes[vectors]++
		r.raise(sparseValues, v.length)
	case v.rows > 1 && v.rows <= v.length:
		r.shape.sizes[vectors] += v.rows
		r.raise(dimension, v.length/v.rows)
	default:
		r.shape.sizes[vectors]++
		r.raise(dimension, v.length)
	}
}
