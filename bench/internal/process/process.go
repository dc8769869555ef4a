// Package process runs the programs of the benchmark and reads from /proc what
// they use. Only what was started here is ever signalled.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Spec is a program to start.
type Spec struct {
	Name string   // for errors and the name of its log
	Args []string // the program and its arguments
	Env  []string // beside PATH and HOME, so that every run has the same
	Dir  string   // working directory, where its log goes
}

// Process is a running program, with the processes that it starts.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// stopTime is how long a program may take to end by itself.
const stopTime = 5 * time.Second

// Start starts a program in a process group of its own. Stop must be called.
func Start(spec Spec) (*Process, error) {
	log := filepath.Join(spec.Dir, spec.Name+".log")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the program has its own by then
	cmd := exec.Command(spec.Args[0], spec.Args[1:]...)
	cmd.Dir = spec.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + spec.Dir}, spec.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	// If the benchmark is killed, its programs end too, with time to end their own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{name: spec.Name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // why it ended is in its log
	}()
	return p, nil
}

// Stop ends the program and everything that it started.
func (p *Process) Stop() {
	group := -p.cmd.Process.Pid
	// An error means that the group is gone.
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.done
}

// ErrEnded is returned for a program that ended too early.
var ErrEnded = errors.New("ended")

// Err returns what the log ends with when the program is no longer running.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s %w: %s", p.name, ErrEnded, tail(p.log))
	default:
		return nil
	}
}

// FirstLine waits for the first line that the program prints.
func (p *Process) FirstLine(ctx context.Context) (string, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ended := p.Err() // before reading: what it said at last counts
		raw, err := os.ReadFile(p.log)
		if err != nil {
			return "", err
		}
		if line, _, whole := strings.Cut(string(raw), "\n"); whole {
			return line, nil
		}
		if ended != nil {
			return "", ended
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// tail returns the end of a log, in one line.
func tail(name string) string {
	const most = 400
	raw, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	if len(raw) > most {
		raw = raw[len(raw)-most:]
	}
	return strings.Join(strings.Fields(string(raw)), " ")
}
