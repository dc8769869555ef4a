// Command snapshot sends a snapshot of 2 GiB through the sidecar's REST side and through nginx, down and up, in turns,
// and compares them: throughput at least 0.8 of nginx's, resident memory below 64 MiB.
//
//	go -C bench run ./cmd/snapshot
//
// The upstream is in this process: it writes what it is asked for from one buffer, and throws away what it gets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"qdrant-sidecar/bench/internal/process"
	"qdrant-sidecar/bench/internal/target"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "snapshot:", err)
		os.Exit(1)
	}
}

// Limits of the comparison.
const (
	leastShare = 0.8
	mostRSS    = 64 << 20
)

// path is one that Qdrant downloads a snapshot from, and uploads it to.
const path = "/collections/c/snapshots/x"

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("snapshot", flag.ContinueOnError)
	size := f.Int64("bytes", 2<<30, "`size` of the snapshot")
	rounds := f.Int("rounds", 3, "`number` of times that each is measured")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-snapshot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	qdrant := &http.Server{Handler: snapshots(*size), ReadHeaderTimeout: time.Minute}
	go func() { _ = qdrant.Serve(upstream) }()
	defer qdrant.Close()

	var contestants []*contestant
	for _, start := range []func(context.Context, string, string, string) (*process.Process, error){sidecar, nginx} {
		address, err := freePort()
		if err != nil {
			return err
		}
		p, err := start(ctx, dir, upstream.Addr().String(), address)
		if err != nil {
			return err
		}
		defer p.Stop()
		contestants = append(contestants, &contestant{name: []string{"sidecar", "nginx"}[len(contestants)], Process: p, url: "http://" + address + path})
	}
	for _, c := range contestants {
		if err := c.await(ctx); err != nil {
			return err
		}
	}
	for range *rounds {
		for _, c := range contestants {
			if err := c.measure(ctx, *size); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return judge(out, contestants[0], contestants[1])
}

// contestant is a proxy, and what was measured of it.
type contestant struct {
	name string
	*process.Process
	url      string
	down, up []float64 // bytes a second
	rss      int64     // the most that was seen
}

func (c *contestant) await(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		request, err := http.NewRequestWithContext(ctx, http.MethodHead, c.url, http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := c.Err(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s is not there", c.name)
}

// measure downloads and uploads once, while memory is watched.
func (c *contestant) measure(ctx context.Context, size int64) error {
	watched, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			if pids, err := c.Members(); err == nil {
				if rss, err := process.RSS(pids); err == nil {
					c.rss = max(c.rss, rss)
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	down, err := c.transfer(ctx, http.MethodGet, http.NoBody, size)
	if err == nil {
		c.down = append(c.down, down)
		var up float64
		up, err = c.transfer(ctx, http.MethodPost, io.LimitReader(zeros{}, size), size)
		c.up = append(c.up, up)
	}
	close(stop)
	<-watched
	return err
}

func (c *contestant) transfer(ctx context.Context, method string, body io.Reader, size int64) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.url, body)
	if err != nil {
		return 0, err
	}
	if method == http.MethodPost {
		request.ContentLength = size
	}
	start := time.Now()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	got, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, answer.Body, make([]byte, 1<<18))
	if err == nil && (answer.StatusCode != http.StatusOK || method == http.MethodGet && got != size) {
		err = fmt.Errorf("%s with %d bytes", answer.Status, got)
	}
	return float64(size) / time.Since(start).Seconds(), err
}

// judge prints what was found. The best of the rounds counts, for the rest is the machine.
func judge(out io.Writer, own, other *contestant) error {
	var failed error
	fmt.Fprintln(out, "| | Sidecar | nginx | Share |\n|---|--:|--:|--:|")
	for _, row := range []struct {
		name       string
		own, other []float64
	}{{"download", own.down, other.down}, {"upload", own.up, other.up}} {
		a, b := slices.Max(row.own), slices.Max(row.other)
		fmt.Fprintf(out, "| %s, MiB/s | %.0f | %.0f | %.2f |\n", row.name, a/(1<<20), b/(1<<20), a/b)
		if a < leastShare*b {
			failed = errors.Join(failed, fmt.Errorf("%s: %.2f of nginx's throughput, want %v", row.name, a/b, leastShare))
		}
	}
	fmt.Fprintf(out, "| most resident memory, MiB | %.1f | %.1f | |\n", float64(own.rss)/(1<<20), float64(other.rss)/(1<<20))
	if own.rss >= mostRSS {
		failed = errors.Join(failed, fmt.Errorf("%.1f MiB of memory", float64(own.rss)/(1<<20)))
	}
	return failed
}

// snapshots is a Qdrant that has one, of zeros.
func snapshots(size int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 1<<18))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		if r.Method == http.MethodGet {
			buffer := make([]byte, 1<<18)
			for left := size; left > 0; left -= int64(len(buffer)) {
				if _, err := w.Write(buffer[:min(left, int64(len(buffer)))]); err != nil {
					return
				}
			}
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func freePort() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer lis.Close()
	return lis.Addr().String(), nil
}

func sidecar(ctx context.Context, dir, upstream, address string) (*process.Process, error) {
	binary := filepath.Join(dir, "sidecar")
	build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-trimpath", "-o", binary, "./cmd/qdrant-sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the sidecar: %w\n%s", err, output)
	}
	return process.Start(process.Spec{Name: "sidecar.run", Dir: dir, Args: []string{binary, "serve"}, Env: []string{
		"QDRANT_URL=http://" + upstream, "QDRANT_REST_URL=http://" + upstream, "QDRANT_REST_LISTEN=" + address,
		"QDRANT_LISTEN=127.0.0.1:0", "QDRANT_METRICS_LISTEN=127.0.0.1:0", "QDRANT_ADMIN_LISTEN=off",
	}})
}

func nginx(_ context.Context, dir, upstream, address string) (*process.Process, error) {
	t := target.Files()
	program := t.Find()
	if program == "" {
		return nil, fmt.Errorf("nginx is not installed: %s", t.Install)
	}
	command := t.Command(target.Setup{Dir: dir, Program: program, Listen: address, Upstream: upstream, Threads: runtime.NumCPU()})
	for name, content := range command.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	return process.Start(process.Spec{Name: "nginx.run", Dir: dir, Args: command.Args})
}
