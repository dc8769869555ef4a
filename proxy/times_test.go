package proxy_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
)

// mistaken is an answer that is no use to repeat.
var mistaken = status.Error(codes.InvalidArgument, "yours")

// stages are the fields of a line that say where the time went, in seconds.
type stages struct{ receive, queue, backoff, upstream, firstByte float64 }

// expectStages checks where the last call's time went. In a bubble the sidecar's
// own work takes none, so the rest must add up.
func (r *rig) expectStages(what string, want stages) {
	r.t.Helper()
	line := r.log.last(r.t)
	of := func(name string) float64 {
		seconds, _ := line[name+"_seconds"].(float64)
		return seconds
	}
	got := stages{of("receive"), of("queue"), of("backoff"), of("upstream"), of("first_byte")}
	if got != want || of("own") != 0 {
		r.t.Errorf("%s: %+v and %v of its own, want %+v", what, got, of("own"), want)
	}
	if sum := want.receive + want.queue + want.backoff + want.upstream; line["seconds"] != sum {
		r.t.Errorf("%s took %v, want %v", what, line["seconds"], sum)
	}
}

// TestStages: each wait of a call is told from the others.
func TestStages(t *testing.T) {
	for name, test := range map[string]struct {
		handle func(arrival) error
		do     func(*rig)
		want   stages
		policy func(*proxy.Resilience)
	}{
		"slow to answer": {
			handle: func(arrival) error { time.Sleep(2 * time.Second); return mistaken },
			want:   stages{upstream: 2, firstByte: 2},
		},
		"slow to finish": {
			handle: func(a arrival) error {
				time.Sleep(time.Second)
				if err := a.SendHeader(metadata.MD{}); err != nil {
					return err
				}
				time.Sleep(2 * time.Second)
				return mistaken
			},
			want: stages{upstream: 3, firstByte: 1},
		},
		"slow to finish, passed on as it comes": {
			handle: func(a arrival) error {
				time.Sleep(time.Second)
				if err := a.SendHeader(metadata.MD{}); err != nil {
					return err
				}
				time.Sleep(2 * time.Second)
				return mistaken
			},
			do:   func(r *rig) { r.call(other) },
			want: stages{upstream: 3, firstByte: 1},
		},
		"repeated": {
			handle: func(a arrival) error {
				time.Sleep(time.Second)
				if a.n < 3 {
					return unavailable
				}
				return mistaken
			},
			do:   func(r *rig) { r.call(read, "grpc-timeout", "1H") },
			want: stages{backoff: 0.5 + 1, upstream: 3, firstByte: 1},
		},
		"no answer at all": {
			handle: deaf,
			do:     func(r *rig) { r.call(unsafe, "grpc-timeout", "3S") },
			want:   stages{upstream: 3},
		},
		"slow to connect": {
			handle: func(arrival) error { time.Sleep(2 * time.Second); return mistaken },
			want:   stages{queue: 1, upstream: 2, firstByte: 2},
		},
		"queued": {
			handle: func(arrival) error { time.Sleep(750 * time.Millisecond); return mistaken },
			policy: func(p *proxy.Resilience) { p.Admission.Limit, p.Admission.Queue = 1, 1 },
			do: func(r *rig) {
				var first sync.WaitGroup
				first.Go(func() { r.call(read) })
				synctest.Wait()
				time.Sleep(250 * time.Millisecond)
				r.call(read)
				first.Wait()
			},
			want: stages{queue: 0.5, upstream: 0.75, firstByte: 0.75},
		},
		"turned away": {
			handle: deaf,
			policy: func(p *proxy.Resilience) { p.Admission.Limit, p.Admission.Queue = 1, 1 },
			do: func(r *rig) {
				var first sync.WaitGroup
				first.Go(func() { r.call(write, "grpc-timeout", "2S") })
				synctest.Wait()
				r.call(read)
				defer first.Wait()
				synctest.Wait() // the line comes after the answer
				r.expectStages("turned away", stages{queue: 1})
			},
			want: stages{upstream: 2},
		},
		"slow to ask": {
			handle: func(arrival) error { time.Sleep(time.Second); return mistaken },
			do:     func(r *rig) { r.halting(read, 3*time.Second) },
			want:   stages{receive: 3, upstream: 1, firstByte: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy := standard()
				if test.policy != nil {
					test.policy(policy)
				}
				r := newRig(t, policy, test.handle, func(r *rig) {
					if name == "slow to connect" {
						r.dialing = func() { time.Sleep(time.Second) }
					}
				})
				if name != "slow to connect" {
					synctest.Wait()
				}
				if test.do == nil {
					r.call(read)
				} else {
					test.do(r)
				}
				synctest.Wait()
				r.expectStages(name, test.want)
				time.Sleep(deafness)
			})
		})
	}
}

// halting makes a call whose request comes in two parts.
func (r *rig) halting(method string, pause time.Duration) {
	r.t.Helper()
	lease, err := lend(r.t.Context(), r.client)
	if err != nil {
		r.t.Fatal(err)
	}
	defer lease.Release()
	stream, err := lease.Stream(r.t.Context(), &pool.Request{
		Method: method, Header: h2.Fields{h2.Field("content-type", "application/grpc"), h2.Field("te", "trailers")},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	defer stream.Close()
	for i, part := range []string{"\x00\x00\x00\x00\x05he", "llo"} {
		if i > 0 {
			time.Sleep(pause)
		}
		if err := stream.Send(mem.BufferSlice{mem.SliceBuffer(part)}, i > 0); err != nil {
			r.t.Error(err)
		}
	}
	if _, _, err := stream.Header(); err != nil {
		r.t.Error(err)
	}
}

// TestSizes: what came and what went is counted, stored or not.
func TestSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error {
			// An answer, and then an error: so it is logged, and has a size.
			if err := a.SendMsg(&rawgrpc.Reply{Data: mem.BufferSlice{mem.SliceBuffer("answer")}}); err != nil {
				return err
			}
			return mistaken
		})
		for _, method := range []string{read, other} {
			r.call(method)
			synctest.Wait()
			line := r.log.last(t)
			const prefix = 5.0
			if line["request_bytes"] != prefix+5 || line["answer_bytes"] != prefix+6 {
				t.Errorf("%s: %v bytes in, %v out", method, line["request_bytes"], line["answer_bytes"])
			}
		}
	})
}
