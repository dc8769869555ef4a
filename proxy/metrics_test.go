package proxy

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// ended is a call of the method that has ended, as the metrics see it.
func ended(path, collection string, at time.Time) *Call {
	return &Call{
		FullMethod: path, Method: method.Lookup(path), Collection: collection, Started: at,
		times: times{total: 3 * time.Millisecond, upstream: 2 * time.Millisecond},
	}
}

// run has the metrics count the call.
func (m *metrics) run(t testing.TB, c *Call, err error) {
	t.Helper()
	if m.begin(t.Context(), c) != nil || m.end(t.Context(), c, err) != err {
		t.Fatal("the metrics changed the outcome of a call")
	}
}

// collectionsOf are the collections that have a name of their own on the page.
func collectionsOf(t testing.TB, m *metrics) []string {
	t.Helper()
	found := map[string]bool{}
	for _, family := range gathered(t, m.registry) {
		for _, series := range family.GetMetric() {
			for _, label := range series.GetLabel() {
				if label.GetName() == "collection" {
					found[label.GetValue()] = true
				}
			}
		}
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func gathered(t testing.TB, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// errNotFound is what Qdrant says about a collection that does not exist.
var errNotFound = status.Error(codes.NotFound, "Not found: Collection")

// requestFor is a request whose first field names the collection.
func requestFor(collection string) mem.BufferSlice {
	message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), collection)
	return mem.BufferSlice{mem.SliceBuffer(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))}
}

// TestCollectionsAreAdmitted: by a success that proves that they exist, as long as
// there is room, and after an hour at rest they make room.
func TestCollectionsAreAdmitted(t *testing.T) {
	const query, exists = "/qdrant.Points/Query", "/qdrant.Collections/CollectionExists"
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m := newMetrics(2)
	expect := func(about string, want ...string) {
		t.Helper()
		if got := collectionsOf(t, m); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", about, got, want)
		}
	}
	m.run(t, ended(query, "typo", now), errNotFound)
	m.run(t, ended(exists, "made-up", now), nil)
	m.run(t, ended(query, "", now), nil)
	expect("nothing proves that they exist", other)
	m.run(t, ended(query, "a", now), nil)
	m.run(t, ended("/qdrant.Points/Upsert", "b", now.Add(time.Minute)), nil)
	m.run(t, ended(query, "c", now.Add(2*time.Minute)), nil)
	m.run(t, ended(query, "a", now.Add(3*time.Minute)), errNotFound)
	expect("two places", "a", "b", other)
	if n := testutil.ToFloat64(m.collections.calls.WithLabelValues("a", "read", "NotFound")); n != 1 {
		t.Errorf("a failure of a known collection is counted %v times", n)
	}
	if n := testutil.ToFloat64(m.collections.calls.WithLabelValues(other, "read", "OK")); n != 2 {
		t.Errorf("calls of the rest are counted %v times, want 2", n)
	}
	m.run(t, ended(query, "c", now.Add(59*time.Minute)), nil)
	expect("nobody has rested for an hour", "a", "b", other)
	m.run(t, ended(query, "a", now.Add(60*time.Minute)), nil)
	m.run(t, ended(query, "c", now.Add(61*time.Minute+time.Second)), nil)
	expect("b has", "a", "c", other)
	m.run(t, ended(query, "b", now.Add(61*time.Minute+2*time.Second)), nil)
	expect("no sooner than a minute later", "a", "c", other)

	off := newMetrics(0)
	off.run(t, ended(query, "a", now), nil)
	if got := collectionsOf(t, off); got != nil {
		t.Errorf("switched off: %q", got)
	}
}

// TestAttemptsOfCollections: those of a call are its collection's.
func TestAttemptsOfCollections(t *testing.T) {
	m := newMetrics(1)
	for i, name := range []string{"a", "a", "b"} {
		c := ended("/qdrant.Points/Query", name, time.Now())
		c.Attempts = i + 1
		m.run(t, c, nil)
	}
	for name, want := range map[string]float64{"a": 3, other: 3} {
		if n := testutil.ToFloat64(m.collections.attempts.WithLabelValues(name, "read")); n != want {
			t.Errorf("%s had %v attempts, want %v", name, n, want)
		}
	}
}

