package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/test/sidecar"
)

// rewrite replaces what a file holds.
func rewrite(t testing.TB, file string, lines ...string) {
	t.Helper()
	// In one step, as Kubernetes does.
	if err := os.WriteFile(file+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// reloads counts the lines of the log that say that the configuration was read anew.
func reloads(s *sidecar.Sidecar) (n int) {
	for _, line := range s.Log().Lines() {
		if strings.HasPrefix(line.Message, "configuration reloaded") || strings.Contains(line.Message, "nothing was changed") {
			n++
		}
	}
	return n
}

// hangUp has the sidecar read its configuration anew, waits until it has, and returns
// what it said.
func hangUp(t testing.TB, s *sidecar.Sidecar) sidecar.Line {
	t.Helper()
	before := reloads(s)
	if err := syscall.Kill(s.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reload", func() error {
		if reloads(s) == before {
			return errors.New("not yet")
		}
		return nil
	})
	var last sidecar.Line
	for _, line := range s.Log().Lines() {
		if _, ok := line.Attrs["because"]; ok && strings.Contains(line.Text, "SIGHUP") && line.Message != "changed settings take effect only after a restart" {
			last = line
		}
	}
	return last
}

// TestReload changes each kind of setting by SIGHUP, under load of which no call fails.
func TestReload(t *testing.T) {
	t.Parallel()
	const hanging, failing = "/qdrant.Points/Query", "/qdrant.Points/Scroll"
	var fails, hangs atomic.Int64
	u := newUpstream(t, func(c call) ([]byte, error) {
		switch c.method {
		case hanging:
			hangs.Add(1)
			<-c.ctx.Done()
			return nil, c.ctx.Err()
		case failing:
			fails.Add(1)
			return nil, status.Error(codes.Unavailable, "not now")
		}
		return healthy(c)
	})
	file := writeFile(t, "config.yaml", "retry-max: 0\ncircuit-breaker-threshold: 0\n")
	s := sidecar.Start(t, sidecar.Options{
		Upstream: u.url(), Admin: true, Args: []string{"--config", file},
		Env: []string{"QDRANT_DRAIN_TIMEOUT="}, // what the harness sets would win over the file
	})
	l := newLoad(t, s.GRPC, 3)
	conn := newConn(t, s.GRPC)
	attempted := func(calls int) int64 {
		t.Helper()
		before := fails.Load()
		for range calls {
			if err := <-invoke(bounded(t), conn, failing); err == nil {
				t.Error("a call succeeded that cannot")
			}
		}
		return fails.Load() - before
	}
	if n := attempted(5); n != 5 {
		t.Errorf("%d attempts of 5 calls before anything is changed", n)
	}

	rewrite(t, file, "retry-max: 2", "retry-base-delay: 0", "circuit-breaker-threshold: 0", "timeout: 1.5")
	line := hangUp(t, s)
	if changed := fmt.Sprint(line.Attrs["changed"]); changed != "[timeout retry-max retry-base-delay]" {
		t.Errorf("the log says %s", line.Text)
	}
	if n := attempted(1); n != 3 {
		t.Errorf("%d attempts of a call, want 3", n)
	}
	err := <-invoke(t.Context(), conn, hanging)
	if text := statusOf(err).Message(); !strings.Contains(text, "(--timeout)") || !strings.Contains(text, "within 1.5s") {
		t.Error(err)
	}
	for _, setting := range info(t, s).GetSettings() {
		if setting.GetName() == "timeout" && setting.GetValue() != "1.5" {
			t.Errorf("GetInfo shows %v", setting)
		}
	}

	rewrite(t, file, "retry-max: 0", "circuit-breaker-threshold: 3", "log-level: debug")
	hangUp(t, s)
	if n := attempted(6); n != 3 {
		t.Errorf("%d attempts before the breaker opens, want 3", n)
	}
	if err := <-invoke(bounded(t), conn, failing); reason(err) != "CIRCUIT_OPEN" {
		t.Errorf("%v", err)
	}
	if err := healthOver(t, s.GRPC); err != nil {
		t.Error(err)
	}
	if _, err := s.Log().Wait(bounded(t), func(l sidecar.Line) bool { return l.Level == "DEBUG" }); err != nil {
		t.Errorf("no line of the level debug: %v", err)
	}
	rewrite(t, file, "circuit-breaker-threshold: 0", "retry-max: 0")
	hangUp(t, s)
	if n := attempted(5); n != 5 {
		t.Errorf("%d attempts of 5 calls without breakers", n)
	}
	l.more(20)
	l.end()
	if r, w := l.failedRead.Load(), l.failedWrite.Load(); r+w > 0 {
		t.Errorf("%d reads and %d writes have failed", r, w)
	}

	rewrite(t, file, "max-concurrent-calls: 1", "max-queued-calls: 0", "timeout: 30s", "drain-timeout: 11", "min-ready: 1")
	hangUp(t, s)
	ctx, cancel := context.WithCancel(bounded(t))
	before := hangs.Load()
	busy := invoke(ctx, conn, hanging)
	eventually(t, "a call at the upstream", func() error {
		if hangs.Load() == before {
			return errors.New("not yet")
		}
		return nil
	})
	if err := <-invoke(bounded(t), conn, writeMethod); reason(err) != "OVERLOADED" {
		t.Errorf("%v", err)
	}
	cancel()
	<-busy
	s.Stop()
	if line := logged(t, s, "draining"); line.Attrs["timeout_seconds"] != 11.0 {
		t.Errorf("the log says %s", line.Text)
	}
}

// TestReloadRefused keeps everything as it is when something is wrong, and says all of
// it; and says what needs a restart.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	var attempts atomic.Int64
	u := newUpstream(t, func(c call) ([]byte, error) {
		if c.method == readMethod {
			attempts.Add(1)
			return nil, status.Error(codes.Unavailable, "not now")
		}
		return healthy(c)
	})
	file := writeFile(t, "config.yaml", "retry-max: 1\nretry-base-delay: 0\ncircuit-breaker-threshold: 0\n")
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Admin: true, Args: []string{"--config", file, "--repeat-window=0"}})
	s.ExpectError("nothing was changed")
	conn := newConn(t, s.GRPC)
	same := func(what string) {
		t.Helper()
		before := attempts.Load()
		<-invoke(bounded(t), conn, readMethod)
		if n := attempts.Load() - before; n != 2 {
			t.Errorf("%s: %d attempts, want 2", what, n)
		}
	}
	same("at first")
	metrics := func(want ...string) {
		t.Helper()
		text := mustGet(t, s.Metrics, "/metrics").text
		for _, line := range want {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("no metric says %s", line)
			}
		}
	}
	metrics(`qdrant_sidecar_reloads_total{success="true"} 0`, `qdrant_sidecar_last_reload_successful 1`)

	for what, content := range map[string]string{
		"no YAML": "retry-max: [\n", "unknown": "retry-maxx: 3\nretry-max: 3\n", "values": "retry-max: 3\nretry-base-delay: soon\npool-size: 0\n", "useless": "retry-max: 3\nupstream-server-name: x\n",
	} {
		rewrite(t, file, content)
		line := hangUp(t, s)
		problems, _ := line.Attrs["problems"].([]any)
		if line.Level != "ERROR" || len(problems) == 0 || what == "values" && len(problems) != 2 {
			t.Errorf("%s: the log says %s", what, line.Text)
		}
		same(what)
	}
	metrics(`qdrant_sidecar_reloads_total{success="false"} 4`, `qdrant_sidecar_last_reload_successful 0`)
	os.Remove(file)
	if line := hangUp(t, s); line.Level != "ERROR" || !strings.Contains(line.Text, file) {
		t.Errorf("without the file the log says %s", line.Text)
	}
	same("no file")

	// What cannot change is named, and the rest changes. What wins over the file does not.
	rewrite(t, file, "retry-max: 3", "retry-base-delay: 0", "circuit-breaker-threshold: 0", "pool-size: 3", "client-max-pings: 7000", "url: http://192.0.2.1")
	hangUp(t, s)
	line := logged(t, s, "changed settings take effect only after a restart")
	if got := fmt.Sprint(line.Attrs["need_restart"]); got != "[pool-size client-max-pings]" || line.Level != "WARN" {
		t.Errorf("the log says %s", line.Text)
	}
	before := attempts.Load()
	<-invoke(bounded(t), conn, readMethod)
	if n := attempts.Load() - before; n != 4 {
		t.Errorf("%d attempts, want 4", n)
	}
	i := info(t, s)
	for _, setting := range i.GetSettings() {
		want := map[string]string{"pool-size": "5", "retry-max": "3", "url": u.url()}[setting.GetName()]
		if want != "" && setting.GetValue() != want {
			t.Errorf("GetInfo shows %v", setting)
		}
	}
	if i.GetPool().GetMaxConnectionsPerEndpoint() != 5 {
		t.Errorf("GetInfo shows %v", i.GetPool())
	}
	metrics(`qdrant_sidecar_reloads_total{success="true"} 1`, `qdrant_sidecar_last_reload_successful 1`)

	// Right by itself, and wrong with what needs a restart.
	rewrite(t, file, "retry-max: 0", "rest-url: https://127.0.0.1", "min-ready: 2")
	if line := hangUp(t, s); line.Level != "ERROR" {
		t.Errorf("the log says %s", line.Text)
	}
}

