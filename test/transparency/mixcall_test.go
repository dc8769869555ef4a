package transparency_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/faultwire"
)

// scope is how much of a call is the same each time it is made.
type scope int

const (
	// everything that both ends see; of a request that the upstream does not read to
	// its end that is the header.
	everything scope = iota
	// outcomeOnly is for calls that the upstream resets: a proxy may hand a reset on
	// as such or as a status. On a stream, what came before it is the same, too.
	outcomeOnly
	// untilCancel is what client and upstream had seen of each other when the client
	// left.
	untilCancel
	// nothing but that the call does not get far: its client leaves at once.
	nothing
)

// mixCall is one call of the mix.
type mixCall struct {
	n        int
	shape    string
	known    bool
	client   script // without the opening HEADERS
	opening  step
	upstream script
	scope    scope
	// alone says that the call needs a connection of its own.
	alone bool
	// refused says that the upstream promises to have done nothing.
	refused bool
	// beyond are the reasons why grpc-go cannot carry the call.
	beyond []string
}

func (c *mixCall) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "call %d, %s\n the client:\n%s%s the upstream:\n%s", c.n, c.shape, script{c.opening}, c.client, c.upstream)
	if len(c.beyond) > 0 {
		fmt.Fprintf(&b, " beyond grpc-go: %s\n", strings.Join(c.beyond, "; "))
	}
	return b.String()
}

// readsAll reports whether the upstream reads as much of the request as it ever gets.
func (c *mixCall) readsAll() bool {
	return c.scope == untilCancel || slices.ContainsFunc(c.upstream, func(st step) bool { return st.do == awaitEnd })
}

// mixName is the field by which the upstream knows the call.
const mixName = "x-mix"

// unaryMethods are some that the sidecar handles as unary calls: of each class,
// with and without a collection.
var unaryMethods = []string{
	"/qdrant.Points/Query", "/qdrant.Points/Upsert", "/qdrant.Points/Delete", "/qdrant.Points/Count",
	"/qdrant.Collections/List", "/qdrant.Collections/Create", "/qdrant.Collections/Get", "/qdrant.Snapshots/Create",
}

// otherMethods are none of Qdrant's, as far as the sidecar knows.
var otherMethods = []string{
	"/acme.Thing/Do", "/qdrant.Points/NoSuch", "/qdrant.NoSuch/Query", "/acme.deep.er.Thing/Do", "/Thing/Do", "/acme/nested/Do",
}

// shapes are what calls are drawn from.
var shapes = []struct {
	name   string
	weight int
	known  int // percentage of unary methods
	make   func(*draw, *mixCall)
}{
	{"unary", 42, 80, func(d *draw, c *mixCall) { d.whole(c, 1, d.answer(c, 1)) }},
	{"client streaming", 8, 25, func(d *draw, c *mixCall) { d.whole(c, d.few(), d.answer(c, 1)) }},
	{"server streaming", 10, 25, func(d *draw, c *mixCall) { d.whole(c, 1, d.answer(c, d.few())) }},
	{"both streaming", 4, 25, func(d *draw, c *mixCall) { d.whole(c, d.few(), d.answer(c, d.few())) }},
	{"message by message", 8, 0, (*draw).pingPong},
	{"odd answer", 6, 60, func(d *draw, c *mixCall) { d.whole(c, 1, d.oddAnswer(c)) }},
	{"early answer", 7, 50, (*draw).early},
	{"upstream resets", 8, 60, (*draw).upstreamResets},
	{"client cancels while waiting", 3, 60, (*draw).cancelWaiting},
	{"client cancels an answer", 2, 0, (*draw).cancelAnswer},
	{"client cancels a request", 2, 0, (*draw).cancelRequest},
	{"client leaves at once", 2, 50, (*draw).leave},
}

// mixCallOf draws the n-th call of a seed.
func mixCallOf(seed uint64, n int, ground []byte) *mixCall {
	d := newDraw(seed, n, ground)
	total := 0
	for _, s := range shapes {
		total += s.weight
	}
	at := d.IntN(total)
	for _, s := range shapes {
		if at -= s.weight; at >= 0 {
			continue
		}
		c := &mixCall{n: n, shape: s.name, known: d.percent(s.known), scope: everything}
		d.pads = d.percent(6)
		c.alone = d.pads
		c.opening = step{do: sendHeaders, fields: d.requestHeader(c)}
		s.make(d, c)
		return c
	}
	panic("unreachable: the weights add up to total")
}

// whole is a call whose upstream reads all before it answers.
func (d *draw) whole(c *mixCall, messages int, answer script) {
	d.request(c, d.messages(messages, d.requestEncoding), true)
	c.upstream = append(script{{do: awaitEnd}}, answer...)
}

