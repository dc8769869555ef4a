package proxy_test

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/proxy"
)

// says is an answer in which Qdrant says how long it took.
func says(took time.Duration) string {
	const time = 2<<3 | 1
	return string(binary.LittleEndian.AppendUint64([]byte{time}, math.Float64bits(took.Seconds())))
}

// sums are the sums of a histogram by the values of its labels, and how much it has
// counted.
func sums(t *testing.T, s *proxy.Server, name string) (sum map[string]float64, count map[string]uint64) {
	t.Helper()
	families, err := s.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, count = map[string]float64{}, map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && f.GetType() == dto.MetricType_HISTOGRAM {
				var values []string
				for _, l := range m.GetLabel() {
					values = append(values, l.GetValue())
				}
				sum[strings.Join(values, " ")], count[strings.Join(values, " ")] = m.GetHistogram().GetSampleSum(), m.GetHistogram().GetSampleCount()
			}
		}
	}
	return sum, count
}

// TestQdrantsOwnWord: what Qdrant says that it took is told from the way to it.
func TestQdrantsOwnWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error {
			if a.request == "hello" && a.n == 1 {
				return unavailable // which is repeated
			}
			time.Sleep(2 * time.Second)
			return nil
		})
		const qdrant, way = "Query qdrant.Points qdrant", "Query qdrant.Points way"
		expect := func(about string, wantQdrant, wantWay float64, wantCount uint64) {
			t.Helper()
			sum, count := sums(t, r.server, "qdrant_sidecar_upstream_seconds")
			if sum[qdrant] != wantQdrant || sum[way] != wantWay || count[qdrant] != wantCount || count[way] != wantCount {
				t.Errorf("%s: %v, %v", about, sum, count)
			}
		}
		r.call(read, "grpc-timeout", "1M")
		r.call(read)
		expect("it says nothing", 0, 0, 0)
		r.callWith(t.Context(), read, says(1500*time.Millisecond))
		expect("it says so", 1.5, .5, 1)
		r.callWith(t.Context(), read, says(time.Hour))
		expect("it does not take longer than it is waited for", 3.5, .5, 2)
		r.callWith(t.Context(), other, says(time.Second))
		if _, count := sums(t, r.server, "qdrant_sidecar_upstream_seconds"); len(count) != 2 {
			t.Errorf("what is not known cannot be read: %v", count)
		}
	})
}

// TestMessagesAreCounted, whole or as they pass.
func TestMessagesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error {
			if a.request == "fail" {
				return mistaken
			}
			return nil
		})
		r.call(read)
		r.callWith(t.Context(), read, "fail")
		if a := r.callWith(t.Context(), write, strings.Repeat("x", 5<<20)); len(a.text) != 5<<20 { // both ways too large to be kept
			t.Errorf("%d bytes come back", len(a.text))
		}
		r.call(other)
		r.callWith(t.Context(), other, "fail")
		for name, want := range map[string]float64{
			"grpc_server_msg_received_total{grpc_method=Query,grpc_service=qdrant.Points,grpc_type=unary}":  2,
			"grpc_server_msg_sent_total{grpc_method=Query,grpc_service=qdrant.Points,grpc_type=unary}":      1,
			"grpc_server_msg_received_total{grpc_method=Upsert,grpc_service=qdrant.Points,grpc_type=unary}": 1,
			"grpc_server_msg_sent_total{grpc_method=Upsert,grpc_service=qdrant.Points,grpc_type=unary}":     1,
			"grpc_server_msg_received_total{grpc_method=other,grpc_service=other,grpc_type=bidi_stream}":    2,
			"grpc_server_msg_sent_total{grpc_method=other,grpc_service=other,grpc_type=bidi_stream}":        1,
		} {
			await(t, r.server, name, want)
		}
		if a := r.call(health); a.code != codes.OK {
			t.Errorf("%v", a)
		}
	})
}
