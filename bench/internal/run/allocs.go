package run

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"qdrant-sidecar/bench/internal/load"
	"qdrant-sidecar/bench/internal/target"
)

// Allocs is what a call costs the sidecar's heap.
type Allocs struct {
	Calls   int
	PerCall float64 // objects
	Bytes   float64 // per call
}

// Metrics of the Go runtime on the sidecar's page.
const (
	metricMallocs = "go_memstats_mallocs_total"
	metricBytes   = "go_memstats_alloc_bytes_total"
)

var errNoMetric = errors.New("run: the metrics page lacks a metric")

// heap is what has been allocated since the process began.
type heap struct{ objects, bytes float64 }

// Allocs counts what the sidecar allocates for the calls of a closed loop, by
// its own metrics. Neither noise nor the machine changes the number by much, so
// it can be asserted where times cannot.
func (r *Runner) Allocs(ctx context.Context, sidecar target.Target, c Cell, calls int) (Allocs, error) {
	dir, err := os.MkdirTemp(r.Dir, "allocs-")
	if err != nil {
		return Allocs{}, err
	}
	up, upstream, err := r.startUpstream(ctx, dir, c)
	if err != nil {
		return Allocs{}, err
	}
	defer up.Stop()
	p, err := r.start(ctx, sidecar, c, dir, upstream)
	if err != nil {
		return Allocs{}, err
	}
	defer p.stop()
	// The first calls make pools, workers and connections.
	if _, err := r.count(ctx, p, c, calls/10); err != nil {
		return Allocs{}, err
	}
	var reads [3]heap
	var done int
	for i := range reads {
		// Between the first two is only the price of reading.
		if i == 2 {
			if done, err = r.count(ctx, p, c, calls); err != nil {
				return Allocs{}, err
			}
		}
		if reads[i], err = readHeap(ctx, p.metrics); err != nil {
			return Allocs{}, err
		}
	}
	perCall := func(of func(heap) float64) float64 {
		reading := of(reads[1]) - of(reads[0])
		return (of(reads[2]) - of(reads[1]) - reading) / float64(done)
	}
	return Allocs{
		Calls:   done,
		PerCall: perCall(func(h heap) float64 { return h.objects }),
		Bytes:   perCall(func(h heap) float64 { return h.bytes }),
	}, nil
}

// count makes at least so many calls, and returns how many exactly.
func (r *Runner) count(ctx context.Context, p *proxy, c Cell, calls int) (int, error) {
	plan := c.plan(p.addr, 0, 0)
	plan.Calls = calls
	result, err := load.Run(ctx, plan)
	if err == nil && result.Failed > 0 {
		err = fmt.Errorf("%d calls failed: %s", result.Failed, result.Why)
	}
	return result.Calls, err
}

func readHeap(ctx context.Context, metrics string) (heap, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metrics+"/metrics", nil)
	if err != nil {
		return heap{}, err
	}
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return heap{}, err
	}
	defer resp.Body.Close()
	return parseHeap(resp.Body)
}

// parseHeap reads the two metrics from Prometheus' text format.
func parseHeap(page io.Reader) (heap, error) {
	found := map[string]float64{}
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || name != metricMallocs && name != metricBytes {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return heap{}, fmt.Errorf("run: %s: %w", name, err)
		}
		found[name] = v
	}
	if err := lines.Err(); err != nil {
		return heap{}, err
	}
	for _, name := range []string{metricMallocs, metricBytes} {
		if _, ok := found[name]; !ok {
			return heap{}, fmt.Errorf("%w: %s", errNoMetric, name)
		}
	}
	return heap{found[metricMallocs], found[metricBytes]}, nil
}