// TestHostileNames makes a million calls with names of methods and collections that
// nobody has heard of, and then a million with collections that really exist, as far
// as anybody can tell. Neither page nor heap may grow with them.
func TestHostileNames(t *testing.T) {
	const most, names = 50, hostileNames
	m := newMetrics(most)
	seen := new(method.Names)
	now := time.Now()
	var before, after runtime.MemStats
	series := func() (n int) {
		for _, family := range gathered(t, m.registry) {
			n += len(family.GetMetric())
		}
		return n
	}
	call := func(i int, succeed bool) {
		path := "/qdrant.Points/Query"
		if i%2 == 0 {
			path = fmt.Sprintf("/made.up.Service%d/Method%d", i, i)
		}
		c := ended(path, "", now.Add(time.Duration(i)*time.Millisecond))
		c.Collection = c.Method.CollectionOf(requestFor(fmt.Sprint("collection-", i)), seen)
		if path != "/qdrant.Points/Query" {
			c.Collection = fmt.Sprint("collection-", i) // even if one could be read of it
		}
		err := errNotFound
		if succeed {
			err = nil
		}
		m.run(t, c, err)
	}
	for _, succeed := range []bool{false, true} {
		for i := range 10 * most { // what there is room for
			call(i, succeed)
		}
		bound := series()
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range names {
			call(i, succeed)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := series(); grown > bound+2*most { // others may have taken the places of some at rest
			t.Errorf("%d names (success: %t) make %d series of %d", names, succeed, grown, bound)
		}
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
			t.Errorf("%d names (success: %t) take %d KiB", names, succeed, grown>>10)
		}
	}
	if n := len(collectionsOf(t, m)); n > most+1 {
		t.Errorf("%d collections have a name, want %d and the rest", n, most)
	}
}

// TestStagesAreCounted: each call has its own part, and what else took time.
func TestStagesAreCounted(t *testing.T) {
	m := newMetrics(0)
	for range 2 {
		m.run(t, ended("/qdrant.Points/Query", "", time.Now()), nil)
	}
	waited := ended("/qdrant.Points/Query", "", time.Now())
	waited.queue, waited.backoff, waited.upstream = time.Millisecond, 500*time.Microsecond, 500*time.Microsecond
	m.run(t, waited, nil)
	refused := ended("/qdrant.Points/Query", "", time.Now())
	refused.upstream, refused.total = 0, time.Millisecond
	m.run(t, refused, nil)
	for stage, want := range map[string]struct {
		calls   uint64
		seconds float64
	}{stageUpstream: {3, .0045}, stageOwn: {4, .004}, stageQueue: {1, .001}, stageBackoff: {1, .0005}} {
		var sum dto.Metric
		if err := m.stages.WithLabelValues("qdrant.Points", "Query", stage).(prometheus.Metric).Write(&sum); err != nil {
			t.Fatal(err)
		}
		h := sum.GetHistogram()
		if diff := h.GetSampleSum() - want.seconds; h.GetSampleCount() != want.calls || diff > 1e-9 || diff < -1e-9 {
			t.Errorf("%s: %d calls of %v s, want %d of %v", stage, h.GetSampleCount(), h.GetSampleSum(), want.calls, want.seconds)
		}
	}
}

