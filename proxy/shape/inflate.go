package shape

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"

	"google.golang.org/grpc/mem"
)

// maxInflated is how much of a compressed message is read. gRPC's JavaScript clients
// compress what they send, and Qdrant what it answers to those that take it.
const maxInflated = 1 << 20

// inflate returns a message that is compressed by gzip, or its start; more says that
// there is more of it.
func inflate(body mem.BufferSlice, encoding string) (message []byte, more, ok bool) {
	const prefix = 5
	if encoding != "gzip" || body.Len() < prefix {
		return nil, false, false
	}
	in := body.Reader()
	defer in.Close()
	var head [prefix]byte
	if _, err := io.ReadFull(in, head[:]); err != nil || head[0] != 1 {
		return nil, false, false
	}
	unzipped, err := gzip.NewReader(io.LimitReader(in, int64(binary.BigEndian.Uint32(head[1:]))))
	if err != nil {
		return nil, false, false
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(unzipped, maxInflated))
	return out.Bytes(), n == maxInflated || err != nil, true
}