// TestKeyRotation changes the file of the API key, without and with a signal, under
// load. While two keys are good, no call fails.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	var seen atomic.Pointer[string]
	good := []string{"key-one", "key-two", "key-three"}
	u := newUpstream(t, func(c call) ([]byte, error) {
		if c.method == healthCheck {
			return healthy(c)
		}
		keys := c.header.Get("api-key")
		if len(keys) != 1 || !slices.Contains(good, keys[0]) {
			return nil, status.Error(codes.Unauthenticated, credentials(c.header))
		}
		seen.Store(&keys[0])
		return nil, nil
	})
	file := writeFile(t, "key", "key-one\n")
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--api-key-file", file}})
	s.ExpectError("nothing was changed")
	l := newLoad(t, s.GRPC, 3)
	await := func(key string) {
		t.Helper()
		eventually(t, key, func() error {
			if got := seen.Load(); got == nil || *got != key {
				return errors.New("not yet")
			}
			return nil
		})
	}
	await("key-one")
	rewrite(t, file, "key-two")
	await("key-two")
	if line := logged(t, s, "configuration reloaded"); fmt.Sprint(line.Attrs["changed"]) != "[api-key-file]" || line.Attrs["because"] != "a file changed" {
		t.Errorf("the log says %s", line.Text)
	}
	rewrite(t, file, "key-three")
	hangUp(t, s)
	await("key-three")
	// An empty file is no key, and the last one stays.
	rewrite(t, file, "")
	if line := hangUp(t, s); line.Level != "ERROR" || !strings.Contains(line.Text, "is empty") {
		t.Errorf("the log says %s", line.Text)
	}
	l.more(20)
	await("key-three")
	l.end()
	if r, w := l.failedRead.Load(), l.failedWrite.Load(); r+w > 0 {
		t.Errorf("%d reads and %d writes have failed", r, w)
	}
	s.Stop()
	for _, key := range good {
		if strings.Contains(s.Log().String(), key) {
			t.Errorf("the log shows %s", key)
		}
	}
}

