package seeing_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qdrant-sidecar/test/sidecar"
)

// terminal is a pseudo terminal with a program on it.
type terminal struct {
	master *os.File
	mu     sync.Mutex
	text   strings.Builder
	ended  chan struct{}
}

// onTerminal runs a command of the binary where somebody could sit.
func onTerminal(t *testing.T, s *sidecar.Sidecar, args ...string) (*terminal, *exec.Cmd) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("NOT TESTED: there are no pseudo terminals: %v", err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), sidecar.Binary(t), args...)
	cmd.Env = append(os.Environ(), "QDRANT_ADMIN_LISTEN="+s.Admin, "TERM=xterm", "GORACE=atexit_sleep_ms=0")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	term := &terminal{master: master, ended: make(chan struct{})}
	go func() {
		defer close(term.ended)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			term.mu.Lock()
			term.text.Write(b[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-term.ended
		master.Close()
	})
	return term, cmd
}

// shows waits for text that comes after all that was shown before.
func (x *terminal) shows(t *testing.T, text string) {
	t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		x.mu.Lock()
		all := x.text.String()
		found := strings.Contains(all, text)
		if found {
			x.text.Reset()
		}
		x.mu.Unlock()
		if found {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the terminal does not show %q:\n%s", text, all)
		}
	}
}

func (x *terminal) press(t *testing.T, key string) {
	t.Helper()
	if _, err := x.master.WriteString(key); err != nil {
		t.Fatal(err)
	}
}

func TestTopOnTerminal(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true})
	for _, quit := range []string{"q", "\x03"} {
		term, cmd := onTerminal(t, s, "top", "--interval=300ms")
		term.shows(t, "\x1b[?1049h")
		term.shows(t, "Nothing to judge")
		term.shows(t, "sorted by rate")
		term.press(t, "s")
		term.shows(t, "sorted by latency")
		term.press(t, "n")
		term.shows(t, "sorted by name")
		term.press(t, "p")
		term.shows(t, "PAUSED")
		term.press(t, "p")
		term.shows(t, "live")
		term.press(t, quit)
		term.shows(t, "\x1b[?1049l") // back to where one was
		if err := cmd.Wait(); err != nil {
			t.Errorf("top ends with %v after %q", err, quit)
		}
	}
}

// Who ends the sidecar sees top end, with the terminal as it was.
func TestTopEndsWithTheSidecar(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true})
	term, cmd := onTerminal(t, s, "top")
	term.shows(t, "Nothing to judge")
	s.Stop()
	term.shows(t, "\x1b[?1049l")
	_ = cmd.Wait() // a sidecar that ends is no success of top's
}
