package h2

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
)

// arrival is a header block while it arrives, in HEADERS and CONTINUATION.
type arrival struct {
	stream  uint32 // 0 between blocks
	end     bool   // END_STREAM
	selfDep bool   // the stream was said to depend on itself
	encoded []byte // of a block in several frames
	frames  int
}

// onHeaders takes a HEADERS frame (RFC 9113 §6.2). It is most of the frames, with
// DATA, and the framer would make garbage of each.
func (c *conn) onHeaders(flags http2.Flags, stream uint32, payload []byte) error {
	if stream == 0 {
		return &connError{http2.ErrCodeProtocol, "HEADERS on stream 0"}
	}
	c.arrival = arrival{stream: stream, end: flags.Has(http2.FlagHeadersEndStream)}
	padding := 0
	if flags.Has(http2.FlagHeadersPadded) {
		if len(payload) == 0 {
			return &connError{http2.ErrCodeFrameSize, "padded HEADERS without a length"}
		}
		padding, payload = int(payload[0]), payload[1:]
	}
	if flags.Has(http2.FlagHeadersPriority) {
		if len(payload) < 5 {
			return &connError{http2.ErrCodeFrameSize, "HEADERS too short for a priority"}
		}
		c.arrival.selfDep = binary.BigEndian.Uint32(payload)&(1<<31-1) == stream
		payload = payload[5:]
	}
	if padding > len(payload) {
		return &connError{http2.ErrCodeProtocol, "more padding than HEADERS"}
	}
	return c.onFragment(payload[:len(payload)-padding], flags.Has(http2.FlagHeadersEndHeaders))
}

// onContinuation takes a frame while a block is under way: nothing else may come.
func (c *conn) onContinuation(kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte) error {
	if kind != http2.FrameContinuation || stream != c.arrival.stream {
		return &connError{http2.ErrCodeProtocol, "a header block was interrupted"}
	}
	return c.onFragment(payload, flags.Has(http2.FlagContinuationEndHeaders))
}

// onFragment decodes a block when it is complete. Decoding piece by piece would
// start over at every piece of a long field.
func (c *conn) onFragment(fragment []byte, last bool) error {
	a := &c.arrival
	a.frames++
	if c.limits.blockTooLarge(a.frames, len(a.encoded)+len(fragment)) {
		return &connError{http2.ErrCodeEnhanceYourCalm, "endless header block"}
	}
	if !last || a.frames > 1 {
		a.encoded = append(a.encoded, fragment...)
		fragment = a.encoded
	}
	if !last {
		return nil
	}
	// A block must be decoded whatever becomes of it: compression has a state.
	b, err := c.decode(fragment)
	if err != nil {
		return &connError{http2.ErrCodeCompression, err.Error()}
	}
	done := *a
	*a = arrival{}
	if c.server {
		return c.onRequestBlock(done, b)
	}
	return c.onResponseBlock(done, b)
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
