package transparency_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qdrant-sidecar/internal/faultwire"
)

// callPatience bounds one call of the mix.
const callPatience = 15 * time.Second

// way is one of the ways from a client to an upstream of its own.
type way struct {
	mix      *mix
	addr     string
	upstream *faultwire.Server
	calls    []wayCall
	// limited ways leave out what is beyond grpc-go.
	limited bool
}

// wayCall is what becomes of a call on a way.
type wayCall struct {
	told     chan struct{}
	requests chan request // of each attempt
	attempts atomic.Int32
	exchange exchange
}

// start starts the way's upstream, and what is between that and the client.
func (m *mix) start(t *testing.T, between func(addr string) string) *way {
	t.Helper()
	w := &way{mix: m, calls: make([]wayCall, len(m.calls))}
	for i := range w.calls {
		w.calls[i].told = make(chan struct{}, 1)
		w.calls[i].requests = make(chan request, 16)
	}
	w.upstream = &faultwire.Server{Handler: w.handle}
	if err := w.upstream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.upstream.Close(); err != nil {
			t.Error(err)
		}
	})
	w.addr = between(w.upstream.Addr())
	return w
}

// handle plays the upstream's part of the call that the request names.
func (w *way) handle(s *faultwire.Stream) {
	n, err := strconv.Atoi(s.Request.Fields.Get(mixName))
	if err != nil || n < 0 || n >= len(w.calls) {
		new(rig).handle(s) // the sidecar's own
		return
	}
	c, state := w.mix.calls[n], &w.calls[n]
	state.attempts.Add(1)
	in := &inflow{stream: s}
	// The connection ends with the test, and its streams with it.
	c.upstream.play(context.Background(), s, in, state.told)
	select {
	case state.requests <- in.asRequest():
	default: // more attempts than anybody makes
	}
}

func (in *inflow) asRequest() request {
	seen := request{Fields: in.stream.Request.Fields}
	var rest []byte
	seen.Messages, rest = in.messages()
	switch {
	case in.err != nil:
		seen.Err = in.err
	case in.reset != nil:
		seen.Err = fmt.Errorf("%v", in.reset.Code)
	case in.trailer != nil:
		seen.Err = fmt.Errorf("trailers\n%s", in.trailer)
	case len(rest) > 0:
		seen.Err = fmt.Errorf("part of a message: %s", digest(rest))
	}
	return seen
}

func (in *inflow) asResponse() faultwire.Response {
	r := faultwire.Response{Header: in.header, Trailer: in.trailer, Reset: in.reset}
	r.TrailersOnly = in.header == nil && in.trailer != nil
	r.Messages, r.Rest = in.messages()
	return r
}

// playRound makes the calls of a round.
func (w *way) playRound(ctx context.Context, r round) {
	conns := make([]*faultwire.Conn, r.connections)
	for i := range conns {
		var err error
		if conns[i], err = faultwire.Dial(ctx, w.addr); err != nil {
			for n := r.first; n < r.end; n++ {
				w.calls[n].exchange.Err = err
			}
			return
		}
		defer conns[i].Close()
	}
	var next atomic.Int64
	next.Store(int64(r.first))
	var clients sync.WaitGroup
	for range r.concurrency {
		clients.Go(func() {
			for n := int(next.Add(1) - 1); n < r.end; n = int(next.Add(1) - 1) {
				if !w.limited || len(w.mix.calls[n].beyond) == 0 {
					w.playOne(ctx, n, conns[n%len(conns)])
				}
			}
		})
	}
	clients.Wait()
}

// playOne makes a call and waits for what its upstream has to say of it.
func (w *way) playOne(ctx context.Context, n int, conn *faultwire.Conn) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	c, state := w.mix.calls[n], &w.calls[n]
	x := &state.exchange
	if c.alone {
		var err error
		if conn, err = faultwire.Dial(ctx, w.addr); err != nil {
			x.Err = err
			return
		}
		defer conn.Close()
	}
	s, err := conn.Open(c.opening.fields, c.opening.end)
	if err != nil {
		x.Err = err
		return
	}
	in := &inflow{stream: s, answer: true}
	c.client.play(ctx, s, in, state.told)
	in.until(ctx, func() bool { return false })
	x.Response, x.Err = in.asResponse(), in.err
	if c.scope == nothing {
		return
	}
	select {
	case x.Request = <-state.requests:
	case <-ctx.Done():
		x.Request.Err = fmt.Errorf("the upstream has not done its part: %w", context.Cause(ctx))
	}
}
