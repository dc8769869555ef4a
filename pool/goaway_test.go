package pool_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/pool"
)

// TestGoAwaysAreCounted: by what Qdrant said. The call above the last stream was not
// sent, and the connection closes with its last call.
func TestGoAwaysAreCounted(t *testing.T) {
	for name, test := range map[string]struct {
		code  http2.ErrCode
		debug string
		count func(pool.EndpointState) uint64
	}{
		"graceful":        {http2.ErrCodeNo, "", func(e pool.EndpointState) uint64 { return e.GoAways }},
		"too many resets": {http2.ErrCodeEnhanceYourCalm, "too_many_resets", func(e pool.EndpointState) uint64 { return e.TooManyResets }},
		"other":           {http2.ErrCodeEnhanceYourCalm, "too_many_pings", func(e pool.EndpointState) uint64 { return e.OtherGoAways }},
	} {
		t.Run(name, func(t *testing.T) {
			server := &faultwire.Server{Handler: func(s *faultwire.Stream) { faultwire.SayGoAway(faultwire.Below, test.code, test.debug)(s) }}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			p := newPool(t, pool.Endpoint{Address: server.Addr()}, 1)
			lease, err := pick(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			err = lease.Unary(t.Context(), request("x"), new(pool.Response))
			lease.Release()
			if lost, ok := errors.AsType[*pool.LostError](err); !ok || lost.Sent {
				t.Errorf("a call above the last stream is %v", err)
			}
			select {
			case <-server.Conns()[0].Done():
			case <-time.After(patience):
				t.Error("the connection is not closed")
			}
			p.Close() // what is still being counted has been counted then
			e := p.State().Endpoints[0]
			if n := test.count(e); n != 1 {
				t.Errorf("counted %d times, in %+v", n, e)
			}
			ended := map[string]uint64{}
			for reason, n := range e.Ended {
				ended[pool.Ending(reason).String()] = n
			}
			if ended["goaway"] != 1 || ended["lost"] != 0 {
				t.Errorf("connections ended: %v", ended)
			}
			if e.Traffic.Received == 0 || e.Traffic.Sent == 0 {
				t.Errorf("bytes: %+v", e.Traffic)
			}
		})
	}
}
