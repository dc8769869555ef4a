package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/test/sidecar"
)

// shownBy says for every setting which test shows what it changes. That the
// tests exist is checked by the compiler.
func shownBy() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"--url":                           TestURL,
		"--listen":                        TestListen,
		"--metrics-listen":                TestMetricsListen,
		"--metrics-collections":           TestMetricsCollections,
		"--admin-listen":                  TestAdminListen,
		"--rest-listen":                   TestRESTListen,
		"--rest-url":                      TestRESTListen,
		"--rest-max-requests":             TestRESTAdmission,
		"--pool-size":                     TestPoolSize,
		"--pool-idle-timeout":             TestPoolIdleTimeout,
		"--pool-max-age":                  TestPoolMaxAge,
		"--pool-ping-interval":            TestPoolPingInterval,
		"--health-interval":               TestHealthInterval,
		"--min-ready":                     TestMinReady,
		"--drain-timeout":                 TestDrainTimeout,
		"QDRANT_API_KEY":                  TestAPIKey,
		"--api-key-file":                  TestAPIKey,
		"--insecure-api-key-plaintext":    TestDangersAccepted,
		"--insecure-api-key-any-caller":   TestDangersAccepted,
		"--upstream-ca-file":              TestUpstreamTLS,
		"--upstream-cert-file":            TestClientCertificate,
		"--upstream-key-file":             TestClientCertificate,
		"--upstream-server-name":          TestUpstreamTLS,
		"--upstream-insecure-skip-verify": TestUpstreamTLS,
		"--log-level":                     TestLogLevel,
		"--slow-read":                     TestSlowCallsAreLogged,
		"--slow-write":                    TestSlowCallsAreLogged,
		"--slow-long":                     TestSlowCallsAreLogged,
		"--config":                        TestConfigFile,
		"--resilience":                    TestRetries,
		"--timeout":                       TestTimeouts,
		"--write-timeout":                 TestTimeouts,
		"--long-timeout":                  TestTimeouts,
		"--try-timeout":                   TestTryTimeout,
		"--retry-max":                     TestRetries,
		"--retry-base-delay":              TestRetries,
		"--retry-buffer-per-call":         TestRetryBuffers,
		"--retry-buffer-total":            TestRetryBuffers,
		"--repeat-window":                 TestRepeatWindow,
		"--retry-writes":                  TestRetries,
		"--retry-writes-on-internal":      TestRetries,
		"--retry-writes-on-rate-limit":    TestRetries,
		"--circuit-breaker-threshold":     TestCircuitBreakerThreshold,
		"--max-concurrent-calls":          TestAdmission,
		"--max-queued-calls":              TestAdmission,
		"--queue-timeout":                 TestAdmission,
		"--client-max-concurrent-streams": TestClientMaxConcurrentStreams,
		"--client-max-header-list-size":   TestClientHeaderLimits,
		"--client-max-header-fields":      TestClientHeaderLimits,
		"--client-max-header-block-size":  TestClientHeaderLimits,
		"--client-max-resets":             TestClientFrameRates,
		"--client-max-stream-errors":      TestClientFrameRates,
		"--client-max-pings":              TestClientFrameRates,
		"--client-max-control-frames":     TestClientFrameRates,
		"--client-max-empty-data-frames":  TestClientFrameRates,
		"--client-max-window-updates":     TestClientFrameRates,
		"--client-preface-timeout":        TestClientSilence,
		"--client-first-request-timeout":  TestClientSilence,
		"--client-write-stall-timeout":    TestClientWriteStall,
		"--client-idle-timeout":           TestClientSilence,
		// Of one command each.
		"--once":   TestDemoOnce,
		"--live":   TestProbe,
		"--for":    TestPause,
		"--force":  TestControlRefusals,
		"--within": TestControlRefusals,
		// Of those that ask the running sidecar.
		"--json":        TestWatching,
		"--interval":    TestWatching,
		"--method":      TestWatching,
		"--collection":  TestWatching,
		"--code":        TestWatching,
		"--slower-than": TestWatching,
		"--failed":      TestWatching,
		"--bodies":      TestWatching,
		"--count":       TestWatching,
	}
}

