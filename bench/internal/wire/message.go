package wire

import "encoding/binary"

// PrefixSize is the length of the flag and the size before a gRPC message.
const PrefixSize = 5

// Message reads the gRPC messages of one direction of a call without keeping
// their bytes. The zero value is before the first.
type Message struct {
	// Count is how many messages have begun.
	Count int
	// Bytes is what came so far, prefixes included.
	Bytes int

	prefix [PrefixSize]byte
	got    int // bytes of the prefix
	rest   int // bytes of the message that are still to come
}

// Feed takes the next bytes.
func (m *Message) Feed(p []byte) {
	m.Bytes += len(p)
	for len(p) > 0 {
		if m.rest > 0 {
			n := min(m.rest, len(p))
			m.rest -= n
			p = p[n:]
			continue
		}
		n := copy(m.prefix[m.got:], p)
		m.got += n
		p = p[n:]
		if m.got == PrefixSize {
			m.got = 0
			m.Count++
			m.rest = int(binary.BigEndian.Uint32(m.prefix[1:]))
		}
	}
}

// Whole reports whether exactly one message came and nothing is missing.
func (m *Message) Whole() bool {
	return m.Count == 1 && m.rest == 0 && m.got == 0
}

// Frame puts the gRPC prefix before a message.
func Frame(message []byte) []byte {
	out := make([]byte, PrefixSize, PrefixSize+len(message))
	binary.BigEndian.PutUint32(out[1:], uint32(len(message)))
	return append(out, message...)
}
