package transparency_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/faultwire"
)

// call is one call, played the same on both sides.
type call struct {
	path  string
	extra []string // request header fields, names and values
	body  []byte   // DATA, sent with END_STREAM; nil is one empty message
	bare  bool     // no DATA at all: END_STREAM is on the header
	// send sends the request in place of body.
	send func(*faultwire.Stream) error
	// contentType replaces application/grpc unless empty.
	contentType string
	// answer plays the upstream once the request has been read to its end;
	// answerTo, in its place, is given what was read.
	answer   func(*faultwire.Stream)
	answerTo func(*faultwire.Stream, request)
}

// exchange is what both ends saw of a call.
type exchange struct {
	Request  request
	Response faultwire.Response
	Err      error // how the client's side failed, below gRPC
}

// request is what the upstream received.
type request struct {
	Fields   faultwire.Fields
	Messages []faultwire.Message
	Err      error // nil for END_STREAM behind a whole message
}

// play makes the call to one side.
func (r *rig) play(t *testing.T, to side, c call) exchange {
	t.Helper()
	requests := make(chan request, 16) // more only if the sidecar repeats a call that much
	script := func(s *faultwire.Stream) {
		seen := readRequest(s)
		select {
		case requests <- seen:
		default:
		}
		if c.answerTo != nil {
			c.answerTo(s, seen)
		} else {
			c.answer(s)
		}
	}
	r.script.Store(&script)
	var x exchange
	x.Response, x.Err = c.ask(bounded(t), to)
	select {
	case x.Request = <-requests:
	default:
		x.Request.Err = errors.New("the request did not arrive")
	}
	return x
}

// ask makes the call to one side, on a connection of its own.
func (c call) ask(ctx context.Context, to side) (faultwire.Response, error) {
	conn, err := faultwire.Dial(ctx, to.addr)
	if err != nil {
		return faultwire.Response{}, err
	}
	defer conn.Close()
	body := c.body
	if body == nil && !c.bare {
		body = faultwire.Prefixed(nil)
	}
	fields := faultwire.GRPCRequest(c.path, c.extra...)
	if c.contentType != "" {
		i := slices.IndexFunc(fields, func(f hpack.HeaderField) bool { return f.Name == "content-type" })
		fields[i].Value = c.contentType
	}
	if c.send == nil {
		return conn.Call(ctx, fields, body)
	}
	s, err := conn.Open(fields, false)
	if err == nil {
		err = c.send(s)
	}
	if err != nil {
		return faultwire.Response{}, err
	}
	return s.Response(ctx)
}

func readRequest(s *faultwire.Stream) request {
	seen := request{Fields: s.Request.Fields}
	for {
		m, err := s.NextMessage(s.Context())
		if err != nil {
			if err != io.EOF {
				seen.Err = err
			}
			return seen
		}
		seen.Messages = append(seen.Messages, m)
	}
}

// compare makes the call to both sides and fails for every difference. It
// returns both exchanges as they were.
func (r *rig) compare(t *testing.T, c call) (direct, through exchange) {
	t.Helper()
	direct, through = r.play(t, r.direct(), c), r.play(t, r.through(), c)
	equal(t, direct, through)
	return direct, through
}

// equal fails for every difference.
func equal(t *testing.T, direct, through exchange) {
	t.Helper()
	if differences := diff(direct.lines(), through.lines()); len(differences) > 0 {
		t.Errorf("the sidecar is not transparent (- direct, + through it):\n%s", strings.Join(differences, "\n"))
	}
}

// lines is the exchange as text, one fact a line.
func (x exchange) lines() []string {
	var lines []string
	fields := func(prefix string, fields faultwire.Fields) {
		for _, f := range fields {
			if f.Name == "grpc-timeout" {
				f.Value = "(some)" // less is left of it further on; how much is TestDeadline's business
			}
			lines = append(lines, fmt.Sprintf("%s %s: %q", prefix, f.Name, f.Value))
		}
	}
	messages := func(prefix string, messages []faultwire.Message) {
		for i, m := range messages {
			lines = append(lines, fmt.Sprintf("%s %d: flag %d, %d bytes, %s", prefix, i+1, m.Flag, len(m.Payload), digest(m.Payload)))
		}
	}
	fields("request header ", x.Request.Fields)
	messages("request message", x.Request.Messages)
	if x.Request.Err != nil {
		lines = append(lines, fmt.Sprintf("request ended with %v", x.Request.Err))
	}
	switch {
	case x.Response.TrailersOnly:
		lines = append(lines, "answer is Trailers-Only")
	case x.Response.Header != nil:
		lines = append(lines, "answer has headers")
	}
	fields("answer header ", x.Response.Header)
	messages("answer message", x.Response.Messages)
	if len(x.Response.Rest) > 0 {
		lines = append(lines, fmt.Sprintf("answer ends in part of a message: %q", x.Response.Rest))
	}
	fields("answer trailer", x.Response.Trailer)
	if x.Response.Reset != nil {
		lines = append(lines, fmt.Sprintf("answer reset with %v", x.Response.Reset.Code))
	}
	if x.Err != nil {
		lines = append(lines, fmt.Sprintf("client failed: %v", x.Err))
	}
	return lines
}

// digest stands for bytes too many to print.
func digest(b []byte) string {
	if len(b) <= 32 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("sha256 %x…", sha256.Sum256(b))[:24]
}

// diff lists the lines that are in one text only, or more often in one. Order
// is compared too, but told only where nothing else differs.
func diff(want, got []string) []string {
	var out []string
	count := make(map[string]int)
	for _, line := range got {
		count[line]++
	}
	for _, line := range want {
		if count[line]--; count[line] < 0 {
			out = append(out, "- "+line)
		}
	}
	clear(count)
	for _, line := range want {
		count[line]++
	}
	for _, line := range got {
		if count[line]--; count[line] < 0 {
			out = append(out, "+ "+line)
		}
	}
	if len(out) == 0 && !slices.Equal(want, got) {
		out = append(out, "order differs; direct:")
		out = append(out, want...)
		out = append(out, "through the sidecar:")
		out = append(out, got...)
	}
	return out
}

func TestDiff(t *testing.T) {
	for _, test := range []struct{ want, got, diff string }{
		{"a b", "a b", ""},
		{"a b", "a", "- b"},
		{"a", "a a", "+ a"},
		{"a b", "a c", "- b,+ c"},
		{"a b", "b a", "order differs; direct:,a,b,through the sidecar:,b,a"},
	} {
		got := strings.Join(diff(strings.Fields(test.want), strings.Fields(test.got)), ",")
		if got != test.diff {
			t.Errorf("diff(%q, %q) = %q, want %q", test.want, test.got, got, test.diff)
		}
	}
}

func gzipped(payload []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(payload)
	w.Close()
	return b.Bytes()
}

func gunzipped(payload []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// roundTrip is a call that must end OK; for "is the connection still usable".
func roundTrip(ctx context.Context, conn *faultwire.Conn, path string) error {
	answer, err := conn.Call(ctx, faultwire.GRPCRequest(path), faultwire.Prefixed([]byte("again")))
	if err != nil {
		return err
	}
	if got := answer.Trailer.Get("grpc-status"); got != "0" {
		return fmt.Errorf("grpc-status %q, %q", got, answer.Trailer.Get("grpc-message"))
	}
	return nil
}