// TestExemplars leaves the trace of a call that is recorded with the time it took.
func TestExemplars(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for about, test := range map[string]struct{ parent, want string }{
		"recorded":       {"00-" + id + "-b7ad6b7169203331-01", id},
		"with more":      {"01-" + id + "-b7ad6b7169203331-03-what-else", id},
		"not recorded":   {"00-" + id + "-b7ad6b7169203331-00", ""},
		"no trace":       {"", ""},
		"of zeros":       {"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", ""},
		"no hexadecimal": {"00-" + strings.Repeat("g", 32) + "-b7ad6b7169203331-01", ""},
		"cut off":        {"00-" + id, ""},
	} {
		t.Run(about, func(t *testing.T) {
			m := newMetrics(1)
			c := ended("/qdrant.Points/Query", "docs", time.Now())
			c.Header = h2.Fields{h2.Field("traceparent", test.parent)}
			m.run(t, c, nil)
			var got, native []string
			for _, family := range gathered(t, m.registry) {
				for _, series := range family.GetMetric() {
					for _, e := range series.GetHistogram().GetExemplars() {
						native = append(native, e.GetLabel()[0].GetValue())
					}
					for _, bucket := range series.GetHistogram().GetBucket() {
						for _, label := range bucket.GetExemplar().GetLabel() {
							got = append(got, family.GetName()+" "+label.GetName()+"="+label.GetValue())
						}
					}
				}
			}
			found := slices.Contains(got, "grpc_server_handling_seconds trace_id="+test.want)
			if test.want == "" && got != nil || test.want != "" && !found {
				t.Errorf("exemplars %q, want the trace %q", got, test.want)
			}
			if found != slices.Contains(native, test.want) {
				t.Errorf("the native histogram has the exemplars %q, want the trace %q", native, test.want)
			}
		})
	}
}

// TestExemplarsAreFew: one a second for calls that took about as long, and one for a
// slow one among them.
func TestExemplarsAreFew(t *testing.T) {
	m := newMetrics(0)
	now := time.Now()
	call := func(trace int, took, later time.Duration) {
		c := ended("/qdrant.Points/Query", "", now.Add(later))
		c.total = took
		c.Header = h2.Fields{h2.Field("traceparent", fmt.Sprintf("00-%032x-b7ad6b7169203331-01", trace))}
		m.run(t, c, nil)
	}
	call(1, 3*time.Millisecond, 0)
	call(2, 3*time.Millisecond, 0)
	call(3, 700*time.Millisecond, 0)
	call(4, 20*time.Microsecond, 0)
	call(5, 26*time.Hour, 0)
	call(6, 20*time.Microsecond, time.Second)
	var got []string
	for _, series := range gathered(t, m.registry) {
		for _, s := range series.GetMetric() {
			for _, bucket := range s.GetHistogram().GetBucket() {
				if e := bucket.GetExemplar(); e != nil {
					got = append(got, strings.TrimLeft(e.GetLabel()[0].GetValue(), "0"))
				}
			}
		}
	}
	if want := []string{"6", "1", "3", "5"}; !slices.Equal(got, want) {
		t.Errorf("exemplars of the calls %q, want %q", got, want)
	}
}

// TestMetricsCostNoAllocation: not for a call whose like was counted before.
func TestMetricsCostNoAllocation(t *testing.T) {
	m := newMetrics(50)
	c := ended("/qdrant.Points/Query", "docs", time.Now())
	c.Header = h2.Fields{h2.Field("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}
	c.queue, c.receive, c.Attempts = time.Millisecond, time.Microsecond, 1
	if n := testing.AllocsPerRun(1000, func() {
		m.run(t, c, nil)
		m.attempted(c.Method, resilience.OK)
	}); n != 0 {
		t.Errorf("a call's metrics cost %v allocations", n)
	}
}

// cpu is the processor time of this process so far: unlike a clock it does not run
// while others do.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkMetrics is what a call's metrics cost, of a call that waited and of an
// ordinary one. Logs included they are to cost no more than 2 µs.
func BenchmarkMetrics(b *testing.B) {
	for name, queued := range map[string]time.Duration{"ordinary": 0, "queued": time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			m := newMetrics(50)
			c := ended("/qdrant.Points/Query", "docs", time.Now())
			c.queue, c.Attempts = queued, 1
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				_ = m.begin(b.Context(), c)
				m.attempted(c.Method, resilience.OK)
				_ = m.end(b.Context(), c, nil)
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
