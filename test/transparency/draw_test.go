package transparency_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/faultwire"
)

// draw makes the parts of one call at random.
type draw struct {
	*rand.Rand
	ground []byte // where payloads are taken from
	// What holds for all of the call.
	pads                            bool
	requestEncoding, answerEncoding encoding
}

// encoding is what a call says of its messages, and what they are.
type encoding struct {
	name  string // "" is none
	flags []byte // one of which each message has
	gzip  bool   // flag 1 is the truth
}

// groundBytes bound the messages: the largest is half as long.
const groundBytes = 2 << 20

// newGround makes the bytes that payloads of a seed are taken from.
func newGround(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1<<63))
	ground := make([]byte, groundBytes)
	for i := 0; i < len(ground); i += 8 {
		binary.LittleEndian.PutUint64(ground[i:], r.Uint64())
	}
	return ground
}

func newDraw(seed uint64, n int, ground []byte) *draw {
	return &draw{Rand: rand.New(rand.NewPCG(seed, uint64(n))), ground: ground}
}

func (d *draw) percent(p int) bool { return d.IntN(100) < p }

func pick[T any](d *draw, of ...T) T { return of[d.IntN(len(of))] }

// few is 0 to 5, and sometimes many.
func (d *draw) few() int {
	if d.percent(5) {
		return 6 + d.IntN(60)
	}
	return d.IntN(6)
}

func (d *draw) bytes(n int) []byte {
	at := d.IntN(len(d.ground) - n)
	return d.ground[at : at+n]
}

// size of a message: mostly small, and now and then around what is special.
func (d *draw) size() int {
	most := 1 << 20
	if d.pads {
		most = 2000
	}
	n := 0
	switch at := d.IntN(1000); {
	case at < 100:
	case at < 450:
		n = d.IntN(33)
	case at < 750:
		n = d.IntN(1 << 10)
	case at < 910:
		n = d.IntN(16 << 10)
	case at < 950:
		n = 16<<10 - 10 + d.IntN(20) // a frame, with and without the prefix
	case at < 960:
		n = 64<<10 - 10 + d.IntN(20) // the window that connections begin with
	case at < 990:
		n = d.IntN(128 << 10)
	case at < 998:
		n = d.IntN(1 << 20)
	default:
		n = 1 << 20
	}
	return min(n, most)
}

// messages are n of an encoding. When there are many they are small.
func (d *draw) messages(n int, e encoding) []faultwire.Message {
	out := make([]faultwire.Message, n)
	for i := range out {
		size := d.size()
		if n > 8 || d.pads && n > 3 {
			size = min(size, 300)
		}
		out[i].Payload = d.bytes(size)
		if len(e.flags) > 0 {
			out[i].Flag = pick(d, e.flags...)
		}
		if e.gzip && out[i].Flag == 1 {
			out[i].Payload = gzipped(out[i].Payload[:min(size, 4<<10)])
		}
	}
	return out
}

// cut makes frames of messages and what is behind them.
func (d *draw) cut(messages []faultwire.Message, tail []byte) *body {
	b := &body{messages: messages, tail: tail}
	rest := len(tail)
	for _, m := range messages {
		rest += 5 + len(m.Payload)
	}
	way := d.IntN(5)
	for i := 0; rest > 0; i++ {
		size := rest
		switch {
		case way == 0: // everything at once
		case way == 1 && i < len(messages): // a message a frame
			size = 5 + len(messages[i].Payload)
		case way == 2 && rest < 30: // a byte a frame
			size = 1
		case way == 3: // a few bytes a frame, but not for ever
			size = 1 + d.IntN(max(8, rest))
		default:
			size = 1 + d.IntN(rest)
		}
		f := frame{size: min(size, rest)}
		if d.pads {
			f.size = min(f.size, 10_000)
			f.padding = d.IntN(2) * d.IntN(256)
		}
		b.frames = append(b.frames, f)
		rest -= f.size
		if d.percent(5) {
			b.frames = append(b.frames, frame{padding: f.padding})
		}
	}
	if len(b.frames) == 0 {
		b.frames = []frame{{}}
	}
	return b
}

