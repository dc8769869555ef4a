package doctor_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/doctor"
	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is a Qdrant that is examined.
type scene struct {
	version string
	// ahead is how much its clock is; timeless, it does not tell.
	ahead    time.Duration
	timeless bool
	// health and list are what is answered to these calls instead.
	health, list faultwire.Act
	// swallow has requests larger than this be ignored.
	swallow int
	greet   func(int) faultwire.Greeting
	key     string
	ready   int // status of /readyz, 0 for none
}

func (c scene) handle(s *faultwire.Stream) {
	act, reply := c.health, proto.Message(&qdrant.HealthCheckReply{Title: "qdrant - vector search engine", Version: c.version})
	if s.Request.Fields.Get(":path") == "/qdrant.Collections/List" {
		act, reply = c.list, &qdrant.ListCollectionsResponse{}
	}
	request, err := s.NextMessage(s.Context())
	if err != nil || c.swallow > 0 && len(request.Payload) > c.swallow {
		return
	}
	if act != nil {
		act(s)
		return
	}
	raw, err := proto.Marshal(reply)
	if err != nil {
		panic(err)
	}
	header := faultwire.GRPCHeader()
	if !c.timeless {
		header = header.With("date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
	}
	_ = s.SendHeaders(header, false)
	_ = s.SendData(faultwire.Prefixed(raw), false)
	_ = s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
}

// patient starts the scene.
func (c scene) patient(t *testing.T) doctor.Patient {
	t.Helper()
	server := &faultwire.Server{Handler: c.handle, Greet: c.greet}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	p := at(t, server.Addr())
	p.APIKey = c.key
	if c.ready > 0 {
		rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.ready) }))
		t.Cleanup(rest.Close)
		p.ReadyURL = rest.URL + "/readyz"
	}
	return p
}

func at(t *testing.T, address string) doctor.Patient {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return doctor.Patient{Address: address, Host: host, Port: port, Endpoint: pool.Endpoint{Address: address}}
}

// examine returns what was found, by step.
func examine(t *testing.T, p doctor.Patient) (found map[string]doctor.Finding, well bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found = map[string]doctor.Finding{}
	well = p.Examine(ctx, func(f doctor.Finding) { found[f.Step] = f })
	for step, f := range found {
		if f.Result == doctor.Fail && f.Advice == "" && !strings.Contains(f.Detail, "not tried") {
			t.Errorf("%s fails without advice: %s", step, f.Detail)
		}
	}
	return found, well
}

