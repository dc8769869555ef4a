package h2_test

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"pgregory.net/rapid"
)

// act is one thing that happens in a model's script. What n means is the kind's
// affair; stream is an index, of the streams that there are.
type act struct {
	kind   string
	stream int
	n      int
}

func (a act) String() string { return fmt.Sprintf("%s(%d, %d)", a.kind, a.stream, a.n) }

// scripts draws what happens, in steps: the acts of a step happen without waiting
// for each other, so that they cross on the wire. Everything is drawn before
// anything runs, because a bubble cannot be left in the middle.
func scripts(kinds []string, numbers *rapid.Generator[int]) *rapid.Generator[[][]act] {
	single := rapid.Custom(func(t *rapid.T) act {
		return act{rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.IntRange(0, 4).Draw(t, "stream"), numbers.Draw(t, "n")}
	})
	return rapid.SliceOfN(rapid.SliceOfN(single, 1, 5), 1, 60)
}

// sizes prefers what is special: nothing, a byte, frames, windows.
var sizes = rapid.OneOf(
	rapid.SampledFrom([]int{0, 1, 2, 255, 256, 16<<10 - 1, 16 << 10, 16<<10 + 1, 65535, 65536, 256 << 10, 1 << 20}),
	rapid.IntRange(0, 1000), rapid.IntRange(0, 200_000),
)

// at is the byte at an offset of a stream's body: no two streams have the same,
// and a piece that is lost or moved shows.
func at(stream, offset int) byte { return byte(offset ^ offset>>8*31 ^ offset>>16*7 + stream*101) }

// piece is a part of a stream's body, in buffers of odd sizes.
func piece(stream, offset, n int) mem.BufferSlice {
	b := make([]byte, n)
	for i := range b {
		b[i] = at(stream, offset+i)
	}
	pieces := mem.BufferSlice{mem.SliceBuffer(nil)}
	for size := 1; len(b) > size; size = size*3 + offset%5 {
		pieces = append(pieces, mem.SliceBuffer(b[:size]))
		b = b[size:]
	}
	return append(pieces, mem.SliceBuffer(b))
}
