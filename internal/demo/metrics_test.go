package demo

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

func parsed(t *testing.T, text string) snapshot {
	t.Helper()
	s, err := parseMetrics(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMoved(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		want          []family
	}{
		"nothing": {"qdrant_a 1\n", "qdrant_a 1\n", nil},
		"of another family": {
			"go_goroutines 1\nprocess_qdrant_a 1\n",
			"go_goroutines 2\nprocess_qdrant_a 2\n", nil},
		"a counter": {
			"# TYPE qdrant_a counter\nqdrant_a{x=\"1\"} 1\nqdrant_a{x=\"2\"} 5\n",
			"# TYPE qdrant_a counter\nqdrant_a{x=\"1\"} 4\nqdrant_a{x=\"2\"} 5\n",
			[]family{{"qdrant_a", []change{{[]label{{"x", "1"}}, "+3", ""}}}}},
		"a new series": {
			"# TYPE qdrant_a counter\nqdrant_a{x=\"1\"} 1\n",
			"# TYPE qdrant_a counter\nqdrant_a{x=\"1\"} 1\nqdrant_a{x=\"0\"} 2\n",
			[]family{{"qdrant_a", []change{{[]label{{"x", "0"}}, "+2", ""}}}}},
		"labels in another order": {
			"# TYPE qdrant_a counter\nqdrant_a{x=\"1\",y=\"2\"} 1\n",
			"# TYPE qdrant_a counter\nqdrant_a{y=\"2\",x=\"1\"} 2\n",
			[]family{{"qdrant_a", []change{{[]label{{"x", "1"}, {"y", "2"}}, "+1", ""}}}}},
		"a counter that started anew": {
			"# TYPE qdrant_a counter\nqdrant_a 9\n",
			"# TYPE qdrant_a counter\nqdrant_a 2\n",
			[]family{{"qdrant_a", []change{{[]label{}, "-7", ""}}}}},
		"a gauge": {
			"# TYPE qdrant_a gauge\nqdrant_a 1.5\n",
			"# TYPE qdrant_a gauge\nqdrant_a 3\n",
			[]family{{"qdrant_a", []change{{[]label{}, "1.5 -> 3", ""}}}}},
		"a histogram of seconds, without its buckets": {
			"# TYPE grpc_server_a_seconds histogram\ngrpc_server_a_seconds_bucket{le=\"+Inf\"} 1\n" +
				"grpc_server_a_seconds_sum 1\ngrpc_server_a_seconds_count 1\n",
			"# TYPE grpc_server_a_seconds histogram\ngrpc_server_a_seconds_bucket{le=\"+Inf\"} 3\n" +
				"grpc_server_a_seconds_sum 1.005\ngrpc_server_a_seconds_count 3\n",
			[]family{{"grpc_server_a_seconds", []change{{[]label{}, "+2", "2.50 ms"}}}}},
		"a summary of something else": {
			"",
			"# TYPE qdrant_a summary\nqdrant_a{quantile=\"0.5\"} 7\nqdrant_a_sum 100\nqdrant_a_count 3\n",
			[]family{{"qdrant_a", []change{{[]label{}, "+3", "33.33"}}}}},
		"no number": {"qdrant_a 1\nqdrant_b NaN\n", "qdrant_a NaN\nqdrant_b 1\n", nil},
		"families by name": {
			"", "qdrant_b 1\nqdrant_a 2\ngrpc_server_c 3\n",
			[]family{{"grpc_server_c", []change{{[]label{}, "+3", ""}}},
				{"qdrant_a", []change{{[]label{}, "+2", ""}}},
				{"qdrant_b", []change{{[]label{}, "+1", ""}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := moved(parsed(t, c.before), parsed(t, c.after)); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	by := func(text, mean string, pairs ...string) change {
		c := change{text: text, mean: mean}
		for i := 0; i < len(pairs); i += 2 {
			c.labels = append(c.labels, label{pairs[i], pairs[i+1]})
		}
		return c
	}
	long := strings.Repeat("x", 30)
	got := new(bytes.Buffer)
	newPage(got, false).families([]family{
		{"qdrant_one", []change{by("+1", "")}},
		{"qdrant_two", []change{by("0 -> 2", "", "state", "in_use")}},
		{"qdrant_long", []change{by("+3", "5.00 ms", "a", long, "b", long, "c", long)}},
		{"qdrant_many", []change{
			by("+1", "", "a", "same", "b", "short"),
			by("+20000", "", "a", "same", "b", "rather longer")}},
		{"qdrant_alike", []change{
			by("+1", "", "b", "short", "c", "same too"),
			by("+20000", "", "b", "rather longer", "c", "same too")}},
		{"qdrant_timed", []change{
			by("+1", "1.00 ms", "b", "short"),
			by("+20000", "2.00 ms", "b", "rather longer")}},
		{"qdrant_other", []change{
			by("+1", "3", "b", "short", "d", "\x1b[2J"),
			by("+1", "4", "b", "", "d", "naïve")}},
		{"qdrant_wide", []change{by("+1", "", "b", long+long, "c", ""), by("+2", "", "b", long, "c", long)}},
	})
	equalGolden(t, "families.txt", got.String())
}

// A server may count a call after its caller has the answer.
func TestSettledWaitsForTheLastCount(t *testing.T) {
	var reads atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.Close {
			t.Error("the page's reader keeps its connection")
		}
		n := min(reads.Add(1), 3)
		if _, err := io.WriteString(w, "qdrant_a "+strconv.FormatInt(n, 10)+"\n"); err != nil {
			t.Errorf("write metrics: %v", err)
		}
	}))
	t.Cleanup(server.Close)

	got, err := settled(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].changes[0].text != "+3" {
		t.Errorf("got %v, want the +3 that it stopped at", got)
	}
	if n := reads.Load(); n != 4 {
		t.Errorf("the page was read %d times, want 4", n)
	}
}

func TestSettledEndsThoughMetricsMove(t *testing.T) {
	var reads atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, "qdrant_a "+strconv.FormatInt(reads.Add(1), 10)+"\n"); err != nil {
			t.Errorf("write metrics: %v", err)
		}
	}))
	t.Cleanup(server.Close)

	got, err := settled(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "+" + strconv.Itoa(settleReadings); len(got) != 1 || got[0].changes[0].text != want {
		t.Errorf("got %v, want the last reading, %s", got, want)
	}
}

// Whatever a page says, comparing and printing it ends, keeps to printable characters,
// and finds nothing moved between a page and itself.
func FuzzMetrics(f *testing.F) {
	f.Add(read(f, "before.txt"), read(f, "after.txt"))
	f.Add([]byte("qdrant_a{x=\"1\"} 1\nqdrant_a{x=\"1\"} 2\n"), []byte("qdrant_a{x=\"\\n\\\"\"} +Inf\n"))
	f.Add([]byte("# TYPE qdrant_a histogram\nqdrant_a_count 1\n"), []byte("# TYPE qdrant_a gauge\nqdrant_a 1e300\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		before, err := parseMetrics(bytes.NewReader(first))
		if err != nil {
			return
		}
		if same := moved(before, before); same != nil {
			t.Errorf("between a page and itself %v moved", same)
		}
		after, err := parseMetrics(bytes.NewReader(second))
		if err != nil {
			return
		}
		var out bytes.Buffer
		newPage(&out, false).families(moved(before, after))
		if i := bytes.IndexFunc(out.Bytes(), func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); i >= 0 {
			t.Errorf("printed %q", out.Bytes()[i])
		}
	})
}
