package h2

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// headerBlock is a header block while it arrives, in HEADERS and CONTINUATION.
type headerBlock struct {
	stream   uint32 // 0 between blocks
	end      bool   // END_STREAM
	selfDep  bool   // the stream was said to depend on itself
	encoded  []byte // of a block in several frames
	frames   int
	fields   Fields
	bytes    uint32 // of the list, as RFC 9113 §6.5.2 counts
	overflow bool   // larger than our limits: the rest is not kept
}

// A header block may take this much of the wire. What is stored of it is bounded
// by Limits; this bounds the work (CVE-2023-45288 was CONTINUATION without end,
// most of it for streams that nobody wanted any more). It is well above
// Limits.HeaderListBytes, so that a call with too large a header gets an answer
// and does not take the other calls of its connection with it.
const (
	maxBlockBytes  = 128 << 10
	maxBlockFrames = 1024
)

func (c *conn) onHeaders(f *http2.HeadersFrame) error {
	c.block = headerBlock{
		stream:  f.StreamID,
		end:     f.StreamEnded(),
		selfDep: f.HasPriority() && f.Priority.StreamDep == f.StreamID,
	}
	return c.onFragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

func (c *conn) onContinuation(f *http2.ContinuationFrame) error {
	return c.onFragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

// onFragment decodes a block when it is complete. Decoding piece by piece would
// start over at every piece of a long field.
func (c *conn) onFragment(fragment []byte, last bool) error {
	b := &c.block
	b.frames++
	if len(b.encoded)+len(fragment) > maxBlockBytes || b.frames > maxBlockFrames {
		return &connError{http2.ErrCodeEnhanceYourCalm, "endless header block"}
	}
	if !last || b.frames > 1 {
		b.encoded = append(b.encoded, fragment...)
		fragment = b.encoded
	}
	if !last {
		return nil
	}
	// A block must be decoded whatever becomes of it: compression has a state.
	_, err := c.dec.Write(fragment)
	if err == nil {
		err = c.dec.Close()
	}
	if err != nil {
		return &connError{http2.ErrCodeCompression, err.Error()}
	}
	c.dec.SetEmitEnabled(true)
	done := *b
	*b = headerBlock{}
	if c.server {
		return c.onRequestBlock(&done)
	}
	return c.onResponseBlock(&done)
}

// emit takes one decoded field.
func (c *conn) emit(f hpack.HeaderField) {
	b := &c.block
	b.bytes += f.Size()
	if b.bytes > c.limits.HeaderListBytes || len(b.fields) >= c.limits.HeaderFields {
		b.overflow = true
		c.dec.SetEmitEnabled(false)
		return
	}
	b.fields = append(b.fields, f)
}

// connectionSpecific are the fields that HTTP/2 has no use for (RFC 9113 §8.2.2).
var connectionSpecific = []string{"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"}

// wellFormed reports whether the fields after the pseudo-fields may be in an
// HTTP/2 header block.
func wellFormed(fields Fields) bool {
	for _, f := range fields {
		switch {
		case f.Name == "" || f.Name[0] == ':' || !validName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value):
			return false
		case f.Name == "te" && f.Value != "trailers":
			return false
		case slices.Contains(connectionSpecific, f.Name):
			return false
		}
	}
	return true
}

func validName(name string) bool {
	for i := range len(name) {
		if b := name[i]; 'A' <= b && b <= 'Z' || !httpguts.IsTokenRune(rune(b)) {
			return false
		}
	}
	return true
}

// pseudo splits the pseudo-fields, which come first, from the others.
func pseudo(fields Fields) (front, rest Fields) {
	n := 0
	for n < len(fields) && strings.HasPrefix(fields[n].Name, ":") {
		n++
	}
	return fields[:n:n], fields[n:]
}

// wellFormedRequest reports whether the pseudo-fields are those of a request.
func wellFormedRequest(front Fields) bool {
	seen := [4]int{}
	for _, f := range front {
		i := slices.Index([]string{":method", ":scheme", ":path", ":authority"}, f.Name)
		if i < 0 || i < 3 && f.Value == "" || !httpguts.ValidHeaderFieldValue(f.Value) {
			return false
		}
		seen[i]++
	}
	return seen[0] == 1 && seen[1] == 1 && seen[2] == 1 && seen[3] <= 1
}

// contentLength returns the announced length of the body; -1 when there is none
// and ok false when it is malformed.
func contentLength(fields Fields) (n int64, ok bool) {
	n = -1
	for _, f := range fields {
		if f.Name != "content-length" {
			continue
		}
		v, err := strconv.ParseUint(f.Value, 10, 63)
		if err != nil || n >= 0 && n != int64(v) {
			return 0, false
		}
		n = int64(v)
	}
	return n, true
}
