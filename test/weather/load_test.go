package weather_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kind is what may be done about a call that fails, and how long its caller waits.
type kind int

const (
	read   kind = iota
	hasty       // a read without a deadline, so that it has that of --timeout, which is one attempt's
	write       // an idempotent one
	unsafe      // one that must not be repeated
)

func (k kind) String() string { return [...]string{"read", "hasty read", "write", "unsafe write"}[k] }

// mix is how often the kinds are drawn. They are not taken in turn, for callers take
// turns, too, and each would make calls of few kinds.
var mix = []kind{read, write, read, hasty, write, read, read, write, read, unsafe, read, write, read, hasty, write, read, read, write, read, write}

const (
	// rate is how many calls are made a second.
	rate = 300
	// readTime is the deadline of reads: enough for two attempts of --try-timeout, and
	// the wait between them.
	readTime = 15 * time.Second
	// writeTime is that of writes.
	writeTime = 30 * time.Second
	// mostAtOnce is how many calls may be under way; it is twice what a node that hangs
	// brings about. Beyond it there are no more calls, lest a busy machine drowns.
	mostAtOnce = 1500
	// mostWrites is how many of these are writes to a real cluster. There each is one for all
	// nodes, which share what the machine has, and hangs if one of them does.
	mostWrites = 60
)

// demand is what is asked for.
type demand struct {
	callers int
	// real says that it is a cluster of real nodes: then there are no unsafe writes, each of
	// which waits for 10 s when its node cannot reach the leader, and few others at a time.
	real bool
}

// outcome is how a call went.
type outcome struct {
	kind  kind
	begun time.Time
	took  time.Duration
	err   error
}

// load are callers who never stop, each with a connection of its own. They make their
// calls when it is time for them, whether the last ones have ended or not.
type load struct {
	t        testing.TB
	stop     context.CancelFunc
	running  sync.WaitGroup
	number   atomic.Int64
	underWay atomic.Int64
	writing  atomic.Int64
	demand   demand

	mu       sync.Mutex
	outcomes []outcome
}

// newLoad begins to make calls.
func newLoad(t testing.TB, address string, d demand) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, stop: stop, demand: d}
	for i := range d.callers {
		conn := channel(t, address)
		l.running.Go(func() { l.call(ctx, conn, i) })
	}
	t.Cleanup(l.end)
	return l
}

// call makes one caller's calls.
func (l *load) call(ctx context.Context, conn *grpc.ClientConn, i int) {
	interval := time.Duration(l.demand.callers) * time.Second / rate
	first := interval * time.Duration(i) / time.Duration(l.demand.callers)
	timer := time.NewTimer(first)
	defer timer.Stop()
	next := time.Now().Add(first)
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if l.underWay.Load() < mostAtOnce {
			number := int(l.number.Add(1))
			l.running.Go(func() { l.one(conn, number) })
		}
		next = next.Add(interval)
		timer.Reset(time.Until(next))
	}
}