// encoding is drawn for a direction. Those that grpc-go cannot carry say so.
func (d *draw) encoding(c *mixCall) encoding {
	switch at := d.IntN(100); {
	case at < 67:
		return encoding{}
	case at < 88:
		return encoding{"gzip", []byte{0, 1}, true}
	case at < 94:
		return encoding{"identity", nil, false}
	case at < 97:
		c.beyond = append(c.beyond, "it refuses encodings that it has not")
		return encoding{pick(d, "br", "zstd", "snappy", "x-own"), []byte{0, 1}, false}
	case at < 98:
		c.beyond = append(c.beyond, "it refuses a compressed message without an encoding")
		return encoding{"", []byte{0, 1}, false}
	default:
		c.beyond = append(c.beyond, "it decodes, so what is no gzip is an error, and flags have a meaning")
		return encoding{"gzip", []byte{0, 1, 2, 255}, false}
	}
}

// headerBudget is what Qdrant and the sidecar take: 16 KiB, with 32 bytes beside
// name and value of each field (RFC 9113 §6.5.2).
const headerBudget = 16 << 10

// What a proxy on grpc-go adds of its own must fit, too.
const grpcGoAdds = 400

// sizeOf is a block's size by that count.
func sizeOf(fields faultwire.Fields) int {
	n := 0
	for _, f := range fields {
		n += int(f.Size())
	}
	return n
}

func (d *draw) requestHeader(c *mixCall) faultwire.Fields {
	d.requestEncoding, d.answerEncoding = d.encoding(c), d.encoding(c)
	path := pick(d, otherMethods...)
	if c.known {
		path = pick(d, unaryMethods...)
	}
	front := faultwire.Pairs(":method", "POST", ":scheme", "http", ":path", path,
		":authority", pick(d, "localhost", "localhost:6334", "qdrant.example:443", "[::1]:6334"))
	fields := faultwire.Pairs("te", "trailers", "content-type", d.contentType(), mixName, strconv.Itoa(c.n))
	if d.requestEncoding.name != "" {
		fields = fields.With("grpc-encoding", d.requestEncoding.name)
	}
	if d.percent(40) {
		fields = fields.With("grpc-accept-encoding", pick(d, "gzip", "identity", "identity, deflate, gzip", "gzip,zstd", ""))
	}
	if d.percent(70) {
		fields = fields.With("user-agent", pick(d, "grpc-go/1.85.0", "tonic/0.12.3", "grpc-python/1.62.0 grpc-c/39.0.0 (linux; chttp2)", "x"))
	}
	if d.percent(4) {
		fields = fields.With("grpc-previous-rpc-attempts", strconv.Itoa(1+d.IntN(3)))
	}
	fields = append(fields, d.timeout(c)...)
	d.Shuffle(len(front), func(i, j int) { front[i], front[j] = front[j], front[i] })
	room := headerBudget - sizeOf(front) - len("content-length")*2 - 64 // which may follow
	fields = d.metadata(fields, room)
	if sizeOf(fields) > room-grpcGoAdds {
		c.beyond = append(c.beyond, "it has no room for fields of its own")
	}
	d.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return append(front, fields...)
}

func (d *draw) contentType() string {
	if d.percent(75) {
		return "application/grpc"
	}
	return "application/grpc" + pick(d, "+proto", "+json", "+own")
}

// timeout is none, generous, or malformed.
func (d *draw) timeout(c *mixCall) faultwire.Fields {
	switch {
	case d.percent(60):
		return nil
	case d.percent(93):
		return faultwire.Pairs("grpc-timeout", pick(d, "1H", "90M", "600S", "99999999m", "3600000m", "99999999S"))
	default:
		c.beyond = append(c.beyond, "it refuses a malformed timeout")
		return faultwire.Pairs("grpc-timeout", pick(d, "", "S", "10", "soon", "-1S", "123456789S", "1 S", "1s"))
	}
}

// answerHeader is the first block of an answer, and with status the only one.
func (d *draw) answerHeader(c *mixCall, status faultwire.Fields) faultwire.Fields {
	fields := faultwire.Pairs("content-type", d.contentType())
	if d.answerEncoding.name != "" {
		fields = fields.With("grpc-encoding", d.answerEncoding.name)
	}
	if d.percent(20) {
		fields = fields.With("grpc-accept-encoding", "gzip", "date", "Mon, 23 Nov 2026 12:00:00 GMT")
	}
	return append(faultwire.Pairs(":status", "200"), d.block(c, append(fields, status...))...)
}

// block adds metadata to the fields of one, in any order. It is all of a trailer.
func (d *draw) block(c *mixCall, fields faultwire.Fields) faultwire.Fields {
	room := headerBudget - 200
	fields = d.metadata(fields, room)
	if sizeOf(fields) > room-grpcGoAdds {
		c.beyond = append(c.beyond, "it has no room for fields of its own")
	}
	d.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return fields
}

