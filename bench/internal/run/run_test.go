package run

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"qdrant-sidecar/bench/internal/load"
	"qdrant-sidecar/bench/internal/target"
	"qdrant-sidecar/bench/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCells(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range Cells() {
		if seen[c.Name] {
			t.Errorf("two cells are named %s", c.Name)
		}
		seen[c.Name] = true
		p := c.plan("x:1", 0, 0)
		if p.InFlight == 0 && p.Rate == 0 && c.Kind != Idle || p.Answer < wire.PrefixSize || p.Conns == 0 {
			t.Errorf("%s cannot be run: %+v", c.Name, c)
		}
		if want := max(c.Request+wire.PrefixSize, load.SearchSize); c.Request > 0 && len(p.Request) != want {
			t.Errorf("%s has requests of %d bytes, want %d", c.Name, len(p.Request), want)
		}
	}
}

const page = `# TYPE go_memstats_mallocs_total counter
go_memstats_mallocs_total 1.5e+06
go_memstats_alloc_bytes 7
go_memstats_alloc_bytes_total 2.5e+09
`

func TestParseHeap(t *testing.T) {
	t.Parallel()
	h, err := parseHeap(strings.NewReader(page))
	if err != nil || h != (heap{1.5e6, 2.5e9}) {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := parseHeap(strings.NewReader("go_memstats_mallocs_total 1\n")); !errors.Is(err, errNoMetric) {
		t.Errorf("without bytes the error is %v", err)
	}
}

func FuzzParseHeap(f *testing.F) {
	f.Add(page)
	f.Fuzz(func(t *testing.T, page string) {
		if h, err := parseHeap(strings.NewReader(page)); err != nil && h != (heap{}) {
			t.Errorf("%+v with %v", h, err)
		}
	})
}

// TestMeasure runs cells of each kind that takes no minutes through a real proxy,
// beside one that cannot start and one that never answers.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator),
		"qdrant-sidecar/bench/cmd/upstream", "qdrant-sidecar/bench/cmd/grpcproxy")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var good target.Target
	for _, p := range target.All("", filepath.Join(dir, "grpcproxy"), "") {
		if p.Name == "grpcproxy" {
			good = p
		}
	}
	broken := target.Target{Name: "broken", Find: good.Find, Command: func(target.Setup) target.Command {
		return target.Command{Args: []string{"sh", "-c", "echo bad configuration; exit 1"}}
	}}
	r := Runner{
		Targets: []target.Target{broken, good}, Upstream: filepath.Join(dir, "upstream"), Dir: dir,
		Rounds: 2, Warmup: 50 * time.Millisecond, Window: 300 * time.Millisecond, Progress: io.Discard,
	}
	for _, c := range Cells() {
		if c.Name != "t1-c8" && c.Name != "t1-r2000" && c.Name != "up-1m" {
			continue
		}
		table, err := r.Measure(t.Context(), c)
		for window := r.Window; err == nil && idle(table) && r.Window < 50*window; r.Window *= 3 {
			table, err = r.Measure(t.Context(), c) // too short for so busy a machine
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(table.Rows) != 3 || !strings.Contains(table.Rows[1].Failure, "bad configuration") {
			t.Fatalf("%s: %+v", c.Name, table.Rows)
		}
		for _, name := range []string{Direct, "grpcproxy"} {
			row, ok := table.Row(name)
			if !ok || len(row.Rounds) != 2 {
				t.Fatalf("%s: %+v", c.Name, table.Rows)
			}
			for _, round := range row.Rounds {
				if round.Calls == 0 || round.Rate <= 0 || round.MB <= 0 || round.P50 <= 0 || (round.CPU > 0) != (name != Direct) {
					t.Errorf("%s: %s: %+v", c.Name, name, round)
				}
			}
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "t1-c8-*", "grpcproxy", "grpcproxy.log"))
	if err != nil || len(left) != 1 {
		t.Errorf("logs %v, %v", left, err)
	}
	if raw, err := os.ReadFile(left[0]); err != nil || len(raw) > 0 {
		t.Errorf("the proxy says %q, %v", raw, err)
	}
}

// idle reports whether a proxy is seen to have done nothing, which the clocks of processes
// also say of little.
func idle(table Table) bool {
	return slices.ContainsFunc(table.Rows, func(row Row) bool {
		return row.Failure == "" && slices.ContainsFunc(row.Rounds, func(round Round) bool {
			return round.Calls == 0 || row.Target != Direct && round.CPU == 0
		})
	})
}
