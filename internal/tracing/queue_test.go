package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// destination is where spans go in a test.
type destination struct {
	export func(context.Context) error
	taken  atomic.Int64
}

func (d *destination) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := d.export(ctx); err != nil {
		return err
	}
	d.taken.Add(int64(len(spans)))
	return nil
}

func (d *destination) Shutdown(context.Context) error { return nil }

// rig is a provider with a queue of 10 and its log.
type rig struct {
	*Provider
	to  *destination
	log *bytes.Buffer
}

func newRig(export func(context.Context) error) *rig {
	r := &rig{to: &destination{export: export}, log: new(bytes.Buffer)}
	r.Provider = newProvider(newQueue(10, slog.New(slog.NewJSONHandler(r.log, nil))), r.to, resource.Empty())
	return r
}

func (r *rig) spans(n int) {
	for range n {
		_, span := r.Tracer().Start(context.Background(), "x")
		span.End()
	}
}

// lost adds up what the log says.
func (r *rig) lost(t *testing.T) (dropped, failed, lines int) {
	t.Helper()
	for line := range strings.Lines(r.log.String()) {
		var said struct{ Dropped, Failed int }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatal(err)
		}
		dropped, failed, lines = dropped+said.Dropped, failed+said.Failed, lines+1
	}
	return dropped, failed, lines
}

func TestSpansArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(context.Context) error { return nil })
		for range 5 {
			r.spans(10)
			time.Sleep(6 * time.Second) // the SDK's batches take 5 s
		}
		r.spans(3)
		r.Shutdown(t.Context())
		if n := r.to.taken.Load(); n != 53 || r.log.Len() > 0 {
			t.Errorf("%d spans arrived, want 53; log %s", n, r.log)
		}
	})
}

// A collector that does not answer holds up nobody, and no more than the queue.
func TestSlowCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		start := time.Now()
		r.spans(10)
		time.Sleep(6 * time.Second) // they are under way
		r.spans(90)
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("calls waited %v", took-6*time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r.Shutdown(ctx)
		if took := time.Since(start); took > 7*time.Second+cutPatience {
			t.Errorf("the end took until %v", took)
		}
		if dropped, failed, _ := r.lost(t); dropped != 90 || failed != 10 {
			t.Errorf("%d dropped, %d failed, want 90 and 10:\n%s", dropped, failed, r.log)
		}
	})
}

// What is lost is told, once a minute, and adds up.
func TestCollectorAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(context.Context) error { return errors.New("nobody there") })
		for range 30 {
			r.spans(15)
			time.Sleep(6 * time.Second)
		}
		if _, _, lines := r.lost(t); lines != 3 || !strings.Contains(r.log.String(), "nobody there") {
			t.Errorf("%d lines in three minutes:\n%s", lines, r.log)
		}
		r.Shutdown(t.Context())
		if dropped, failed, _ := r.lost(t); dropped != 30*5 || failed != 30*10 {
			t.Errorf("%d dropped, %d failed, want 150 and 300:\n%s", dropped, failed, r.log)
		}
	})
}