// messagesOfStatus are texts as servers encode them.
var messagesOfStatus = []struct{ wire, text string }{
	{"", ""}, {"gone", "gone"}, {"not found: x", "not found: x"}, {"not%20found%3A%20x", "not found: x"},
	{"%C3%A4%E2%82%AC%F0%9F%A6%80", "ä€🦀"}, {"1 of 1 failed:%0A  broken", "1 of 1 failed:\n  broken"},
	{"100%25 full", "100% full"}, {"100% full", "100% full"},
	{strings.Repeat("long ", 300), strings.Repeat("long ", 300)},
}

// status is how an answer ends: mostly OK.
func (d *draw) status() faultwire.Fields {
	if d.percent(60) {
		return faultwire.Pairs("grpc-status", "0")
	}
	code := 1 + d.IntN(16)
	if d.percent(3) {
		code = 17 + d.IntN(200)
	}
	fields := faultwire.Pairs("grpc-status", strconv.Itoa(code))
	m := pick(d, messagesOfStatus...)
	if d.percent(90) {
		fields = fields.With("grpc-message", m.wire)
		if d.percent(30) {
			value := details(int32(code), m.text)
			if d.percent(30) {
				value += strings.Repeat("=", (4-len(value)%4)%4)
			}
			fields = fields.With("grpc-status-details-bin", value)
		}
	}
	if d.percent(15) {
		fields = fields.With(pick(d, "retry-after", "grpc-retry-pushback-ms"), strconv.Itoa(d.IntN(1000)))
	}
	return fields
}

// metadata adds fields, and keeps the block within room bytes.
func (d *draw) metadata(fields faultwire.Fields, room int) faultwire.Fields {
	n := d.IntN(6)
	if d.percent(4) {
		n = d.IntN(180) // a block has up to 256
	}
	left := room - sizeOf(fields)
	add := func(f hpack.HeaderField) {
		if left -= int(f.Size()); left >= 0 {
			f.Sensitive = d.percent(5)
			fields = append(fields, f)
		}
	}
	var last string
	for range n {
		name := d.name()
		if last != "" && d.percent(30) {
			name = last
		}
		last = name
		add(hpack.HeaderField{Name: name, Value: d.value(name)})
	}
	if d.percent(4) && left > 64 { // as much as there is room for
		long := left - len("x-long") - 32
		if d.percent(50) {
			long -= d.IntN(long)
		}
		add(hpack.HeaderField{Name: "x-long", Value: strings.Repeat(pick(d, "a", "0123456789abcdef", "~"), long)[:long]})
	}
	return fields
}

func (d *draw) name() string {
	if d.percent(30) {
		return fmt.Sprintf("x-%x%s", d.IntN(1<<16), pick(d, "", "", "-bin"))
	}
	return pick(d, "x-a", "x-a", "x-b", "x-both", "x-1.2_3-", "x-trace-bin", "x-blob-bin", "traceparent", "x-request-id",
		"api-key", "authorization", "openai-api-key", "x-forwarded-for", "forwarded", "via", "cookie", "accept", "server", "grpc-tags-bin")
}

// printable is what a value may have inside.
const printable = ` !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_` + "`abcdefghijklmnopqrstuvwxyz{|}~"

func (d *draw) value(name string) string {
	n := d.IntN(40)
	switch {
	case d.percent(12):
		n = 0
	case d.percent(5):
		n = d.IntN(3000)
	}
	if strings.HasSuffix(name, "-bin") {
		code := base64.RawStdEncoding
		if d.percent(20) {
			code = base64.StdEncoding
		}
		return code.EncodeToString(d.bytes(n))
	}
	value := make([]byte, n)
	for i := range value {
		value[i] = printable[d.IntN(len(printable))]
	}
	return strings.TrimSpace(string(value)) // the space around a value is not its
}

// sentTimeout reads a request's grpc-timeout; ok is false when it has none that is
// well-formed.
func sentTimeout(fields faultwire.Fields) (d time.Duration, ok bool) {
	values := fields.All("grpc-timeout")
	if len(values) != 1 {
		return 0, false
	}
	d, err := parseTimeout(values[0])
	return d, err == nil
}

// sortedFront puts the pseudo-fields, which come first in any order, into one.
func sortedFront(fields faultwire.Fields) faultwire.Fields {
	fields = slices.Clone(fields)
	n := 0
	for n < len(fields) && strings.HasPrefix(fields[n].Name, ":") {
		n++
	}
	slices.SortFunc(fields[:n], func(a, b hpack.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	return fields
}
