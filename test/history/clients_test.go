package history_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

const (
	clients           = 32
	clientsPerConn    = 4
	callsEach         = 80 // of one client in a round; then everything rests and is read
	callTimeout       = 1500 * time.Millisecond
	pointRegisters    = 24
	otherRegisters    = 6                     // of each other kind
	impatience        = 25 * time.Millisecond // most that a hurried caller waits
	hurried, fickle   = 3, 4                  // per cent of calls: with a short deadline, and cancelled
	finalReadPatience = time.Minute
)

// crowd is the clients of one run.
type crowd struct {
	history *history
	rpcs    [kinds]rpc
	conns   []*grpc.ClientConn
	seed    uint64
}

func newCrowd(t *testing.T, h *history, addr string, seed uint64) *crowd {
	t.Helper()
	c := &crowd{history: h, rpcs: rpcs(), seed: seed}
	for range clients / clientsPerConn {
		conn, err := grpc.NewClient("passthrough:///"+addr,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c.conns = append(c.conns, conn)
	}
	return c
}

// round lets all clients make so many calls each, on registers of the round's own.
func (c *crowd) round(ctx context.Context, round, each int) {
	var running sync.WaitGroup
	for client := range clients {
		running.Go(func() {
			rng := rand.New(rand.NewPCG(c.seed, uint64(round*clients+client)))
			for n := range each {
				o := draw(rng, round, fmt.Sprintf("%d.%d.%d", round, client, n))
				c.hasty(ctx, rng, client/clientsPerConn, o)
			}
		})
	}
	running.Wait()
}

// draw makes up an operation; value is unique, so that a read tells whose write it
// saw.
func draw(rng *rand.Rand, round int, value string) operation {
	one := func(of ...kind) kind { return of[rng.IntN(len(of))] }
	register := func(what string, n int) string { return fmt.Sprintf("%s-%d-%d", what, round, rng.IntN(n)) }
	switch n := rng.IntN(100); {
	case n < 64:
		o := operation{register: fmt.Sprintf("points-%d/%d", round, rng.IntN(pointRegisters)), value: value}
		o.kind = one(upsertPoint, upsertPoint, upsertPoint, setPayload, setPayload, deletePoint, getPoint, getPoint, getPoint, scrollPoint)
		if o.kind.class() == read || o.kind == deletePoint {
			o.value = ""
		}
		return o
	case n < 70: // of a value that may well be there
		guess := fmt.Sprintf("%d.%d.%d", round, rng.IntN(clients), rng.IntN(callsEach))
		return operation{deletePointIf, fmt.Sprintf("points-%d/%d", round, rng.IntN(pointRegisters)), guess}
	case n < 82:
		return operation{one(createCollection, deleteCollection, collectionExists), register("collection", otherRegisters), ""}
	case n < 92:
		o := operation{one(switchAlias, switchAlias, deleteAlias, listAliases, listAliases), register("alias", otherRegisters), ""}
		if o.kind == switchAlias {
			o.value = "target-" + value
		}
		return o
	default:
		return operation{one(createSnapshot, listSnapshots, listSnapshots), register("snapshots", otherRegisters), ""}
	}
}

// hasty makes a call for which the caller may lack the patience.
func (c *crowd) hasty(ctx context.Context, rng *rand.Rand, conn int, o operation) {
	timeout := callTimeout
	n := rng.IntN(100)
	if n < hurried {
		timeout = time.Duration(rng.Int64N(int64(impatience)))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if hurried <= n && n < hurried+fickle {
		defer time.AfterFunc(time.Duration(rng.Int64N(int64(impatience))), cancel).Stop()
	}
	c.call(ctx, conn, o)
}

// call makes a call and puts it on record. It reports whether the state machine
// answered it.
func (c *crowd) call(ctx context.Context, conn int, o operation) bool {
	r := c.rpcs[o.kind]
	request, reply := r.request(o), r.emptyReply()
	number := c.history.invoke(o, conn)
	out := metadata.AppendToOutgoingContext(ctx, callHeader, strconv.Itoa(number))
	var trailer metadata.MD
	err := c.conns[conn].Invoke(out, r.path, request, reply, grpc.Trailer(&trailer))
	how := call{abandoned: ctx.Err() != nil, ok: err == nil}
	if told, err := r.result(o, reply, err); err == nil {
		how.told = told
		if values := trailer.Get(appliedHeader); len(values) == 1 {
			how.application, _ = strconv.Atoi(values[0]) // 0 is none
		}
	}
	c.history.finish(number, how)
	return how.ok || how.application != 0
}

// readAll reads every register of a round until it is answered.
func (c *crowd) readAll(t *testing.T, round int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), finalReadPatience)
	defer cancel()
	for _, o := range finalReads(round) {
		until(t, "an answer to "+o.String(), func() bool { return c.call(ctx, 0, o) })
	}
}

func finalReads(round int) []operation {
	var list []operation
	for i := range pointRegisters {
		list = append(list, operation{getPoint, fmt.Sprintf("points-%d/%d", round, i), ""})
	}
	for i := range otherRegisters {
		list = append(list,
			operation{collectionExists, fmt.Sprintf("collection-%d-%d", round, i), ""},
			operation{listAliases, fmt.Sprintf("alias-%d-%d", round, i), ""},
			operation{listSnapshots, fmt.Sprintf("snapshots-%d-%d", round, i), ""})
	}
	return list
}