// one makes a call.
func (l *load) one(conn *grpc.ClientConn, number int) {
	l.underWay.Add(1)
	defer l.underWay.Add(-1)
	kind, limit := mix[rand.IntN(len(mix))], writeTime
	if kind == unsafe && l.demand.real {
		kind = read
	}
	switch kind {
	case read:
		limit = readTime
	case write:
		defer l.writing.Add(-1)
		if l.writing.Add(1) > mostWrites && l.demand.real {
			return
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if kind == hasty {
		// Nobody is told of this end: nothing is to hang for ever.
		defer time.AfterFunc(limit, cancel).Stop()
	} else {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	start := time.Now()
	err := invoke(ctx, conn, kind, number)
	if status.Code(err) == codes.NotFound {
		err = nil // it was restarted
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes = append(l.outcomes, outcome{kind, start, time.Since(start), err})
}

// points is how many there are whose payload is set, and how many that are deleted. They
// are not the same ones: replicas that had both under way would say that they differ.
const points = 100

// point is the one with a number.
func point(number int) *qdrant.PointStruct {
	return &qdrant.PointStruct{Id: qdrant.NewIDNum(uint64(number)), Vectors: qdrant.NewVectors(float32(number%10), 1)}
}

// invoke makes a call of the kind, of one of its methods.
func invoke(ctx context.Context, conn *grpc.ClientConn, k kind, number int) (err error) {
	client := qdrant.NewPointsClient(conn)
	dice := rand.IntN(6)
	switch {
	case k == unsafe:
		_, err = qdrant.NewCollectionsClient(conn).UpdateAliases(ctx, &qdrant.ChangeAliases{
			Actions: []*qdrant.AliasOperations{qdrant.NewAliasCreate(fmt.Sprintf("%s-%d", collection, number), collection)},
		})
	case k == write && dice < 2:
		_, err = client.SetPayload(ctx, &qdrant.SetPayloadPoints{
			CollectionName: collection, Wait: new(true), Payload: qdrant.NewValueMap(map[string]any{"n": number % points}),
			PointsSelector: qdrant.NewPointsSelector(qdrant.NewIDNum(uint64(number % points))),
		})
	case k == write && dice == 2:
		_, err = client.Delete(ctx, &qdrant.DeletePoints{
			CollectionName: collection, Wait: new(true), Points: qdrant.NewPointsSelector(qdrant.NewIDNum(uint64(points + number%points))),
		})
	case k == write:
		_, err = client.Upsert(ctx, &qdrant.UpsertPoints{
			CollectionName: collection, Wait: new(true), Points: []*qdrant.PointStruct{point(number % (2 * points))},
		})
	case dice < 2:
		_, err = client.Query(ctx, &qdrant.QueryPoints{CollectionName: collection, Query: qdrant.NewQuery(1, 2)})
	case dice < 4:
		_, err = client.Scroll(ctx, &qdrant.ScrollPoints{CollectionName: collection})
	default:
		_, err = client.Count(ctx, &qdrant.CountPoints{CollectionName: collection})
	}
	return err
}

// since returns the calls of the kinds that were begun since then and have ended.
func (l *load) since(start time.Time, kinds ...kind) (found []outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.outcomes {
		if !o.begun.Before(start) && (len(kinds) == 0 || slices.Contains(kinds, o.kind)) {
			found = append(found, o)
		}
	}
	return found
}

// runFor lets the load run on for as long.
func (l *load) runFor(d time.Duration) {
	l.t.Helper()
	select {
	case <-time.After(d):
	case <-l.t.Context().Done():
	}
}

// end stops the callers and waits for their last calls. Calling it twice is fine.
func (l *load) end() {
	l.stop()
	l.running.Wait()
}

// none fails the test if calls of the kinds have failed, and says how.
func (l *load) none(what string, since time.Time, kinds ...kind) {
	l.t.Helper()
	all := l.since(since, kinds...)
	if len(all) == 0 {
		l.t.Errorf("%s: no calls were made", what)
	}
	if failed := failures(all); len(failed) > 0 {
		l.t.Errorf("%s: %d of %d calls failed: %s", what, len(failed), len(all), summary(failed))
	}
}

func failures(outcomes []outcome) []outcome {
	return slices.DeleteFunc(slices.Clone(outcomes), func(o outcome) bool { return o.err == nil })
}

// slowest returns the call that took longest.
func slowest(outcomes []outcome) (worst outcome) {
	for _, o := range outcomes {
		if o.took > worst.took {
			worst = o
		}
	}
	return worst
}

// quickest returns the call that took least.
func quickest(outcomes []outcome) outcome {
	return slices.MinFunc(outcomes, func(a, b outcome) int { return cmp.Compare(a.took, b.took) })
}

// quantities are what is different in messages that say the same.
var quantities = regexp.MustCompile(`\b[0-9.]+m?s\b|\bPoints/\w+`)

// summary says how often calls went the same way.
func summary(outcomes []outcome) string {
	counts := make(map[string]int)
	for _, o := range outcomes {
		counts[fmt.Sprintf("%v: %s", o.kind, quantities.ReplaceAllString(fmt.Sprint(o.err), "…"))]++
	}
	var lines []string
	for text, n := range counts {
		lines = append(lines, fmt.Sprintf("%d × %s", n, text))
	}
	slices.Sort(lines)
	return "\n\t" + strings.Join(lines, "\n\t")
}
