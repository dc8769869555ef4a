package proxy

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/method"
	"qdrant-sidecar/proxy/statistics"
	"qdrant-sidecar/proxy/tap"
	meaning "qdrant-sidecar/proxy/verdict"
	"qdrant-sidecar/resilience"
)

// BenchmarkStatistics is what it costs to look at all that is counted and to say what to
// make of it, where ten methods were called, or all of them, with errors, for fifty
// collections. It is done every five seconds, however many calls there are.
func BenchmarkStatistics(b *testing.B) {
	for _, methods := range []int{10, 100} {
		b.Run(fmt.Sprint(methods, " methods"), func(b *testing.B) {
			m := newMetrics(50)
			for known := range method.All() {
				if known.Index >= methods {
					break
				}
				for i := range 50 {
					c := ended(known.FullName(), fmt.Sprint("collection-", i), time.Now())
					c.total = time.Duration(i+1) * time.Millisecond
					c.upstream, c.queue = c.total/2, c.total/4
					m.run(b, c, nil)
					m.run(b, c, status.Error([]codes.Code{codes.NotFound, codes.Unavailable, codes.Internal}[i%3], ""))
					m.attempted(known, resilience.OK)
				}
			}
			source := statistics.Source{
				Gather:   m.registry.Gather,
				Pool:     func() pool.State { return pool.State{Endpoints: make([]pool.EndpointState, 3)} },
				Queue:    func() (resilience.AdmissionState, bool) { return resilience.AdmissionState{}, true },
				Budget:   func() (resilience.BudgetState, bool) { return resilience.BudgetState{}, true },
				Breakers: func() map[string][]resilience.Status { return nil },
				Failures: func() []tap.Call { return make([]tap.Call, 64) },
				InFlight: func() int { return 0 },
				Draining: func() bool { return false },
				Ready:    func() error { return nil },

				PausedSince: func() time.Time { return time.Time{} },
			}
			teller := meaning.NewTeller(slog.New(slog.DiscardHandler))
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				stats, err := statistics.NewRecorder(source).Now(statistics.DefaultWindow)
				if err != nil {
					b.Fatal(err)
				}
				teller.Tell(stats)
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
