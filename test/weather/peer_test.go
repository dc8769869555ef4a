package weather_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"qdrant-sidecar/test/live"
)

// catchingUp is how long a node may take for that under load.
const catchingUp = 2 * time.Minute

// process is a node's, which tests may end and start again.
type process interface {
	address() string
	// start runs it, and returns when the node answers.
	start()
	// end ends it by a signal, and returns when it has ended.
	end(s syscall.Signal)
	signal(s syscall.Signal)
}

// newReal finds the nodes of a real cluster, and starts a sidecar before them and the
// load.
func newReal(t *testing.T, size int, b build) *cluster {
	t.Helper()
	q := live.WantCluster(t)
	c := &cluster{t: newReferee(t)}
	prepare(c.t, q.Nodes)
	for _, address := range q.Nodes {
		c.processes = append(c.processes, newPeer(c.t, address))
	}
	c.start(q.URL(), "", size, b)
	for _, address := range q.Nodes {
		local := inTables(netip.MustParseAddrPort(address))
		watchConnections(c.t, address, size, func() (int, error) {
			var whose []string
			err := sockets(connected, func(at, from, _ string) {
				if at == local {
					whose = append(whose, from)
				}
			})
			if len(whose) > size {
				c.t.Logf("connections to %s are from %v", address, whose)
			}
			return len(whose), err
		})
	}
	c.begin()
	return c
}

// peer is the process of a real node on this machine. Somebody else has started it, so
// how that is done is what the process itself says.
type peer struct {
	t         testing.TB
	at        netip.AddrPort
	pid       int // 0 while there is none
	path, dir string
	args, env []string
	// output is the file that it writes to; "" for none.
	output string
}

// newPeer finds the process that listens at an address. It runs as before when the test
// ends.
func newPeer(t testing.TB, address string) *peer {
	t.Helper()
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatalf("%s: the addresses of nodes that are to be stopped have to be numbers: %v", address, err)
	}
	p := &peer{t: t, at: at}
	if p.pid, err = listener(at); err != nil {
		t.Fatal(err)
	}
	if err := p.learn(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.pid == 0 {
			p.start()
		}
		p.signal(syscall.SIGCONT)
	})
	return p
}

// listener returns the process that listens at an address.
func listener(at netip.AddrPort) (pid int, err error) {
	var link string
	err = sockets(listening, func(local, _, inode string) {
		if local == inTables(at) {
			link = "socket:[" + inode + "]"
		}
	})
	if err != nil {
		return 0, err
	}
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		// Some have gone by now, and some are others'.
		if found, err := os.Readlink(file); err == nil && found == link {
			return strconv.Atoi(strings.Split(file, "/")[2])
		}
	}
	return 0, fmt.Errorf("no process of this machine that may be looked at listens at %v", at)
}

// inTables is an address of IPv4 as the kernel's tables have it.
func inTables(at netip.AddrPort) string {
	ip := at.Addr().As4()
	slices.Reverse(ip[:])
	return fmt.Sprintf("%s:%04X", strings.ToUpper(hex.EncodeToString(ip[:])), at.Port())
}

// learn finds out how the process was started.
func (p *peer) learn() (err error) {
	proc := filepath.Join("/proc", strconv.Itoa(p.pid))
	list := func(name string) []string {
		text, failed := os.ReadFile(filepath.Join(proc, name))
		err = errors.Join(err, failed)
		return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	}
	link := func(name string) string {
		target, failed := os.Readlink(filepath.Join(proc, name))
		err = errors.Join(err, failed)
		return target
	}
	p.args, p.env = list("cmdline"), list("environ")
	p.path, p.dir, p.output = link("exe"), link("cwd"), link("fd/1")
	if info, failed := os.Stat(p.output); failed != nil || !info.Mode().IsRegular() {
		p.output = ""
	}
	return err
}

func (p *peer) address() string { return p.at.String() }

// start returns when the node says that it has caught up with the others: who upgrades a
// cluster waits for that before he ends the next one. It asks past the port whose
// connections are counted.
func (p *peer) start() {
	p.t.Helper()
	cmd := &exec.Cmd{
		Path: p.path, Args: p.args, Env: p.env, Dir: p.dir,
		// It stays when we have ended.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if p.output != "" {
		output, err := os.OpenFile(p.output, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			p.t.Fatal(err)
		}
		defer output.Close()
		cmd.Stdout, cmd.Stderr = output, output
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	within(p.t, catchingUp, p.address()+" is ready", func() error {
		return p.rest(context.Background(), http.MethodGet, "/readyz")
	})
}

// read asks for something that the node knows itself.
func (p *peer) read(ctx context.Context) {
	p.rest(ctx, http.MethodPost, "/collections/"+collection+"/points/count") // an error is an answer, too
}

// rest makes a call of the REST API, which is at its usual port.
func (p *peer) rest(ctx context.Context, method, path string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	url := "http://" + net.JoinHostPort(p.at.Addr().String(), "6333") + path
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

func (p *peer) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.pid, s); err != nil {
		p.t.Fatalf("%s: %v", p.address(), err)
	}
}

func (p *peer) end(s syscall.Signal) {
	p.t.Helper()
	p.signal(s)
	within(p.t, patience, p.address()+" has ended", func() error {
		syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil) // it may be a child of ours
		if syscall.Kill(p.pid, 0) == nil {
			return errors.New("it is there")
		}
		return nil
	})
	p.pid = 0
}
