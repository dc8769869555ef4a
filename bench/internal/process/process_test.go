package process

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(Spec{Name: "script", Dir: t.TempDir(), Args: []string{"sh", "-c", script}, Env: []string{"GREETING=hello"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

func firstLine(t *testing.T, p *Process) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	line, err := p.FirstLine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestStop has a child of the program ignore SIGTERM; it must be gone as well.
func TestStop(t *testing.T) {
	t.Parallel()
	p := shell(t, `sh -c 'trap "" TERM; echo $GREETING; while :; do sleep 0.05; done' & wait`)
	if line := firstLine(t, p); line != "hello" {
		t.Errorf("the first line is %q", line)
	}
	pids, err := p.Members()
	if err != nil || len(pids) < 2 {
		t.Fatalf("members %v, %v", pids, err)
	}
	if err := p.Err(); err != nil {
		t.Errorf("it runs, and yet: %v", err)
	}
	p.Stop()
	if err := p.Err(); !errors.Is(err, ErrEnded) {
		t.Errorf("it ended, and yet: %v", err)
	}
	// The group's last process is a zombie until whoever adopted it looks.
	deadline := time.Now().Add(10 * time.Second)
	for syscall.Kill(-p.cmd.Process.Pid, 0) == nil && time.Now().Before(deadline) {
		if left, err := p.Members(); err == nil && len(left) == 0 {
			break
		}
	}
	for _, pid := range pids {
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err == nil && !strings.Contains(string(raw), ") Z ") {
			t.Errorf("process %d is alive: %s", pid, raw)
		}
	}
}

func TestEndedEarly(t *testing.T) {
	t.Parallel()
	p := shell(t, `echo no such thing >&2; exit 3`)
	if line := firstLine(t, p); line != "no such thing" {
		t.Errorf("the first line is %q", line)
	}
	<-p.done
	if err := p.Err(); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("the error is %v", err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	own := []int{os.Getpid()}
	before, err := CPU(own)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	after := before
	for after < before+3*tick && time.Now().Before(deadline) {
		if after, err = CPU(own); err != nil {
			t.Fatal(err)
		}
	}
	if after < before+3*tick {
		t.Errorf("CPU went from %v to %v in 20 busy seconds", before, after)
	}
	rss, err := RSS(own)
	if err != nil || rss < 1<<20 || rss > 1<<32 {
		t.Errorf("resident memory is %d, %v", rss, err)
	}
	if _, err := CPU([]int{-1}); err == nil {
		t.Error("a process that is not there used CPU")
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	const line = "42 (a) b (c) S 1 77 3 4 5 6 7 8 9 10 12 34 16 17"
	s, err := parseStat(line)
	if err != nil || s.group != 77 || s.cpu != 46*tick {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("42 (name) S 1 77 3 4 5 6 7 8 9 10 12 34 16 17")
	f.Add("42 (name")
	f.Fuzz(func(t *testing.T, line string) {
		if s, err := parseStat(line); err != nil && s != (stat{}) {
			t.Errorf("%+v with %v", s, err)
		}
	})
}
