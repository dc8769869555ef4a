package sidecar

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/internal/faultwire"
)

func TestMain(m *testing.M) { Main(m) }

func TestServesOverMemory(t *testing.T) {
	s := Start(t, Options{Upstream: "memory://", Admin: true})
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()

	conn, err := faultwire.Dial(ctx, s.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := conn.Call(ctx, faultwire.GRPCRequest("/qdrant.Qdrant/HealthCheck"), faultwire.Prefixed(nil))
	if err != nil || answer.Trailer.Get("grpc-status") != "0" {
		t.Errorf("HealthCheck: trailer\n%s%v", answer.Trailer, err)
	}

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	page, err := client.Get("http://" + s.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	text, err := io.ReadAll(page.Body)
	if err != nil || page.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("qdrant_connection_pool_size")) {
		t.Errorf("/metrics is %s with %d bytes, %v", page.Status, len(text), err)
	}
	if !strings.HasPrefix(s.Admin, "127.0.0.1:") {
		t.Errorf("admin listener at %q", s.Admin)
	}
}

// Nothing accepts at the upstream's address: the sidecar serves and is unready.
func TestUnready(t *testing.T) {
	s := Start(t, Options{Upstream: "http://127.0.0.1:1", Unready: true})
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := s.waitReadyz(ctx, http.StatusServiceUnavailable); err != nil {
		t.Error(err)
	}
	s.Stop()
}

func TestComplaints(t *testing.T) {
	log := newLog()
	fmt.Fprint(log, `{"level":"INFO","msg":"listening","listener":"grpc","address":"127.0.0.1:1"}`+"\n"+
		`{"level":"ERROR","msg":"expe`)
	fmt.Fprint(log, `cted"}`+"\n"+
		`{"level":"ERROR","msg":"surprise"}`+"\n"+
		"==================\nWARNING: DATA RACE\n"+
		`panic: out of luck`)
	log.close()
	want := []string{`{"level":"ERROR","msg":"surprise"}`, "WARNING: DATA RACE", "panic: out of luck"}
	if got := log.complaints([]string{"expected"}); !slices.Equal(got, want) {
		t.Errorf("complaints %q, want %q", got, want)
	}
	line, err := log.Wait(t.Context(), func(l Line) bool { return l.Attrs["listener"] == "grpc" })
	if err != nil || line.Message != "listening" || line.Attrs["address"] != "127.0.0.1:1" {
		t.Errorf("%+v, %v", line, err)
	}
	if _, err := log.Wait(t.Context(), func(Line) bool { return false }); err != io.EOF {
		t.Errorf("waiting on a closed log: %v", err)
	}
}

func TestWaitSeesLaterLines(t *testing.T) {
	log := newLog()
	got := make(chan error, 1)
	go func() {
		_, err := log.Wait(t.Context(), func(l Line) bool { return l.Message == "late" })
		got <- err
	}()
	fmt.Fprintln(log, `{"msg":"early"}`)
	fmt.Fprintln(log, `{"msg":"late"}`)
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(startTimeout):
		t.Error("the line was not noticed")
	}
}
