package proxy

import (
	"testing"

	"google.golang.org/grpc/mem"
)

// TestMessagesInPieces: what a body is cut into does not matter.
func TestMessagesInPieces(t *testing.T) {
	body := []byte("\x00\x00\x00\x00\x03abc" + "\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00\x01z" + "\x00\x00\x00\x00\x02q") // the last one is not whole
	for size := 1; size <= len(body); size++ {
		var m messages
		ended, pieces := 0, mem.BufferSlice{}
		for from := 0; from < len(body); from += size {
			pieces = append(pieces, mem.SliceBuffer(body[from:min(from+size, len(body))]))
			if len(pieces) == 2 {
				ended += m.pass(pieces)
				pieces = nil
			}
		}
		if ended += m.pass(pieces); ended != 3 {
			t.Errorf("in pieces of %d there are %d messages, want 3", size, ended)
		}
	}
}
