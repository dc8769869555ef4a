package transparency_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/faultwire"
)

// TestMixOnQdrant asks Qdrant at random, in the ways of [TestMix]: several callers
// share connections, headers and encodings are drawn, and so is how the request is
// cut. MIX_SEED and MIX_CALL repeat what failed.
func TestMixOnQdrant(t *testing.T) {
	const callers, connections = 8, 3
	r := newLiveRig(t)
	m := newMix(t)
	ctx := bounded(t)
	conns := make(map[string][]*faultwire.Conn)
	for _, to := range []side{r.direct, r.through} {
		for range connections {
			conns[to.name] = append(conns[to.name], to.dial(t))
		}
	}
	calls := make([]*mixCall, len(m.calls))
	for n := range calls {
		calls[n] = liveCallOf(t, m, n, r.key())
	}
	var next, fine, told atomic.Int64
	play := func(n int) {
		direct := calls[n].playOn(ctx, r.direct, conns[r.direct.name][n%connections])
		through := calls[n].playOn(ctx, r.through, conns[r.through.name][n%connections])
		if direct.Response.Trailer.Get("grpc-status") == "0" {
			fine.Add(1)
		}
		if differences := diff(direct.lines(), through.lines()); len(differences) > 0 && told.Add(1) <= 5 {
			t.Errorf("MIX_SEED=%d MIX_CALL=%d\n%s (- direct, + through the sidecar):\n%s", m.seed, n, calls[n], strings.Join(differences, "\n"))
		}
	}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(m.rounds); i = next.Add(1) - 1 {
				for n := m.rounds[i].first; n < m.rounds[i].end && ctx.Err() == nil; n++ {
					play(n)
				}
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%d calls, %d of them ended well", len(calls), fine.Load())
	if n := told.Load(); n > 0 {
		t.Errorf("%d calls failed in all", n)
	}
	if n := int(fine.Load()); len(m.rounds) > 1 && n < len(calls)/5 {
		t.Errorf("only %d of %d calls ended well, which says little", n, len(calls))
	}
}

// liveCallOf draws the n-th call: a question, dressed at random.
func liveCallOf(t *testing.T, m *mix, n int, key []string) *mixCall {
	t.Helper()
	d := newDraw(m.seed, n, m.ground)
	q := pick(d, questions...)
	c := &mixCall{n: n, shape: q.name}
	d.pads = d.percent(6)
	c.alone = d.pads
	c.opening = step{do: sendHeaders, fields: d.requestHeader(c)}
	c.opening.fields = slices.DeleteFunc(c.opening.fields, func(f hpack.HeaderField) bool {
		// With a key there may be no room for as much as there is room for.
		return f.Name == ":path" || len(key) > 0 && (f.Name == "api-key" || f.Name == "x-long")
	})
	front := faultwire.Pairs(":path", q.path)
	c.opening.fields = append(front, c.opening.fields...).With(key...)
	payload := q.body(t)
	message := faultwire.Message{Payload: payload}
	if flags := d.requestEncoding.flags; len(flags) > 0 {
		message.Flag = pick(d, flags...)
	}
	if d.requestEncoding.gzip && message.Flag == 1 {
		message.Payload = gzipped(payload)
	}
	messages := []faultwire.Message{message}
	if d.percent(5) {
		messages = append(messages, message)
	}
	d.request(c, messages, true)
	return c
}

// playOn makes the call on a connection, and returns what came of it.
func (c *mixCall) playOn(ctx context.Context, to side, conn *faultwire.Conn) exchange {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	if c.alone {
		var err error
		if conn, err = faultwire.Dial(ctx, to.addr); err != nil {
			return exchange{Err: err}
		}
		defer conn.Close()
	}
	s, err := conn.Open(c.opening.fields, c.opening.end)
	if err != nil {
		return exchange{Err: err}
	}
	in := &inflow{stream: s, answer: true}
	c.client.play(ctx, s, in, nil)
	in.until(ctx, func() bool { return false })
	return exchange{Response: timeless(c.opening.fields.Get(":path"), in.asResponse()), Err: in.err}
}
