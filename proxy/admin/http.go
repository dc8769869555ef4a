// Package admin serves what operators and Kubernetes ask the sidecar itself:
// probes and metrics over HTTP, and the admin API over gRPC.
package admin

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves, read-only and without authentication:
//
//	GET /livez    200 as long as the process can answer at all
//	GET /readyz   200 when calls can be served; otherwise 503 and why not
//	GET /metrics  Prometheus
//
// ready returns nil when calls can be served. It is called on every probe, so
// it answers from what is known and never dials.
func Handler(ready func() error, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, fmt.Sprintf("not ready: %v", err), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	// In which format, the scraper says: exemplars are in OpenMetrics and protobuf,
	// native histograms in protobuf.
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	return mux
}