// request is the client's part of a call whose request does not depend on answers.
func (d *draw) request(c *mixCall, messages []faultwire.Message, ends bool) {
	if len(messages) == 0 {
		c.opening.end = ends
		return
	}
	b := d.cut(messages, nil)
	d.announce(c, b)
	apart := d.pads || d.percent(30)
	c.client = script{{do: sendBody, body: b, end: ends && !apart}}
	switch {
	case !ends || !apart:
	case d.percent(5):
		c.client = append(c.client, step{do: sendHeaders, fields: d.metadata(faultwire.Fields{}, 1000), end: true})
		c.beyond = append(c.beyond, "it ends a connection on which a request has trailers")
		c.alone = true
	default:
		c.client = append(c.client, step{do: sendBody, body: d.cut(nil, nil), end: true})
	}
}

// announce sometimes says how long the request is.
func (d *draw) announce(c *mixCall, b *body) {
	if d.percent(5) {
		length := hpack.HeaderField{Name: "content-length", Value: strconv.Itoa(len(b.bytes()))}
		c.opening.fields = append(c.opening.fields, length)
	}
}

// answer is a proper one.
func (d *draw) answer(c *mixCall, messages int) script {
	status := d.status()
	ok := status.Get("grpc-status") == "0"
	if !ok && d.percent(70) {
		messages = 0
	}
	infos := d.infos()
	if messages == 0 && d.percent(80) {
		if d.percent(20) {
			status = append(status, hpack.HeaderField{Name: "content-length", Value: "0"})
		}
		return append(infos, step{do: sendHeaders, fields: d.answerHeader(c, status), end: true})
	}
	out := append(infos, step{do: sendHeaders, fields: d.answerHeader(c, nil)})
	if messages > 0 {
		out = append(out, step{do: sendBody, body: d.cut(d.messages(messages, d.answerEncoding), nil)})
	}
	return append(out, step{do: sendHeaders, fields: d.block(c, status), end: true})
}

// infos are answers that announce the answer.
func (d *draw) infos() script {
	if !d.percent(5) {
		return nil
	}
	return slices.Repeat(script{{do: sendHeaders, fields: faultwire.Pairs(":status", pick(d, "100", "103"), "link", "</x>")}}, 1+d.IntN(2))
}

// oddAnswer is one that no gRPC server should give, and a proxy passes on all the
// same.
func (d *draw) oddAnswer(c *mixCall) script {
	header := step{do: sendHeaders, fields: d.answerHeader(c, nil)}
	trailer := step{do: sendHeaders, fields: d.block(c, d.status()), end: true}
	messages := d.messages(d.IntN(3), d.answerEncoding)
	switch d.IntN(6) {
	case 0: // a gateway's page
		page := d.bytes(d.IntN(2000))
		status := pick(d, "400", "401", "403", "404", "429", "431", "500", "502", "503", "504")
		fields := d.metadata(faultwire.Pairs(":status", status, "content-type", "text/html"), 1000)
		if len(page) == 0 {
			return script{{do: sendHeaders, fields: fields, end: true}}
		}
		b := d.cut(nil, page)
		b.frames[len(b.frames)-1].padding = 0
		return script{{do: sendHeaders, fields: fields}, {do: sendBody, body: b, end: true}}
	case 1: // no trailer
		b := d.cut(messages, nil)
		b.frames[len(b.frames)-1].padding = 0
		return script{header, {do: sendBody, body: b, end: true}}
	case 2: // half a message
		c.beyond = append(c.beyond, "half a message is an error of its own")
		return script{header, {do: sendBody, body: d.cut(messages, []byte{0, 0, 0, 1, 0, 'x'})}, trailer}
	case 3: // no status, or none that is one
		fields := d.metadata(nil, 500)
		if d.percent(50) {
			fields = append(fields, hpack.HeaderField{Name: "grpc-status", Value: pick(d, "", "OK", "x1")})
		}
		if len(messages) == 0 {
			return script{{do: sendHeaders, fields: d.answerHeader(c, fields), end: true}}
		}
		return script{header, {do: sendBody, body: d.cut(messages, nil)}, {do: sendHeaders, fields: fields, end: true}}
	case 4: // a wrong length
		header.fields = append(header.fields, hpack.HeaderField{Name: "content-length", Value: strconv.Itoa(d.IntN(5000))})
		return script{header, {do: sendBody, body: d.cut(messages, nil)}, trailer}
	default: // details that do not fit
		c.beyond = append(c.beyond, "it makes INTERNAL of details that contradict the status")
		return script{{do: sendHeaders, fields: d.answerHeader(c, faultwire.Pairs(
			"grpc-status", "8", "grpc-message", "outside",
			"grpc-status-details-bin", pick(d, details(8, "inside"), details(3, "outside"), "/////w", ""),
		)), end: true}}
	}
}

