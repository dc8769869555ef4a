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
	fields   Fields
	bytes    uint32 // of the list, as RFC 9113 §6.5.2 counts
	encoded  int
	frames   int
	overflow bool // larger than our limits: the rest is not kept
	selfDep  bool
}

// A header block may take this much of the wire. What is stored of it is bounded
// by Limits; this bounds the work (CVE-2023-45288 was CONTINUATION without end).
const (
	maxBlockBytes  = 128 << 10
	maxBlockFrames = 32
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

func (c *conn) onFragment(fragment []byte, last bool) error {
	b := &c.block
	b.encoded += len(fragment)
	b.frames++
	if b.encoded > maxBlockBytes || b.frames > maxBlockFrames {
		return &connError{http2.ErrCodeEnhanceYourCalm, "endless header block"}
	}
	if _, err := c.dec.Write(fragment); err != nil {
		return &connError{http2.ErrCodeCompression, err.Error()}
	}
	if !last {
		return nil
	}
	if err := c.dec.Close(); err != nil {
		return &connError{http2.ErrCodeCompression, err.Error()}
	}
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
	if b.overflow || b.bytes > c.limits.HeaderListBytes || len(b.fields) >= c.limits.HeaderFields {
		b.overflow = true
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

// Pseudo returns the fields whose names begin with a colon.
func (f Fields) Pseudo() Fields { front, _ := pseudo(f); return front }

// Regular returns the fields that are not pseudo-fields.
func (f Fields) Regular() Fields { _, rest := pseudo(f); return rest }

// Get returns the value of the first field of that lower-case name; "" when
// there is none.
func (f Fields) Get(name string) string {
	for i := range f {
		if f[i].Name == name {
			return f[i].Value
		}
	}
	return ""
}
