package proxy_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/rawgrpc"
	"qdrant-sidecar/proxy"
)

// series is the metrics of a Server by name and labels; of histograms how much they
// have counted.
func series(t *testing.T, s *proxy.Server) map[string]float64 {
	t.Helper()
	families, err := s.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, label := range m.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if family.GetType() == dto.MetricType_HISTOGRAM {
				value = float64(m.GetHistogram().GetSampleCount())
			}
			found[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return found
}

// TestWireIsCounted: connections of both sides and what they carry, resets, and who
// took the port for another.
func TestWireIsCounted(t *testing.T) {
	up := serve(t, func(_ any, ss grpc.ServerStream) error {
		var request rawgrpc.Message
		if err := ss.RecvMsg(&request); err != nil {
			return err
		}
		defer request.Free()
		if method, _ := grpc.Method(ss.Context()); method == "/acme.Unknown/Method" {
			<-ss.Context().Done()
			return ss.Context().Err()
		}
		return ss.SendMsg(&request)
	})
	server, _, address := sidecar(t, up, 1)
	conn := dial(t, address)
	if err := oneCall(t.Context(), conn, "/qdrant.Points/Query", false); err != nil {
		t.Fatal(err)
	}
	// Cancelled while its stream is open at both ends.
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/acme.Unknown/Method")
	if err != nil {
		t.Fatal(err)
	}
	request := rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer("x")}}
	if err := stream.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	await(t, server, "qdrant_sidecar_connection_streams{connection=0,endpoint="+up+"}", 1)
	cancel()
	if err := stream.RecvMsg(new(rawgrpc.Message)); status.Code(err) != codes.Canceled {
		t.Errorf("a call that was cancelled is %v", err)
	}
	stranger, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	fmt.Fprint(stranger, "GET / HTTP/1.1\r\n\r\n")
	for name, want := range map[string]float64{
		"qdrant_sidecar_client_connections_refused_total{protocol=http1}":                           1,
		"qdrant_sidecar_client_connections_total{}":                                                 2,
		"qdrant_sidecar_client_connections{}":                                                       1,
		"qdrant_sidecar_client_resets_total{code=CANCEL,direction=received}":                        1,
		"qdrant_sidecar_upstream_resets_total{code=CANCEL,direction=sent,endpoint=" + up + "}":      1,
		"qdrant_sidecar_connection_streams{connection=0,endpoint=" + up + "}":                       0,
		"qdrant_sidecar_dials_total{endpoint=" + up + ",outcome=connected}":                         1,
		"qdrant_sidecar_ready{}":                                                                    1,
		"qdrant_sidecar_draining{}":                                                                 0,
		"qdrant_sidecar_stage_seconds{grpc_method=Query,grpc_service=qdrant.Points,stage=upstream}": 1,
		"qdrant_sidecar_stage_seconds{grpc_method=other,grpc_service=other,stage=own}":              1,
	} {
		await(t, server, name, want)
	}
	for _, name := range []string{
		"qdrant_sidecar_client_bytes_total{direction=received}", "qdrant_sidecar_client_bytes_total{direction=sent}",
		"qdrant_sidecar_upstream_bytes_total{direction=received,endpoint=" + up + "}",
		"qdrant_sidecar_upstream_bytes_total{direction=sent,endpoint=" + up + "}",
	} {
		if n := series(t, server)[name]; n < 100 || n > 100_000 {
			t.Errorf("%s is %v", name, n)
		}
	}
}

// await waits until a metric has a value.
func await(t *testing.T, s *proxy.Server, name string, want float64) {
	t.Helper()
	var got float64
	found := false
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if got, found = series(t, s)[name]; found && got == want {
			return
		}
	}
	t.Errorf("%s is %v, found: %t, want %v", name, got, found, want)
}
