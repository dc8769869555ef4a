package proxy

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/resilience"
)

// collectionRest is how long a collection must not have been called for another one
// to get its place. Applications that build a new collection for each day's data and
// switch over would otherwise have used up all places one day.
const collectionRest = time.Hour

// lookForRest is how often such a one is looked for while all places are taken.
const lookForRest = time.Minute

// collectionMetrics are those by collection. Callers can make up names, so a name gets
// a place only when Qdrant has shown that the collection exists, and there are so many
// places. Whoever may create collections can fill them; then what is new is counted as
// [other], until a place was not used for [collectionRest].
type collectionMetrics struct {
	most            int
	calls, attempts *prometheus.CounterVec
	seconds         *prometheus.HistogramVec
	others          *boundCollection

	// known is never changed, only replaced: all calls read it, and few add to it.
	known atomic.Pointer[map[string]*boundCollection]
	mu    sync.Mutex // held to replace it
	// looked is when a place was looked for last, in Unix seconds.
	looked atomic.Int64
}

// boundCollection is the metrics of one, reads and the rest.
type boundCollection struct {
	name  string
	used  atomic.Int64 // when last, in Unix seconds
	kinds [2]boundKind
}

type boundKind struct {
	seconds  atomic.Pointer[prometheus.Observer]
	attempts atomic.Pointer[prometheus.Counter]
	calls    [maxCode + 2]atomic.Pointer[prometheus.Counter]
}

// kindNames are the values of the label, by index.
var kindNames = [2]string{"read", "write"}

func (m *collectionMetrics) init(most int, calls, attempts *prometheus.CounterVec, seconds *prometheus.HistogramVec) {
	m.most, m.calls, m.attempts, m.seconds = most, calls, attempts, seconds
	m.others = &boundCollection{name: other}
	m.known.Store(&map[string]*boundCollection{})
}

// count counts a call that has ended.
func (m *collectionMetrics) count(c *Call, code codes.Code, took time.Duration) {
	if m.most == 0 || c.Collection == "" {
		return
	}
	second := c.Started.Unix()
	bound := (*m.known.Load())[c.Collection]
	if bound == nil {
		bound = m.others
		if code == codes.OK && provesCollection(c.Method) {
			bound = m.admit(c.Collection, second)
		}
	}
	if bound.used.Load() < second {
		bound.used.Store(second)
	}
	kind := 1
	if c.Method.Class == resilience.Read {
		kind = 0
	}
	seconds, attempts, calls := m.bind(bound, kind, code)
	seconds.Observe(took.Seconds())
	attempts.Add(float64(c.Attempts))
	calls.Inc()
}

// bind returns where calls of a collection, a kind and a code are counted.
func (m *collectionMetrics) bind(to *boundCollection, kind int, code codes.Code) (prometheus.Observer, prometheus.Counter, prometheus.Counter) {
	bound := &to.kinds[kind]
	seconds, attempts, calls := bound.seconds.Load(), bound.attempts.Load(), bound.calls[code].Load()
	if seconds == nil {
		seconds = new(m.seconds.WithLabelValues(to.name, kindNames[kind]))
		bound.seconds.Store(seconds)
	}
	if attempts == nil {
		attempts = new(m.attempts.WithLabelValues(to.name, kindNames[kind]))
		bound.attempts.Store(attempts)
	}
	if calls == nil {
		calls = new(m.calls.WithLabelValues(to.name, kindNames[kind], codeName(code)))
		bound.calls[code].Store(calls)
	}
	return *seconds, *attempts, *calls
}

// provesCollection reports whether success says that the collection exists. To ask
// whether it does, or to remove it, succeeds for any name; points are only in what
// is there.
func provesCollection(m *method.Method) bool { return m.Service == "qdrant.Points" }

// admit finds a collection its place, if there is one.
func (m *collectionMetrics) admit(name string, second int64) *boundCollection {
	if len(*m.known.Load()) >= m.most && second-m.looked.Load() < int64(lookForRest/time.Second) {
		return m.others
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := *m.known.Load()
	if bound := known[name]; bound != nil {
		return bound
	}
	more := maps.Clone(known)
	if len(more) >= m.most {
		m.looked.Store(second)
		resting := longestAtRest(more, second)
		if resting == nil {
			return m.others
		}
		delete(more, resting.name)
		// A call of it that ends at this moment may bring a series back, for as long
		// as the process lives: one a removal, at most.
		m.calls.DeletePartialMatch(prometheus.Labels{"collection": resting.name})
		m.attempts.DeletePartialMatch(prometheus.Labels{"collection": resting.name})
		m.seconds.DeletePartialMatch(prometheus.Labels{"collection": resting.name})
	}
	bound := &boundCollection{name: name}
	more[name] = bound
	m.known.Store(&more)
	return bound
}

// longestAtRest returns the collection that was not called for the longest time, if
// that is long enough.
func longestAtRest(known map[string]*boundCollection, second int64) *boundCollection {
	var found *boundCollection
	oldest := second - int64(collectionRest/time.Second)
	for _, bound := range known {
		if used := bound.used.Load(); used <= oldest {
			found, oldest = bound, used
		}
	}
	return found
}