// TestCertificateRotation changes the authority of the upstream and then, in the file,
// that of the sidecar, under load of which no call fails.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	var certificate atomic.Pointer[tls.Certificate]
	conf := first.server(t, "127.0.0.1")
	certificate.Store(&conf.Certificates[0])
	conf.Certificates = nil
	conf.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.Load(), nil }
	u := newUpstreamOn(t, "127.0.0.1:0", conf, healthy)

	text := func(a *authority) string {
		raw, err := os.ReadFile(a.file)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	file := writeFile(t, "ca.pem", text(first))
	s := sidecar.Start(t, sidecar.Options{
		Upstream: "https://" + u.addr, Admin: true, Env: []string{"QDRANT_POOL_SIZE=2"}, Args: []string{"--upstream-ca-file", file},
	})
	s.ExpectError("nothing was changed")
	l := newLoad(t, s.GRPC, 3)
	l.more(20)

	rewrite(t, file, "no certificate")
	if line := hangUp(t, s); line.Level != "ERROR" {
		t.Errorf("the log says %s", line.Text)
	}
	// The old connection serves while there can be no new one.
	rewrite(t, file, text(second))
	hangUp(t, s)
	line := logged(t, s, "cannot connect")
	if !strings.Contains(line.Text, "unknown authority") {
		t.Errorf("the log says %s", line.Text)
	}
	l.more(20)

	renewed := second.server(t, "127.0.0.1")
	certificate.Store(&renewed.Certificates[0])
	logged(t, s, "connections were replaced because of TLS settings")
	l.more(20)
	l.end()
	if r, w := l.failedRead.Load(), l.failedWrite.Load(); r+w > 0 {
		t.Errorf("%d reads and %d writes have failed", r, w)
	}
	if n := u.accepted.Load(); n < 2 {
		t.Errorf("%d connections were opened", n)
	}
}

// client writes a certificate for a client, and its key, into these files.
func (a *authority) client(t *testing.T, name, certificate, key string) {
	t.Helper()
	own := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	rewrite(t, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sign(t, template, a.certificate, own, a.key)})))
}

// TestClientCertificate shows a Qdrant that asks for it who we are, and after a change
// of the files who we are now.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	conf := ours.server(t, "127.0.0.1")
	conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	conf.ClientCAs.AddCert(ours.certificate)
	shown := make(chan string, 100)
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		shown <- s.PeerCertificates[0].Subject.CommonName
		return nil
	}
	u := newUpstreamOn(t, "127.0.0.1:0", conf, healthy)
	certificate, key := writeFile(t, "cert.pem", ""), writeFile(t, "key.pem", "")
	ours.client(t, "sidecar one", certificate, key)
	s := sidecar.Start(t, sidecar.Options{
		Upstream: "https://" + u.addr,
		Args:     []string{"--upstream-ca-file", ours.file, "--upstream-cert-file", certificate, "--upstream-key-file", key},
	})
	if err := healthOver(t, s.GRPC); err != nil {
		t.Fatal(err)
	}
	if name := receive(t, "a certificate", shown); name != "sidecar one" {
		t.Errorf("shown: %q", name)
	}
	l := newLoad(t, s.GRPC, 3)
	ours.client(t, "sidecar two", certificate, key)
	// Without a signal.
	if name := receive(t, "another certificate", shown); name != "sidecar two" {
		t.Errorf("shown: %q", name)
	}
	logged(t, s, "connections were replaced because of TLS settings")
	l.more(20)
	l.end()
	if r, w := l.failedRead.Load(), l.failedWrite.Load(); r+w > 0 {
		t.Errorf("%d reads and %d writes have failed", r, w)
	}
	stranger := sidecar.Start(t, sidecar.Options{Upstream: "https://" + u.addr, Args: []string{"--upstream-ca-file", ours.file}, Unready: true})
	awaitUnready(t, stranger, "TLS", "certificate required", "--upstream-cert-file")
}
