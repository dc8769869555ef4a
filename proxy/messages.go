package proxy

import (
	"encoding/binary"

	"google.golang.org/grpc/mem"
)

// messages counts the messages in a body that passes in pieces. The zero value is
// ready.
type messages struct {
	prefix [5]byte
	have   int   // of prefix
	left   int64 // of the message after it; an int of 32 bits would not do
}

// pass returns how many messages have their end in the next piece.
func (m *messages) pass(piece mem.BufferSlice) (ended int) {
	for _, buffer := range piece {
		b := buffer.ReadOnlyData()
		for len(b) > 0 {
			if m.left > 0 {
				skipped := int(min(m.left, int64(len(b))))
				m.left -= int64(skipped)
				b = b[skipped:]
			} else {
				n := copy(m.prefix[m.have:], b)
				m.have += n
				b = b[n:]
				if m.have < len(m.prefix) {
					continue
				}
				m.left = int64(binary.BigEndian.Uint32(m.prefix[1:]))
			}
			if m.left == 0 {
				ended++
				m.have = 0
			}
		}
	}
	return ended
}

// countMessages counts those of a call that has ended in err and was not passed on as
// it came.
func (c *Call) countMessages(err error) {
	if !c.sending && c.refused == nil {
		c.counted.messagesIn.Add(float64(new(messages).pass(c.Body)))
	}
	if err == nil && !c.answering {
		c.counted.messagesOut.Add(float64(new(messages).pass(c.Response.Body)))
	}
}

// passing notes that a piece of the answer is with the caller.
func (c *Call) passing(size, ended int) {
	c.passed += int64(size)
	if ended > 0 {
		c.counted.messagesOut.Add(float64(ended))
	}
}