func token(exp time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"HS256"}`) + "." + part(fmt.Sprintf(`{"exp":%d}`, exp.Unix())) + ".c2ln"
}

func TestExamine(t *testing.T) {
	fine := scene{version: "1.18.3", ready: 200, key: "key"}
	for name, test := range map[string]struct {
		change func(*scene)
		step   string
		result doctor.Result
		detail string
	}{
		"connected":          {func(*scene) {}, "dial", doctor.Pass, "connected in"},
		"no TLS":             {func(*scene) {}, "TLS", doctor.Skip, "not used"},
		"HTTP/2":             {func(*scene) {}, "HTTP/2", doctor.Pass, "a PING takes"}, // or a note, see below
		"health":             {func(*scene) {}, "HealthCheck", doctor.Pass, "answered in"},
		"version":            {func(*scene) {}, "version", doctor.Pass, "Qdrant 1.18.3"},
		"old version":        {func(c *scene) { c.version = "1.9.2" }, "version", doctor.Note, "Qdrant 1.9.2"},
		"no version":         {func(c *scene) { c.version = "" }, "version", doctor.Skip, ""},
		"ready":              {func(*scene) {}, "/readyz", doctor.Pass, "ready"},
		"not ready":          {func(c *scene) { c.ready = 503 }, "/readyz", doctor.Fail, "not ready"},
		"not Qdrant's REST":  {func(c *scene) { c.ready = 404 }, "/readyz", doctor.Note, "404"},
		"key":                {func(*scene) {}, "API key", doctor.Pass, "takes it"},
		"no key":             {func(c *scene) { c.key = "" }, "API key", doctor.Pass, "wants none"},
		"a key is wanted":    {func(c *scene) { c.key, c.list = "", faultwire.Status("16", "Must") }, "API key", doctor.Note, "wants one"},
		"wrong key":          {func(c *scene) { c.list = faultwire.Status("16", "Invalid") }, "API key", doctor.Fail, "UNAUTHENTICATED"},
		"denied key":         {func(c *scene) { c.list = faultwire.Status("7", "no") }, "API key", doctor.Fail, "PERMISSION_DENIED"},
		"expired token":      {func(c *scene) { c.key = token(time.Now().Add(-50 * time.Hour)) }, "API key", doctor.Fail, "ended 2 d ago"},
		"token about to end": {func(c *scene) { c.key = token(time.Now().Add(50*time.Hour + time.Minute)) }, "API key", doctor.Note, "ends in 2 d"},
		"clock":              {func(*scene) {}, "clock", doctor.Pass, "the same"},
		"clock, seconds ago": {func(c *scene) {
			c.list = faultwire.Then(faultwire.Pause(4*time.Second), faultwire.Status("16", "Invalid"))
		}, "clock", doctor.Pass, "the same"},
		"clock ahead":   {func(c *scene) { c.ahead = 10 * time.Second }, "clock", doctor.Note, "ahead of"},
		"clock behind":  {func(c *scene) { c.ahead = -10 * time.Minute }, "clock", doctor.Fail, "10 min behind"},
		"no clock":      {func(c *scene) { c.timeless = true }, "clock", doctor.Skip, ""},
		"gzip":          {func(*scene) {}, "gzip", doctor.Pass, "not compressed"},
		"large message": {func(*scene) {}, "large message", doctor.Pass, "60 KiB pass"},
		"MTU":           {func(c *scene) { c.swallow = 1400 }, "large message", doctor.Fail, "small messages pass, but not one of 60 KiB"},
		"no Qdrant":     {func(c *scene) { c.health = faultwire.Status("12", "unknown service") }, "HealthCheck", doctor.Fail, "Unimplemented"},
		"hangs":         {func(c *scene) { c.health = faultwire.Silence }, "HealthCheck", doctor.Fail, "no answer within 5s"},
		"not tried":     {func(c *scene) { c.health = faultwire.Silence }, "API key", doctor.Skip, "because of HealthCheck"},
		"wrong port":    {func(c *scene) { c.greet = func(int) faultwire.Greeting { return faultwire.SpeakHTTP1 } }, "HTTP/2", doctor.Fail, "answered HTTP/1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fine
			test.change(&c)
			found, well := examine(t, c.patient(t))
			f := found[test.step]
			if test.step == "HTTP/2" && f.Result == doctor.Note && strings.Contains(f.Advice, "That is far") {
				f.Result = doctor.Pass // as far as a busy machine makes it
			}
			if f.Result != test.result || !strings.Contains(f.Detail, test.detail) {
				t.Errorf("%s: %d %q, want %d %q", test.step, f.Result, f.Detail, test.result, test.detail)
			}
			failed := false
			for step, f := range found {
				failed = failed || f.Result == doctor.Fail
				if c.key != "" && strings.Contains(f.Detail+f.Advice, c.key) && c.key != "key" {
					t.Errorf("%s tells the key", step)
				}
			}
			if well == failed {
				t.Errorf("well is %v, and a step has failed: %v", well, failed)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lis.Close()
	found, well := examine(t, at(t, lis.Addr().String()))
	if f := found["dial"]; well || f.Result != doctor.Fail || !strings.Contains(f.Detail, "connection refused") || found["HTTP/2"].Result != doctor.Skip {
		t.Errorf("%v, %v", found, well)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "0")
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // it complains of those who do not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	for name, test := range map[string]struct {
		config *tls.Config
		result doctor.Result
		detail string
	}{
		"trusted":           {&tls.Config{RootCAs: trusted, ServerName: "example.com", NextProtos: []string{"h2"}}, doctor.Pass, "TLS 1.3, certificate of example.com"},
		"unknown authority": {&tls.Config{ServerName: "example.com", NextProtos: []string{"h2"}}, doctor.Fail, "unknown authority"},
		"another name":      {&tls.Config{RootCAs: trusted, ServerName: "other.example", NextProtos: []string{"h2"}}, doctor.Fail, "other.example"},
		"not verified":      {&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}, doctor.Note, "TLS 1.3"}, //nolint:gosec // what is tested
		"no HTTP/2":         {&tls.Config{RootCAs: trusted, ServerName: "example.com", NextProtos: []string{"http/1.1"}}, doctor.Fail, "does not offer HTTP/2"},
	} {
		p := at(t, server.Listener.Addr().String())
		p.TLS, p.Endpoint.TLS = test.config, func() *tls.Config { return test.config }
		found, _ := examine(t, p)
		if f := found["TLS"]; f.Result != test.result || !strings.Contains(f.Detail, test.detail) {
			t.Errorf("%s: %d %q, want %d %q", name, f.Result, f.Detail, test.result, test.detail)
		}
	}
}
