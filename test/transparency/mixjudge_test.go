package transparency_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/faultwire"
)

// judge lists what is different between the ways of a call.
func (c *mixCall) judge(direct, through, grpcgo *wayCall) []string {
	if c.scope == nothing {
		if n := through.attempts.Load(); c.known && n > 0 {
			return []string{fmt.Sprintf("a request that never was whole reached the upstream %d times", n)}
		}
		return nil
	}
	differences := diff(c.lines(direct.exchange), c.lines(through.exchange))
	differences = append(differences, lateness(direct.exchange, through.exchange)...)
	if n := through.attempts.Load(); n != 1 && !c.refused {
		differences = append(differences, fmt.Sprintf("+ the sidecar made %d attempts", n))
	}
	if len(c.beyond) > 0 {
		return differences
	}
	want, got := direct.exchange, grpcgo.exchange
	if want.Response.TrailersOnly || got.Response.TrailersOnly {
		want, got = want.joined(), got.joined()
	}
	ok := proper(direct.exchange.Response)
	for _, line := range diff(c.essence(want, ok), c.essence(got, ok)) {
		differences = append(differences, "grpc-go: "+line)
	}
	return differences
}

// joined is the exchange as if all its answer's metadata were in the trailer.
func (x exchange) joined() exchange {
	if status := x.Response.Header.Get(":status"); status != "" && status != "200" {
		return x
	}
	x.Response.Trailer = append(slices.Clone(x.Response.Header), x.Response.Trailer...)
	x.Response.Header = nil
	return x
}

// lines are the exchange as the sidecar has to keep it, which is as it is but for
// these differences:
//
//   - grpc-timeout says what is left (lateness looks at it);
//   - pseudo-fields, whose order means nothing, come in one of their own;
//   - a reset by the upstream may become the status that gRPC's table has for it, and
//     a unary answer that it cuts is then not passed on;
//   - answers that only announce one (1xx) are not passed on. No gRPC client looks at
//     them.
func (c *mixCall) lines(x exchange) []string {
	x.Request.Fields = strict(x.Request.Fields)
	x.Response.Header, x.Response.Trailer = strict(x.Response.Header), strict(x.Response.Trailer)
	if !c.readsAll() {
		x.Request.Messages, x.Request.Err = nil, nil
	}
	if c.scope == outcomeOnly {
		code := codeOf(x.Response)
		x.Response.Trailer, x.Response.Reset, x.Response.TrailersOnly = nil, nil, false
		if c.known { // whose answer is held until its outcome is known
			x.Response = faultwire.Response{}
		}
		return append(x.lines(), fmt.Sprintf("code %v", code))
	}
	lines := x.lines()
	if x.Response.Trailer != nil && len(x.Response.Trailer) == 0 {
		lines = append(lines, "answer has a trailer without fields")
	}
	return lines
}

// strict is a block in which everything is visible that has to stay: also which
// fields must not be indexed, and timeouts that are none.
func strict(fields faultwire.Fields) faultwire.Fields {
	if fields == nil {
		return nil
	}
	_, timed := sentTimeout(fields)
	fields = sortedFront(fields)
	for i, f := range fields {
		switch {
		case f.Name == "grpc-timeout" && timed:
		case f.Name == "grpc-timeout":
			fields[i].Name = "grpc-timeout (malformed)"
		case f.Sensitive:
			fields[i].Name += " (never indexed)"
		}
	}
	return fields
}

// lateness says what is wrong with the time that the sidecar leaves the upstream.
func lateness(direct, through exchange) []string {
	const lost = 10 * time.Second // generous: a race build on a busy machine
	sent, timed := sentTimeout(direct.Request.Fields)
	got, still := sentTimeout(through.Request.Fields)
	if timed && (!still || got > sent+sent/100 || got <= sent-lost) {
		return []string{fmt.Sprintf("- grpc-timeout %v", sent), fmt.Sprintf("+ grpc-timeout %v", got)}
	}
	return nil
}

// Each of these is noticed by one comparison or the other.
func TestMixNotices(t *testing.T) {
	pairs := func(extra ...string) faultwire.Fields {
		return faultwire.Pairs(":path", "/a/b", "x-a", "1").With(extra...)
	}
	base := exchange{
		Request: request{Fields: pairs("x-b", "2", "x-b", "3", "grpc-timeout", "60S"), Messages: []faultwire.Message{{Payload: []byte("ask")}}},
		Response: faultwire.Response{
			Header:   faultwire.Pairs(":status", "200", "x-h", "1"),
			Messages: []faultwire.Message{{Payload: []byte("get")}},
			Trailer:  faultwire.Pairs("grpc-status", "5", "grpc-message", "a%20b", "grpc-status-details-bin", details(5, "a b")),
		},
	}
	for _, test := range []struct {
		name            string
		sidecar, grpcgo bool // who notices
		change          func(*exchange)
	}{
		{"nothing", false, false, func(*exchange) {}},
		{"order", true, false, func(x *exchange) { slices.Reverse(x.Request.Fields[:2]) }},
		{"order of equals", true, true, func(x *exchange) { slices.Reverse(x.Request.Fields[2:4]) }},
		{"never indexed", true, false, func(x *exchange) { x.Response.Header[1].Sensitive = true }},
		{"another value", true, true, func(x *exchange) { x.Response.Header[1].Value = "2" }},
		{"one field more", true, true, func(x *exchange) {
			x.Response.Trailer = append(x.Response.Trailer, hpack.HeaderField{Name: "x-t"})
		}},
		{"another path", true, true, func(x *exchange) { x.Request.Fields[0].Value = "/a/c" }},
		{"another subtype", true, false, func(x *exchange) { x.Response.Header = x.Response.Header.With("content-type", "application/grpc+x") }},
		{"time lost", true, false, func(x *exchange) { x.Request.Fields[4].Value = "40S" }},
		{"time gained", true, false, func(x *exchange) { x.Request.Fields[4].Value = "61S" }},
		{"a message less", true, true, func(x *exchange) { x.Request.Messages = nil }},
		{"another answer", true, true, func(x *exchange) { x.Response.Messages[0].Payload = []byte("got") }},
		{"encoded once more", true, false, func(x *exchange) {
			x.Response.Messages[0] = faultwire.Message{Flag: 1, Payload: gzipped([]byte("get"))}
		}},
		{"another code", true, true, func(x *exchange) { x.Response.Trailer[0].Value = "6" }},
		{"another encoding of the text", true, false, func(x *exchange) { x.Response.Trailer[1].Value = "a b" }},
		{"another text", true, true, func(x *exchange) { x.Response.Trailer[1].Value = "a" }},
		{"other details", true, true, func(x *exchange) { x.Response.Trailer[2].Value = "CAUSA2EgYg" }},
	} {
		x := base
		x.Request.Fields, x.Request.Messages = slices.Clone(base.Request.Fields), slices.Clone(base.Request.Messages)
		x.Response.Header, x.Response.Trailer = slices.Clone(base.Response.Header), slices.Clone(base.Response.Trailer)
		x.Response.Messages = slices.Clone(base.Response.Messages)
		test.change(&x)
		c := mixCall{upstream: script{{do: awaitEnd}}}
		if got := len(diff(c.lines(base), c.lines(x)))+len(lateness(base, x)) > 0; got != test.sidecar {
			t.Errorf("%s: noticed at the sidecar: %v, want %v", test.name, got, test.sidecar)
		}
		if got := len(diff(c.essence(base, true), c.essence(x, true))) > 0; got != test.grpcgo {
			t.Errorf("%s: noticed at grpc-go: %v, want %v", test.name, got, test.grpcgo)
		}
	}
}