// pingPong is a stream on which each side waits for the other.
func (d *draw) pingPong(c *mixCall) {
	turns := 1 + d.few()
	c.upstream = script{{do: sendHeaders, fields: d.answerHeader(c, nil)}}
	if d.percent(50) {
		c.client = script{{do: awaitHeaders}}
	}
	for i := range turns {
		c.client = append(c.client, step{do: sendBody, body: d.cut(d.messages(1, d.requestEncoding), nil)}, step{do: awaitMessages, count: i + 1})
		c.upstream = append(c.upstream, step{do: awaitMessages, count: i + 1}, step{do: sendBody, body: d.cut(d.messages(1, d.answerEncoding), nil)})
	}
	c.client = append(c.client, step{do: sendBody, body: d.cut(nil, nil), end: true})
	if d.percent(70) {
		c.upstream = append(c.upstream, step{do: awaitEnd})
	}
	c.upstream = append(c.upstream, step{do: sendHeaders, fields: d.block(c, d.status()), end: true})
}

// early is answered without the rest of the request, which the upstream may then
// say it does not need.
func (d *draw) early(c *mixCall) {
	messages := d.messages(1+d.few(), d.requestEncoding)
	d.request(c, messages, true)
	if d.percent(30) {
		c.upstream = script{{do: awaitMessages, count: 1 + d.IntN(len(messages))}}
	}
	c.upstream = append(c.upstream, d.answer(c, d.IntN(3))...)
	if d.percent(50) {
		code := pick(d, http2.ErrCodeNo, http2.ErrCodeNo, http2.ErrCodeCancel, http2.ErrCodeInternal)
		c.upstream = append(c.upstream, step{do: sendReset, code: code})
	}
}

// upstreamResets with any code of RFC 9113 §7.
func (d *draw) upstreamResets(c *mixCall) {
	c.scope = outcomeOnly
	code := http2.ErrCode(d.IntN(int(http2.ErrCodeHTTP11Required) + 1))
	d.request(c, d.messages(1+d.IntN(2), d.requestEncoding), true)
	if d.percent(70) {
		c.upstream = script{{do: awaitEnd}}
	}
	stage := d.IntN(4)
	if stage > 0 {
		c.upstream = append(c.upstream, append(d.infos(), step{do: sendHeaders, fields: d.answerHeader(c, nil)})...)
	}
	switch stage {
	case 0:
		c.refused = code == http2.ErrCodeRefusedStream
	case 2:
		c.upstream = append(c.upstream, step{do: sendBody, body: d.cut(d.messages(1+d.few(), d.answerEncoding), nil)})
	case 3:
		c.upstream = append(c.upstream, step{do: sendBody, body: d.cut(d.messages(d.IntN(2), d.answerEncoding), []byte{0, 0, 0, 9})})
	}
	c.upstream = append(c.upstream, step{do: sendReset, code: code})
	if code == http2.ErrCodeFlowControl {
		c.beyond = append(c.beyond, "it makes RESOURCE_EXHAUSTED of FLOW_CONTROL_ERROR, where gRPC's table has INTERNAL")
	}
}

// cancelWaiting leaves when the upstream has all of the request.
func (d *draw) cancelWaiting(c *mixCall) {
	c.scope = untilCancel
	d.request(c, d.messages(1, d.requestEncoding), true)
	c.client = append(c.client, step{do: awaitTold}, step{do: sendReset, code: http2.ErrCodeCancel})
	c.upstream = script{{do: awaitEnd}, {do: tell}, {do: hang}}
}

// cancelAnswer leaves in the middle of an answer.
func (d *draw) cancelAnswer(c *mixCall) {
	c.scope = untilCancel
	d.request(c, d.messages(1, d.requestEncoding), true)
	messages := d.messages(d.few(), d.answerEncoding)
	c.client = append(c.client, step{do: awaitHeaders}, step{do: awaitMessages, count: len(messages)}, step{do: sendReset, code: http2.ErrCodeCancel})
	c.upstream = script{{do: awaitEnd}, {do: sendHeaders, fields: d.answerHeader(c, nil)}}
	if len(messages) > 0 {
		c.upstream = append(c.upstream, step{do: sendBody, body: d.cut(messages, nil)})
	}
	c.upstream = append(c.upstream, step{do: hang})
}

// cancelRequest leaves in the middle of a request that the upstream has as far.
func (d *draw) cancelRequest(c *mixCall) {
	c.scope = untilCancel
	messages := d.messages(1+d.few(), d.requestEncoding)
	d.request(c, messages, false)
	c.client = append(c.client, step{do: awaitTold}, step{do: sendReset, code: http2.ErrCodeCancel})
	c.upstream = script{{do: awaitMessages, count: len(messages)}, {do: tell}, {do: hang}}
}

// leave cancels whatever has become of the call.
func (d *draw) leave(c *mixCall) {
	c.scope = nothing
	if d.percent(50) {
		d.request(c, d.messages(d.few(), d.requestEncoding), false)
	}
	c.opening.end = false
	c.client = append(c.client, step{do: sendReset, code: http2.ErrCodeCancel})
	c.upstream = script{{do: awaitEnd}, {do: hang}}
}