// TestEverySettingHasATest compares the table with the manual.
func TestEverySettingHasATest(t *testing.T) {
	t.Parallel()
	code, c := run(t, nil, "--help")
	if code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	documented := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^  (--[a-z-]+|QDRANT_[A-Z_]+)`).FindAllStringSubmatch(c.stdout.String(), -1) {
		documented[match[1]] = true
	}
	want, got := slices.Sorted(maps.Keys(shownBy())), slices.Sorted(maps.Keys(documented))
	if !slices.Equal(got, want) {
		t.Errorf("settings in --help: %q\nsettings with a test: %q", got, want)
	}
}

// TestURL reads the upstream as the SDKs do.
func TestURL(t *testing.T) {
	t.Parallel()
	// Nobody else has this port on this address.
	const ip = "127.7.7.7"
	qdrantPort := newUpstreamOn(t, ip+":6334", nil, healthy)
	otherPort := newUpstreamOn(t, ip+":0", nil, healthy)
	socket := newUpstreamOn(t, "unix://"+socketPath(t), nil, healthy)
	upstreams := map[string]*upstream{
		"http://" + ip:             qdrantPort,
		"http://" + ip + "/":       qdrantPort,
		"http://" + ip + ":6334":   qdrantPort,
		"http://" + ip + ":6333":   qdrantPort,
		"http://" + ip + ":6333/":  qdrantPort,
		"http://" + otherPort.addr: otherPort,
		"unix://" + socket.addr:    socket,
	}
	if lis, err := net.Listen("tcp", "[::1]:0"); err == nil { // not every machine has IPv6
		lis.Close()
		v6 := newUpstreamOn(t, "[::1]:0", nil, healthy)
		upstreams["http://"+v6.addr] = v6
	}
	for url, u := range upstreams {
		before := u.accepted.Load()
		s := sidecar.Start(t, sidecar.Options{Upstream: url})
		if err := healthOver(t, s.GRPC); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if u.accepted.Load() != before+1 {
			t.Errorf("%s: no connection to %s", url, u.addr)
		}
	}
	for _, url := range []string{
		"qdrant:6334", "grpc://qdrant", "http://", "http://qdrant:0", "http://qdrant/prefix", "memory://x", "unix://relative.sock",
	} {
		refused(t, nil, []string{"check-config", "--url", url}, []string{"--url"})
	}
}

// TestMetricsListen serves pages at a socket, and nowhere.
func TestMetricsListen(t *testing.T) {
	t.Parallel()
	calls, pages := "unix://"+socketPath(t), "unix://"+socketPath(t)
	c := launch(t, quiet(), "--listen", calls)
	eventually(t, "service", func() error { return healthOver(t, calls) })
	if strings.Contains(c.stderr.String(), `"listener":"metrics"`) {
		t.Errorf("listens although it is off:\n%s", &c.stderr)
	}
	c.terminate()

	env := []string{"QDRANT_URL=memory://", "QDRANT_REST_LISTEN=off", "QDRANT_METRICS_LISTEN=" + pages, "QDRANT_ADMIN_LISTEN=off"}
	c = launch(t, env, "--listen", calls)
	eventually(t, "/readyz", func() error {
		p, err := get(t, pages, "/readyz")
		if err == nil && p.code != http.StatusOK {
			err = errors.New(p.text)
		}
		return err
	})
	if code, complaint := probed(t, env); code != exitOK {
		t.Errorf("probe at a socket: %s", complaint)
	}
	c.terminate()
}

// TestAdminListen serves the admin API on this machine only, or nowhere.
func TestAdminListen(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "unix://" + socketPath(t)} {
		s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true, Args: []string{"--admin-listen", address}})
		info, err := adminv1.NewAdminServiceClient(newConn(t, s.Admin)).GetInfo(bounded(t), &adminv1.GetInfoRequest{})
		if err != nil {
			t.Errorf("%s: %v", address, err)
		}
		var roles []string
		for _, lis := range info.GetListeners() {
			roles = append(roles, fmt.Sprint(lis.GetRole(), " ", lis.GetAddress()))
		}
		want := []string{"ROLE_DATA " + s.GRPC, "ROLE_METRICS " + s.Metrics, "ROLE_ADMIN " + s.Admin}
		if !slices.Equal(roles, want) {
			t.Errorf("%s: listeners %q, want %q", address, roles, want)
		}
		s.Stop()
	}
	off := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: []string{"--admin-listen=off"}})
	if strings.Contains(off.Log().String(), `"listener":"admin"`) {
		t.Error("listens although it is off")
	}
	for _, address := range []string{":9092", "0.0.0.0:9092", "192.0.2.1:9092", "[::]:9092", "qdrant.test:9092"} {
		refused(t, []string{"QDRANT_URL=memory://"}, []string{"check-config", "--admin-listen", address}, []string{"--admin-listen", address})
	}
}

// TestLogLevel holds that a level leaves out what is below it.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		level string
		want  []string // levels of the lines of a sidecar without its upstream
	}{
		{"debug", []string{"DEBUG", "INFO", "WARN"}},
		{"info", []string{"INFO", "WARN"}},
		{"warn", []string{"WARN"}},
		{"error", nil},
	} {
		t.Run(tt.level, func(t *testing.T) {
			t.Parallel()
			calls := "unix://" + socketPath(t)
			c := launch(t, quiet("QDRANT_LOG_LEVEL="+tt.level), "--listen", calls, "--url=http://"+unusedAddress(t))
			eventually(t, "the failure of a call", func() error {
				if err := healthOver(t, calls); reason(err) != "NO_HEALTHY_UPSTREAM" {
					return err
				}
				return nil
			})
			c.terminate()
			levels := map[string]bool{}
			for _, match := range regexp.MustCompile(`"level":"([A-Z]+)"`).FindAllStringSubmatch(c.stderr.String(), -1) {
				levels[match[1]] = true
			}
			if got := slices.Sorted(maps.Keys(levels)); !slices.Equal(got, tt.want) {
				t.Errorf("lines of the levels %q, want %q\n%s", got, tt.want, &c.stderr)
			}
		})
	}
	refused(t, quiet(), []string{"--log-level=verbose"}, []string{"--log-level", `"verbose"`, "debug, info, warn or error"})
}

// TestConfigFile runs on a file alone, and shows what wins over it.
func TestConfigFile(t *testing.T) {
	t.Parallel()
	calls, admin := "unix://"+socketPath(t), "unix://"+socketPath(t)
	file := writeFile(t, "config.yaml", strings.Join([]string{
		"url: memory://", "listen:", "  - " + calls, "rest-listen: off", "metrics-listen: off", "admin-listen: " + admin, "pool-size: 2",
		"drain-timeout: 7", "log-level: warn", "",
	}, "\n"))
	for _, tt := range []struct {
		name   string
		env    []string
		args   []string
		size   string
		source adminv1.Setting_Source
	}{
		{"file by flag", nil, []string{"--config", file}, "2", adminv1.Setting_SOURCE_FILE},
		{"file by variable", []string{"QDRANT_CONFIG=" + file}, nil, "2", adminv1.Setting_SOURCE_FILE},
		{"variable over file", []string{"QDRANT_POOL_SIZE=3"}, []string{"--config", file}, "3", adminv1.Setting_SOURCE_ENV},
		{
			"flag over variable",
			[]string{"QDRANT_POOL_SIZE=3"},
			[]string{"--pool-size=4", "--config", file}, "4", adminv1.Setting_SOURCE_FLAG,
		},
		{"empty variable", []string{"QDRANT_POOL_SIZE="}, []string{"--config", file}, "2", adminv1.Setting_SOURCE_FILE},
	} {
		c := launch(t, tt.env, tt.args...)
		eventually(t, "service", func() error { return healthOver(t, calls) })
		info, err := adminv1.NewAdminServiceClient(newConn(t, admin)).GetInfo(bounded(t), &adminv1.GetInfoRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(info.GetPool().GetMaxConnectionsPerEndpoint()); got != tt.size {
			t.Errorf("%s: pool of %s, want %s", tt.name, got, tt.size)
		}
		for _, s := range info.GetSettings() {
			if s.GetName() == "pool-size" && (s.GetValue() != tt.size || s.GetSource() != tt.source) {
				t.Errorf("%s: GetInfo says %v", tt.name, s)
			}
		}
		c.terminate()
		code, c := run(t, tt.env, append([]string{"check-config"}, tt.args...)...)
		if line := regexp.MustCompile(`(?m)^pool-size: +` + tt.size + ` `); code != exitOK || !line.MatchString(c.stdout.String()) {
			t.Errorf("%s: check-config says\n%s%s", tt.name, &c.stdout, &c.stderr)
		}
	}
	missing := filepath.Join(os.TempDir(), "e2e-no-such-file.yaml")
	refused(t, quiet(), []string{"--config", missing}, []string{"--config", missing})
}
